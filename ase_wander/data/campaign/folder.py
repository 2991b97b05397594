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

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms

from ...archives import read_npz
from ...checks import check_name, is_integer, is_number
from ...files import atomic_write, check_structure, sweep
from ...locks import try_lock
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
        """Path of a file in one of the subfolders; ValueError for a name that leads out of it."""
        check_name(name, str(self.path))
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
            sweep(self.path / kind)
        sweep(self.path)

    # ------------------------------------------------------------------ plan
    def write_plan(self, plan: dict) -> None:
        plan = json.loads(json.dumps(plan, default=_plain))
        atomic_write(self.path / PLAN, json.dumps(plan | {"sha256": _checksum(plan)}, indent=1))

    def read_plan(self) -> dict | None:
        """Read what `write_plan` wrote; None without a file, ValueError naming a damaged one."""
        file = self.path / PLAN
        if not file.is_file():
            return None
        try:
            plan = json.loads(file.read_text(encoding="utf-8"))
            checksum = plan.pop("sha256", None)
            if checksum not in (None, _checksum(plan)):
                raise ValueError("its contents do not have the checksum that was written with them")
            _check_plan(plan)
        except OSError:
            raise
        except Exception as error:  # a file that was changed stumbles in many places
            missing = "missing: " if isinstance(error, KeyError) else ""
            raise ValueError(f"{file}: damaged ({missing}{' '.join(str(error).split())})") from None
        return plan

    # ------------------------------------------------------------------ states
    def names(self, kind: str, suffix: str) -> list[str]:
        """Names that have a file in a subfolder, sorted."""
        return sorted(f.name[: -len(suffix)] for f in (self.path / kind).glob("[!.]*" + suffix))

    def read_failure(self, name: str) -> dict | None:
        """Record of a failed configuration, None where there is none."""
        try:
            record = json.loads(self.failure(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) and isinstance(record.get("reason"), str) else None

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
        try:
            return try_lock(self.file("locks", name, ".lock"), create=True)
        except BlockingIOError:
            return None

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


def _checksum(plan) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _check_plan(plan):
    """Raise for a plan that `write_plan` does not write."""
    unknown = sorted(set(plan) - {"name", "recipe", "recipe_for", "database", "configurations"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of its keys")
    recipe = plan["recipe"]
    Recipe.from_dict(recipe)
    for kind, settings in plan.get("recipe_for", {}).items():
        Recipe.from_dict({**recipe, **settings}, f"recipe_for.{kind}")
    if not isinstance(plan["name"], str) or not isinstance(plan.get("database", ""), str):
        raise ValueError("name and database are text")
    for name, entry in plan["configurations"].items():
        check_name(name, "configurations")
        if not (is_integer(entry["n_atoms"]) and is_number(entry["cost"]) and entry["cost"] >= 0):
            raise ValueError(f"configurations.{name}: n_atoms and cost are positive numbers")
        if not all(isinstance(entry[key], str) for key in ("labels", "hamiltonian")):
            raise ValueError(f"configurations.{name}: labels and hamiltonian are hashes")


def read_header(path) -> dict | None:
    """What a file of labels is: `hash` (None where it does not say), `seconds`, `atoms`; None for a damaged file."""
    try:
        data = read_npz(path, only=("info", "numbers", "positions", "cell", "pbc", "seconds"))
        text = json.loads(str(data["info"]))
        atoms = Atoms(data["numbers"], positions=data["positions"], cell=data["cell"], pbc=data["pbc"])
        check_structure(atoms)
        atoms.info.update(text["atoms"])
        return {"hash": text["labels"].get("labels_hash"), "seconds": float(data["seconds"]), "atoms": atoms}
    except Exception:  # arrays of other shapes and types than were written stumble in many places
        return None


def stored_hash(path) -> str | None:
    """Hash in a Hamiltonian file, None without file or hash."""
    try:
        return str(read_npz(path, only=("hash",)).get("hash", "")) or None
    except (OSError, ValueError):
        return None


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)
