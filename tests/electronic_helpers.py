"""Small Hamiltonians that the tests of `ase_wander.electronic` share."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import graphene

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.solvers import parallel
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


#: Spin-orbit constants (eV) of `p_model`.
COUPLING = {"B": {1: 0.3}, "N": {1: 0.7}}


def bilayer():
    """Two polar honeycomb layers without inversion or mirror, the upper one strained a little against the lower."""
    a = 2.5
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, 18.0]]
    scaled = [[0, 0, 0], [1 / 3, 2 / 3, 0], [0.36, 0.69, 0], [0.65, 0.35, 0]]
    atoms = Atoms("BNBN", scaled_positions=scaled, cell=cell, pbc=(True, True, False))
    atoms.positions[:, 2] = [5.0, 5.1, 8.0, 8.3]
    return atoms


def p_model(atoms):
    """H_ij = V_pi(r) + (V_sigma(r) - V_pi(r)) r r^T / r^2 between p shells (y, z, x): turns with the atoms."""
    pairs = neighbour_pairs(atoms, 4.0)
    unit = (pairs.vector / pairs.distance[:, None])[:, [1, 2, 0]]
    decay = np.exp(-(pairs.distance - 1.45) / 0.8) * (1 - (pairs.distance / 4.0) ** 2) ** 2
    kind = np.where(atoms.numbers[pairs.i] == atoms.numbers[pairs.j], 0.7, 1.0)
    sigma, pi = 3.0 * kind * decay, -1.4 * kind * decay
    blocks = pi[:, None, None] * np.eye(3) + (sigma - pi)[:, None, None] * unit[:, :, None] * unit[:, None, :]
    onsite = np.where(atoms.numbers == 5, 1.5, -1.5)[:, None, None] * np.eye(3)
    n, m = len(atoms), len(pairs)
    return WannierHamiltonian.from_blocks(
        atoms,
        {"B": (1,), "N": (1,)},
        np.append(pairs.i, np.arange(n)),
        np.append(pairs.j, np.arange(n)),
        np.append(pairs.shift, np.zeros((n, 3), int), axis=0),
        np.concatenate([blocks.ravel(), onsite.ravel()]),
        9 * np.arange(m + n + 1),
        n_electrons=12,
    )


def setting(name):
    """Atoms of a setting, the rotation Q (3, 3) of the crystal in it, and each atom's number in `bilayer`."""
    atoms, turn, order = bilayer(), np.eye(3), np.arange(4)
    cell = atoms.cell.array.copy()
    if name == "atoms in another order":
        order = np.array([2, 1, 3, 0])
        atoms = atoms[order]
    elif name == "left-handed":
        atoms.set_cell(cell[[1, 0, 2]])
    elif name == "other vectors":
        atoms.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ cell)
    elif name == "tilted c":
        cell[2] += 0.6 * cell[0] - 0.3 * cell[1]
        atoms.set_cell(cell)
    elif name == "c turned round":
        cell[2] *= -1
        atoms.set_cell(cell)
    elif name == "periodic and cut":
        atoms.pbc = True
        atoms.positions[:, 2] -= 6.5
        atoms.wrap()
    elif name == "periodic, tilted and cut":
        cell[2] += 0.4 * cell[0] + 0.2 * cell[1]
        atoms.set_cell(cell)
        atoms.pbc = True
        atoms.positions[:, 2] -= 6.5
        atoms.wrap()
    elif name == "in other cells":
        atoms.positions += np.array([[3, -2], [0, 1], [-5, 4], [1, 1]]) @ cell[:2]
    elif name == "another plane":
        turn = np.array([[0, 1.0, 0], [0, 0, 1], [1, 0, 0]])
    elif name == "any plane":
        turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
    if "plane" in name:
        atoms.set_cell(cell @ turn.T)
        atoms.positions = atoms.positions @ turn.T
    return atoms, turn, order


SETTINGS = [
    "atoms in another order",
    "left-handed",
    "other vectors",
    "tilted c",
    "c turned round",
    "periodic and cut",
    "periodic, tilted and cut",
    "in other cells",
    "another plane",
    "any plane",
]


def interrupted_at_the_third_point(monkeypatch):
    """Let the solver of single k-points be interrupted at its third call; the list of the k-points that it is given."""
    solve, calls = parallel.solve_one, []

    def stopping(h, k, *rest):
        calls.append(k)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve(h, k, *rest)

    monkeypatch.setattr(parallel, "solve_one", stopping)
    return calls
