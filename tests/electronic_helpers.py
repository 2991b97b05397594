"""Small Hamiltonians that the tests of `ase_wander.electronic` share."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import graphene

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.structure import neighbour_pairs

#: Hamiltonian files of the reference data of mos2-bilayer.
REFERENCE = Path(__file__).resolve().parents[1] / "models/mos2-bilayer/data/aligned/hamiltonians"


def graphene_model(t=-2.7, onsite=0.3):
    """Nearest-neighbour graphene: E = onsite +- |t f(k)|, f = 1 + e^{ik.a1} + e^{ik.a2} up to a phase."""
    atoms = graphene(a=2.46, vacuum=6)
    atoms.pbc = (True, True, False)
    pairs = neighbour_pairs(atoms, 1.6)
    n = len(pairs)
    return WannierHamiltonian.from_blocks(
        atoms,
        {"C": ("pz",)},
        np.append(pairs.i, [0, 1]),
        np.append(pairs.j, [0, 1]),
        np.append(pairs.shift, np.zeros((2, 3), int), axis=0),
        np.append(np.full(n, t), [onsite, onsite]),
        np.arange(n + 3),
        n_electrons=2,
    )


def random_model(seed=0, n_atoms=4, cutoff=4.0, complex_=False):
    """Random Hermitian blocks on random p- and d-shell atoms in an oblique cell."""
    rng = np.random.default_rng(seed)
    cell = [[3.3, 0.1, 0], [-1.4, 3.1, 0], [0, 0, 15]]
    atoms = Atoms(
        "MoS" * (n_atoms // 2), scaled_positions=rng.random((n_atoms, 3)) * [1, 1, 0.3], cell=cell, pbc=(1, 1, 0)
    )
    pairs = neighbour_pairs(atoms, cutoff)
    count = np.where(atoms.numbers == 42, 5, 3)
    blocks = {}
    for i, j, s in [(i, i, (0, 0, 0)) for i in range(n_atoms)] + list(zip(pairs.i, pairs.j, map(tuple, pairs.shift))):
        b = rng.standard_normal((count[i], count[j])) + (
            1j * rng.standard_normal((count[i], count[j])) if complex_ else 0
        )
        opposite = (j, i, tuple(-np.array(s)))
        blocks[i, j, tuple(int(x) for x in s)] = b / 3
        blocks[int(opposite[0]), int(opposite[1]), tuple(int(x) for x in opposite[2])] = b.conj().T / 3
    for i in range(n_atoms):
        b = blocks[i, i, (0, 0, 0)]
        blocks[i, i, (0, 0, 0)] = b + b.conj().T
    i, j, s = zip(*blocks)
    return WannierHamiltonian.from_blocks(
        atoms,
        {"Mo": (2,), "S": (1,)},
        i,
        j,
        s,
        np.concatenate([b.ravel() for b in blocks.values()]),
        np.append(0, np.cumsum([b.size for b in blocks.values()])),
        n_electrons=7 * n_atoms // 2,
    )
