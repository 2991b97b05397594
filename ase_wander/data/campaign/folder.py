"""The folder of a campaign: where everything lies, what is done, locks.

campaign.json             name, recipe, planned configurations with their hashes
results/<id>.npz          labels, see `labels.Labels`
hamiltonians/<id>.npz     Wannier Hamiltonians
bands/<id>.png            DFT against interpolated bands
structures.extxyz         energies, forces, stress; with hamiltonians/ the format of reference data
ase.db                    the same as ASE database
failed/<id>.json, .txt    reason and traceback
logs/<id>.txt             what the engine wrote
locks/<id>.lock           held by the process that computes a configuration
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ase import Atoms

from ...files import atomic_write
from ..dft.recipe import Recipe

PLAN = "campaign.json"

#: Subfolders that a worker writes into.
KINDS = ("results", "hamiltonians", "bands", "failed", "logs")

#: States of a configuration.
DONE, LABELLED, FAILED, RUNNING, STALE, LEFT = "done", "labelled", "failed", "running", "stale", "left"


class CampaignFolder:
    """Paths and states of a campaign's folder; see the module's text for the layout.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path):
        self.path = Path(path)

    def file(self, kind: str, name: str, suffix: str) -> Path:
        """Path of a file in one of the subfolders."""
        return self.path / kind / (name + suffix)

    def result(self, name: str) -> Path:
        return self.file("results", name, ".npz")

    def hamiltonian(self, name: str) -> Path:
        return self.file("hamiltonians", name, ".npz")

    def failure(self, name: str) -> Path:
        return self.file("failed", name, ".json")

    def create(self) -> None:
        """Make the subfolders; ValueError when the path is a file."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: is a file, not a folder")
        for kind in (*KINDS, "locks"):
            (self.path / kind).mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------ plan
    def write_plan(self, plan: dict) -> None:
        atomic_write(self.path / PLAN, json.dumps(plan, indent=1, default=_plain))

    def read_plan(self) -> dict | None:
        """Read what `write_plan` wrote; None without a file, ValueError naming a damaged one."""
        file = self.path / PLAN
        if not file.is_file():
            return None
        try:
            plan = json.loads(file.read_text(encoding="utf-8"))
            Recipe.from_dict(plan["recipe"])
            plan["configurations"].items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file}: damaged ({' '.join(str(error).split())})") from None
        return plan

    # ------------------------------------------------------------------ states
    def names(self, kind: str, suffix: str) -> list[str]:
        """Names that have a file in a subfolder, sorted."""
        return sorted(f.name[: -len(suffix)] for f in (self.path / kind).glob("*" + suffix))

    def read_failure(self, name: str) -> dict | None:
        """Record of a failed configuration, None where there is none."""
        try:
            return json.loads(self.failure(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def stored_state(self, name: str, labels: str, hamiltonian: str) -> str:
        """State of a configuration with these hashes, from its files.

        "done": labels and Hamiltonian are there and valid; "labelled": only the labels; "stale": labels of another
        structure or recipe, or of unknown ones (no hash); "failed"; "left".
        """
        header = read_header(self.result(name)) if self.result(name).is_file() else None
        if header is not None and header["hash"] != labels:
            return STALE
        if header is not None and stored_hash(self.hamiltonian(name)) == hamiltonian:
            return DONE
        failure = self.read_failure(name)
        if failure and failure.get("hash") == hamiltonian:
            return FAILED
        return LABELLED if header is not None else LEFT

    def state(self, name: str, labels: str, hamiltonian: str) -> str:
        """`stored_state`, or "running" for one that a process computes now."""
        state = self.stored_state(name, labels, hamiltonian)
        return RUNNING if state not in (DONE, STALE) and self.is_locked(name) else state

    # ------------------------------------------------------------------ locks
    def lock(self, name: str) -> int | None:
        """Take the lock of a configuration: an open file, or None when another process holds it.

        The operating system gives a lock back when the last process that holds it ends, however it ends; a worker
        inherits it.
        """
        import fcntl

        descriptor = os.open(self.file("locks", name, ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def is_locked(self, name: str) -> bool:
        """Whether a process computes this configuration."""
        if not self.file("locks", name, ".lock").exists():
            return False
        descriptor = self.lock(name)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    @contextmanager
    def exclusive(self):
        """Hold the folder for a short while: plan and collected files are written by one process at a time."""
        import fcntl

        with open(self.path / "locks" / "folder", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read_header(path) -> dict | None:
    """Header of a file of labels: `hash` (None where it does not say), `seconds`, `atoms`; None for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            text = json.loads(str(data["info"]))
            atoms = Atoms(data["numbers"], positions=data["positions"], cell=data["cell"], pbc=data["pbc"])
            seconds = float(data["seconds"])
    except Exception:  # a damaged archive fails in many ways
        return None
    atoms.info.update(text["atoms"])
    return {"hash": text["labels"].get("labels_hash"), "seconds": seconds, "atoms": atoms}


def stored_hash(path) -> str | None:
    """Hash in a Hamiltonian file, None without file or hash."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return str(data["hash"]) if "hash" in data else None
    except Exception:
        return None


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)
