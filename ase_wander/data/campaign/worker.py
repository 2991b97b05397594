"""One configuration in one process: `python -m ase_wander.data.campaign.worker < task.json`.

The task names folder, structure and recipe; labels, Hamiltonian or the reason of the failure are written into the
folder.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from ...archives import write_npz
from ...files import atomic_write
from ..dft.engines import compute, hamiltonian_hash, labels_hash
from ..dft.labels import Labels
from ..dft.recipe import Recipe
from .folder import CampaignFolder, read_header


def encode_task(folder, atoms, recipe: Recipe) -> str:
    """JSON text of a task."""
    from ase.io.jsonio import encode

    return encode(
        {
            "folder": str(Path(folder).resolve()),
            "recipe": recipe.to_dict(),
            "numbers": atoms.numbers,
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "pbc": atoms.pbc,
            "info": atoms.info,
        }
    )


def decode_task(text: str):
    """(folder, atoms, recipe) of a task."""
    from ase import Atoms
    from ase.io.jsonio import decode

    task = decode(text)
    atoms = Atoms(task["numbers"], positions=task["positions"], cell=task["cell"], pbc=task["pbc"], info=task["info"])
    return CampaignFolder(task["folder"]), atoms, Recipe.from_dict(task["recipe"])


def run(folder: CampaignFolder, atoms, recipe: Recipe) -> bool:
    """Labels, where they are not there yet, and the Hamiltonian; True when both are written.

    Any error of the engine is recorded under `failed/` with its traceback.
    """
    name, start = atoms.info["config_id"], time.monotonic()
    try:
        labels = existing_labels(folder, atoms, recipe)
        if labels is None:
            labels = compute(atoms, recipe, log=folder.file("logs", name, ".txt"))
            labels.atoms.info.update(atoms.info)
            labels.info.update(
                labels_hash=labels_hash(atoms, recipe), host=socket.gethostname(), recipe=recipe.to_dict()
            )
            labels.save(folder.result(name))
        write_hamiltonian(folder, labels, recipe)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        record_failure(
            folder,
            atoms,
            recipe,
            reason if isinstance(error, ValueError) else f"{type(error).__name__}: {reason}",
            traceback.format_exc(),
            time.monotonic() - start,
        )
        return False
    for suffix in (".json", ".txt"):
        folder.file("failed", name, suffix).unlink(missing_ok=True)
    return True


def existing_labels(folder: CampaignFolder, atoms, recipe: Recipe) -> Labels | None:
    """Valid labels of a configuration, None where there are none."""
    file = folder.result(atoms.info["config_id"])
    header = read_header(file) if file.is_file() else None
    if header is None or header["hash"] != labels_hash(atoms, recipe):
        return None
    return Labels.load(file)


def write_hamiltonian(folder: CampaignFolder, labels: Labels, recipe: Recipe) -> None:
    """Wannier Hamiltonian of labels, written atomically with the hash of what it is valid for.

    DFT and interpolated bands in `bands/<id>.png`.

    For a recipe with `symmetry` the file holds k-points and eigenvalues alone, and nothing is drawn.

    Raises
    ------
    BandError
        When the bands miss the DFT eigenvalues by more than the recipe allows; nothing but the figure is written then.
    """
    from ..dft.bands_check import require_bands  # with matplotlib: only where a figure is drawn

    name = labels.atoms.info["config_id"]
    arrays = labels.hamiltonian_file(recipe)
    figure = folder.file("bands", name, ".png")
    if not recipe.symmetry:
        arrays["band_error"] = np.asarray(require_bands(labels, recipe, arrays, figure, title=name).rms)
    arrays["hash"] = np.asarray(hamiltonian_hash(labels.atoms, recipe))
    write_npz(folder.hamiltonian(name), arrays, compressed=True)


def record_failure(folder: CampaignFolder, atoms, recipe: Recipe, reason: str, details: str, seconds: float) -> None:
    """Write why a configuration failed: `failed/<id>.json` and, with the traceback, `.txt`."""
    import json

    name = atoms.info["config_id"]
    atomic_write(folder.file("failed", name, ".txt"), details)
    atomic_write(
        folder.failure(name),
        json.dumps(
            {
                "config_id": name,
                "reason": reason,
                "hash": hamiltonian_hash(atoms, recipe),
                "seconds": round(seconds, 1),
                "host": socket.gethostname(),
                "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
                "details": f"failed/{name}.txt",
            },
            indent=1,
        ),
    )


def main() -> int:
    """Read a task from standard input and run it in a scratch folder of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves through `with`: the scratch folder goes too
    folder, atoms, recipe = decode_task(sys.stdin.read())
    home = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="ase-wander-") as scratch:
        os.chdir(scratch)
        try:
            return 0 if run(folder, atoms, recipe) else 1
        finally:
            os.chdir(home)


if __name__ == "__main__":
    sys.exit(main())
