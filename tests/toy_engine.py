"""An engine that takes milliseconds, for tests of campaigns: Lennard-Jones energies and a tight-binding Hamiltonian of
s orbitals.

As a program (`python tests/toy_engine.py < task`) it is a worker that knows the engine "toy".
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list

ROOT = Path(__file__).resolve().parents[1]
RECIPE = {"engine": "toy", "shells": {"C": [0]}, "length": 14.0, "semicore": {"C": 0}, "extent": 6.0}


def hopping(distance):
    return -2.0 * np.exp(-distance / 1.2)


def compute(atoms, recipe, log=None):
    """Labels; options: `seconds` of sleep, `fail` and `die`: names that raise and that end the process."""
    from ase_wander.data.dft.labels import Labels

    name = atoms.info["config_id"]
    if log:
        Path(log).write_text(f"toy engine on {name}\n")
        with open(Path(log).with_suffix(".count"), "a") as file:
            file.write("x")
    time.sleep(recipe.options.get("seconds", 0.0))
    if name in recipe.options.get("fail", ()):
        raise ValueError("the toy does\nnot converge")
    if name in recipe.options.get("die", ()):
        os.kill(os.getpid(), signal.SIGKILL)
    work = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    work.calc = LennardJones(sigma=1.3, epsilon=0.1, rc=4.0)
    n1, n2, _ = grid = np.array(recipe.grid(atoms))
    kpts = np.array([[i / n1, j / n2, 0.0] for i in range(n1) for j in range(n2)])
    i, j, shift, distance = neighbor_list("ijSd", atoms, 5.0)
    h = np.zeros((len(kpts), len(atoms), len(atoms)), complex)
    for k, kpt in enumerate(kpts):
        phase = np.exp(2j * np.pi * shift @ kpt)  # H(k) = sum over R of e^(2 pi i k.R) H(R)
        np.add.at(h[k], (i, j), hopping(distance) * phase)
    values, vectors = np.linalg.eigh(h)
    amplitudes = np.swapaxes(vectors, 1, 2)  # <p_m|psi_n>
    return Labels(
        atoms=atoms,
        energy=work.get_potential_energy(),
        forces=work.get_forces(),
        stress=work.get_stress(),
        efermi=0.0,
        kpts=kpts,
        kweights=np.full(len(kpts), 1 / len(kpts)),
        grid=grid,
        eigenvalues=values,
        amplitudes=amplitudes,
        vacuum_top=0.1,
        vacuum_bottom=-0.1,
        seconds=0.5 + recipe.options.get("seconds", 0.0),
    )


def register():
    """Make the engine known to this process."""
    from ase_wander.data.dft import engines

    engines.ENGINES["toy"] = __name__ if __name__ != "__main__" else "toy_engine"


def without_figures():
    """Bands are checked but not drawn, which would take longer than all the rest."""
    from ase_wander.data.dft import bands_check

    check = bands_check.require_bands
    bands_check.require_bands = lambda labels, recipe, arrays=None, figure=None, title=None: check(
        labels, recipe, arrays
    )


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    register()
    if "TOY_FIGURES" not in os.environ:
        without_figures()
    from ase_wander.data.campaign.worker import main

    sys.exit(main())
