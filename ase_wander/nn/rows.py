"""Neighbours row by row, as the compiled loops take them: indices and cell shifts, good for many steps."""

from __future__ import annotations

from ctypes import c_int64, c_void_p

import numpy as np

from .. import kernels


class Rows:
    """Rows of neighbours of n atoms, both directions of every pair.

    Parameters
    ----------
    library : ctypes.CDLL
        From `kernels.load`.
    i, j : ndarray of int, shape (p,)
        Every pair once.
    shift : ndarray of int, shape (p, 3)
        Cell of atom j.
    n_atoms : int

    Attributes
    ----------
    start : ndarray of int64, shape (n + 1,)
        Row i is [start[i], start[i + 1]).
    neighbour : ndarray of int32, shape (2 p,)
    shift : ndarray of int32, shape (2 p, 3)
    longest : int
        Length of the longest row.
    """

    def __init__(self, library, i, j, shift, n_atoms: int):
        i, j, shift = (np.ascontiguousarray(x, t) for x, t in ((i, np.int64), (j, np.int64), (shift, np.int32)))
        self.n_atoms = n_atoms
        self.start = np.empty(n_atoms + 1, np.int64)
        self.neighbour = np.empty(2 * len(i), np.int32)
        self.shift = np.empty((2 * len(i), 3), np.int32)
        out = (_at(x) for x in (self.start, self.neighbour, self.shift))
        library.rows_of_pairs(c_int64(len(i)), *map(_at, (i, j, shift)), c_int64(n_atoms), *out)
        self.longest = int(np.diff(self.start).max(initial=0))


class PlacedRows:
    """Rows with the atoms at their places: what the loops read.

    Parameters
    ----------
    rows : Rows
    positions : array_like, shape (n, 3)
        Å.
    cell : array_like, shape (3, 3)
        Å.
    species, layers : array_like of int, shape (n,)
    """

    def __init__(self, rows: Rows, positions, cell, species, layers):
        self.longest = rows.longest
        self.species = np.ascontiguousarray(species, np.int32)
        self.arrays = (
            rows.start,
            rows.neighbour,
            rows.shift,
            np.array(positions, float, order="C"),
            np.array(cell, float, order="C"),
            self.species,
            np.ascontiguousarray(layers, np.int32),
        )
        self.structure = kernels.Structure(rows.n_atoms, *(x.ctypes.data for x in self.arrays))


def _at(array):
    return c_void_p(array.ctypes.data)
