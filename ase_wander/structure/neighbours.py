"""Neighbour pairs of a structure, and the check that it is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce

from .slab import slab_cell

#: Atoms closer than this (Å) are taken for an input error.
MIN_DISTANCE = 1.0

#: Atoms farther from the origin than this (Å) are taken for an input error.
FARTHEST = 1e7

#: Bins of a cell list that vesin holds without coarsening it (its limit is 1e5).
MAX_BINS = 9e4


@dataclass(frozen=True)
class NeighbourPairs:
    """Ordered pairs of atoms within a cutoff; (i, j, S) and (j, i, -S) both appear.

    Attributes
    ----------
    i, j : ndarray of int, shape (n_pairs,)
        Atom indices.
    shift : ndarray of int, shape (n_pairs, 3)
        Cell of atom j, in lattice vectors, for positions as given (not wrapped).
    vector : ndarray of float, shape (n_pairs, 3)
        r_j + shift @ cell - r_i in Å.
    distance : ndarray of float, shape (n_pairs,)
        Length of `vector` in Å.
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    vector: np.ndarray
    distance: np.ndarray

    def __len__(self):
        return len(self.i)

    def select(self, mask):
        """Pairs where `mask` (bool or index array) holds."""
        return NeighbourPairs(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def half(self):
        """One of every pair and its reverse, see `one_of_each_pair`."""
        return self.select(one_of_each_pair(self.i, self.j, self.shift))


def one_of_each_pair(i, j, shift, species=None) -> np.ndarray:
    """Which ordered pairs to keep so that every unordered pair is left once.

    Parameters
    ----------
    i, j : ndarray of int, shape (n_pairs,)
    shift : ndarray of int, shape (n_pairs, 3)
        Cell of atom j.
    species : ndarray of int, shape (n_atoms,), optional
        With it the atom of the lower species index comes first.

    Returns
    -------
    ndarray of bool, shape (n_pairs,)
        Pairs with i < j; of an atom and its images those whose shift is lexicographically positive, so not the pair of
        an atom with itself.
    """
    x, y, z = np.asarray(shift).T
    positive = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    first = (i < j) | ((i == j) & positive)
    return first if species is None else (species[i] < species[j]) | ((species[i] == species[j]) & first)


def neighbour_pairs(atoms: Atoms, cutoff: float) -> NeighbourPairs:
    """All ordered pairs of different atoms (or images) closer than `cutoff` (Å), sorted by i."""
    import vesin  # here, as it imports torch where that is installed: building a cell need not wait for it

    pbc, box, cutoff = np.asarray(atoms.pbc), slab_cell(atoms), float(cutoff)
    reach = _search_radius(box, cutoff)
    calculator = vesin.NeighborList(cutoff=reach, full_list=True, sorted=True)
    i, j, shift, vector, distance = calculator.compute(
        points=atoms.positions, box=box, periodic=pbc, quantities="ijSDd"
    )
    pairs = NeighbourPairs(i.astype(np.int64), j.astype(np.int64), shift.astype(np.int64), vector, distance)
    return pairs if reach == cutoff else pairs.select(distance < cutoff)


def _search_radius(box, cutoff):
    """`cutoff`, or the larger radius (Å) at which a cell list of `box` (3, 3) has no more bins than vesin can hold.

    vesin coarsens a list of more than 1e5 bins by the same factor along all axes. A wide flat cell then gets no bin
    at all along its short axis, and the division by that zero ends the interpreter.
    """
    heights = abs(np.linalg.det(box)) / np.linalg.norm(np.cross(box[[1, 2, 0]], box[[2, 0, 1]]), axis=1)
    while np.prod(np.maximum(np.floor(heights / cutoff), 1.0)) > MAX_BINS:
        cutoff *= 1.1
    return cutoff


def check_atoms(atoms: Atoms, min_distance: float = MIN_DISTANCE) -> None:
    """Raise ValueError, naming the atom, for input that no model can treat.

    Checked: at least one atom, elements that exist, finite positions and cell, a cell that spans the periodic
    directions, periodicity in the plane, no two atoms closer than `min_distance` (Å).
    """
    if len(atoms) == 0:
        raise ValueError("the structure holds no atoms")
    bad = np.flatnonzero((atoms.numbers < 0) | (atoms.numbers >= len(chemical_symbols)))
    if len(bad):
        raise ValueError(f"atom {bad[0]} has the atomic number {atoms.numbers[bad[0]]}: there is no such element")
    bad = np.flatnonzero(~(np.abs(atoms.positions) < FARTHEST).all(axis=1))
    if len(bad):
        k = bad[0]
        finite = np.isfinite(atoms.positions[k]).all()
        what = f"is out of range (farther than {FARTHEST:g} Å)" if finite else "is not finite"
        raise ValueError(f"position of atom {k} ({atoms.symbols[k]}) {what}: {atoms.positions[k]}")
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is not finite: {atoms.cell.array.tolist()}")
    pbc = np.asarray(atoms.pbc)
    if not pbc[:2].all():
        raise ValueError(
            f"pbc is {pbc.tolist()}: a layered structure must be periodic along the first two "
            "lattice vectors (atoms.pbc = (True, True, False))"
        )
    if np.linalg.matrix_rank(atoms.cell.array[pbc], tol=1e-3) < pbc.sum():
        raise ValueError(f"the cell {atoms.cell.array.tolist()} does not span its periodic directions {pbc.tolist()}")
    _check_scale(atoms, min_distance)
    pairs = neighbour_pairs(atoms, min_distance)
    if len(pairs):
        k = int(np.argmin(pairs.distance))
        raise _overlap(atoms, int(pairs.i[k]), int(pairs.j[k]), pairs.distance[k], min_distance)


def _check_scale(atoms, min_distance):
    """Refuse in a moment what would give a neighbour list without bound: a tiny cell, or atoms in one heap.

    Two atoms in one cube of side `min_distance` / sqrt(3) are too close. Where no cube holds two, an atom has few
    neighbours within `min_distance`.
    """
    pbc = np.asarray(atoms.pbc)
    reduced, _ = minkowski_reduce(slab_cell(atoms), pbc)
    length = np.linalg.norm(reduced[pbc], axis=1)
    if length.min() < min_distance:
        raise ValueError(
            f"the structure repeats after {length.min():.3g} Å, less than {min_distance:g} Å: every atom overlaps with "
            "its image. Are lengths in Å?"
        )
    fractional = np.linalg.solve(reduced.T, atoms.positions.T).T
    fractional[:, pbc] %= 1.0
    cubes = np.floor(fractional @ reduced * (np.sqrt(3) / min_distance)).astype(np.int64)
    order = np.lexsort(cubes.T)
    twice = np.flatnonzero((cubes[order[1:]] == cubes[order[:-1]]).all(axis=1))
    if len(twice):
        i, j = np.sort(order[twice[0] : twice[0] + 2])
        distance = np.linalg.norm((fractional[j] - fractional[i]) @ reduced)
        raise _overlap(atoms, i, j, distance, min_distance)


def _overlap(atoms, i, j, distance, min_distance):
    return ValueError(
        f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) overlap: "
        f"{distance:.3f} Å apart, less than {min_distance:g} Å"
    )
