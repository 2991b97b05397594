"""Atom-pair blocks of a Hamiltonian, and the Bloch sum of its sparse matrices on one merged pattern.

Index legend: p pairs, R cell shifts, z stored elements of the merged pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.sparse import csr_matrix

#: Arrays of `PairBlocks` that hold integers.
INTEGER_ARRAYS = ("pair_i", "pair_j", "pair_shift", "block_ptr")


@dataclass(frozen=True)
class PairBlocks:
    """Blocks of ordered atom pairs: what a model predicts, a reference file holds and a `WannierHamiltonian` is made
    of.

    Block p holds the elements <w_i,0|H|w_j,R> between the orbitals of atom i = pair_i[p] in the home cell and those of
    atom j = pair_j[p] in the cell R = pair_shift[p]. It unpacks, and is indexed, in the order of its fields.

    Attributes
    ----------
    pair_i, pair_j : ndarray of int, shape (n_pairs,)
        On-site pairs (i = j, shift 0) are among them.
    pair_shift : ndarray of int, shape (n_pairs, 3)
    block : ndarray of float or complex, shape (n_elements,)
        All blocks raveled row-major, eV.
    block_ptr : ndarray of int, shape (n_pairs + 1,)
        Block p is ``block[block_ptr[p]:block_ptr[p + 1]]``.
    n_electrons : float, optional
        Electrons that fill the bands, per cell; None where unknown.
    """

    pair_i: np.ndarray
    pair_j: np.ndarray
    pair_shift: np.ndarray
    block: np.ndarray
    block_ptr: np.ndarray
    n_electrons: float | None = None

    def __iter__(self):
        return (getattr(self, field.name) for field in fields(self))

    def __getitem__(self, index):
        return tuple(self)[index]

    @classmethod
    def from_arrays(cls, arrays: Mapping, n_electrons: float | None = None) -> PairBlocks:
        """Blocks of a Hamiltonian file: integer indices, elements as float64 (or complex128)."""
        block = np.asarray(arrays["block"])
        integer = {name: np.asarray(arrays[name]).astype(np.int64) for name in INTEGER_ARRAYS}
        dtype = np.complex128 if np.iscomplexobj(block) else np.float64
        return cls(block=block.astype(dtype), n_electrons=n_electrons, **integer)

    @classmethod
    def from_parts(cls, parts: Iterable, n_electrons: float | None = None) -> PairBlocks:
        """Blocks of several groups of pairs: i (p,), j (p,), shift (p, 3) and blocks (p, n_i, n_j) of each group."""
        i, j, shift, blocks = zip(*parts)
        sizes = np.concatenate([np.full(len(b), b[0].size if len(b) else 0) for b in blocks])
        return cls(
            np.concatenate(i),
            np.concatenate(j),
            np.concatenate(shift),
            np.concatenate([b.ravel() for b in blocks]),
            np.concatenate([[0], np.cumsum(sizes)]),
            n_electrons,
        )

    @property
    def n_pairs(self) -> int:
        """Number of ordered pairs."""
        return len(self.pair_i)

    @property
    def sizes(self) -> np.ndarray:
        """Elements of every block, shape (n_pairs,)."""
        return np.diff(self.block_ptr)

    @property
    def onsite(self) -> np.ndarray:
        """Which pairs are an atom with itself in the same cell, bool, shape (n_pairs,)."""
        return (self.pair_i == self.pair_j) & ~np.any(self.pair_shift, axis=1)

    def of_pair(self, p: int) -> np.ndarray:
        """Elements of block p, raveled."""
        return self.block[self.block_ptr[p] : self.block_ptr[p + 1]]

    def stacked(self, pairs, n_i: int, n_j: int) -> np.ndarray:
        """Blocks of pairs of one kind, shape (len(pairs), n_i, n_j); `pairs` index array."""
        return self.block[self.block_ptr[pairs][:, None] + np.arange(n_i * n_j)].reshape(-1, n_i, n_j)

    def take(self, pairs) -> PairBlocks:
        """Blocks of some pairs, `pairs` a mask or an index array, in its order."""
        pairs = np.arange(self.n_pairs)[pairs]
        size = self.sizes[pairs]
        ptr = np.concatenate([[0], np.cumsum(size)])
        elements = np.repeat(self.block_ptr[pairs] - ptr[:-1], size) + np.arange(ptr[-1])
        return replace(
            self,
            pair_i=self.pair_i[pairs],
            pair_j=self.pair_j[pairs],
            pair_shift=self.pair_shift[pairs],
            block=self.block[elements],
            block_ptr=ptr,
        )

    def find(self, i, j, shift) -> np.ndarray:
        """Place of every pair (i, j, shift) among these pairs, -1 where it is absent.

        I, j (m,), shift (m, 3) -> (m,).
        """
        own = np.column_stack([self.pair_i, self.pair_j, self.pair_shift])
        wanted = np.column_stack([i, j, shift])
        if not len(own) or not len(wanted):
            return np.full(len(wanted), -1)
        low = np.minimum(own.min(axis=0), wanted.min(axis=0))
        size = np.maximum(own.max(axis=0), wanted.max(axis=0)) - low + 1
        keys, searched = (np.ravel_multi_index((rows - low).T, size) for rows in (own, wanted))
        order = np.argsort(keys, kind="stable")
        place = order[np.minimum(np.searchsorted(keys, searched, sorter=order), len(keys) - 1)]
        return np.where(keys[place] == searched, place, -1)

    def opposite(self) -> np.ndarray:
        """Place of the pair (j, i, -R) of every pair (i, j, R), whose block is the transpose; -1 where it is absent."""
        return self.find(self.pair_j, self.pair_i, -self.pair_shift)

    def vectors(self, atoms) -> np.ndarray:
        """From atom i to atom j of every pair, Å, shape (n_pairs, 3)."""
        return atoms.positions[self.pair_j] + self.pair_shift @ atoms.cell.array - atoms.positions[self.pair_i]


def unique_rows(shift):
    """Distinct rows of an (n, 3) integer array in lexical order, and the row of each entry."""
    if not len(shift):
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    low = shift.min(axis=0)
    size = shift.max(axis=0) - low + 1
    key = np.ravel_multi_index((shift - low).T, size)
    unique, which = np.unique(key, return_inverse=True)
    return np.stack(np.unravel_index(unique, size), axis=1) + low, which


def opposite_shifts(cell_shifts):
    """Index of -R for every R, -1 where it is missing."""
    index = {tuple(r): k for k, r in enumerate(np.asarray(cell_shifts).tolist())}
    return np.array([index.get(tuple(-x for x in r), -1) for r in np.asarray(cell_shifts).tolist()])


#: Elements that are compared with their transposes at a time.
ELEMENTS_PER_STRIPE = 20_000_000


def hermiticity_error(cell_shifts, matrices):
    """Largest |H(R) - H(-R)^dagger| in eV, and its (R index, row, column)."""
    worst, where = 0.0, None
    for r, (matrix, other) in enumerate(zip(matrices, opposite_shifts(cell_shifts))):
        if other >= 0 and other < r:
            continue
        opposite = matrices[other] if other >= 0 else csr_matrix(matrix.shape)
        # In stripes of rows: a whole transpose of a large block would take three times its memory.
        stripes = min(1 + matrix.nnz // ELEMENTS_PER_STRIPE, matrix.shape[0])
        for rows in np.array_split(np.arange(matrix.shape[0]), stripes):
            part = slice(rows[0], rows[-1] + 1) if stripes > 1 else slice(None)
            difference = (matrix[part] - opposite[:, part].conj().T).tocoo()
            if difference.nnz:
                z = int(np.argmax(np.abs(difference.data)))
                if abs(difference.data[z]) > worst:
                    row = int(difference.row[z]) + (part.start or 0)
                    worst, where = float(abs(difference.data[z])), (r, row, int(difference.col[z]))
    return worst, where


@dataclass(frozen=True)
class BlochSum:
    """Union of the patterns of all H(R); the elements at a k-point are one sparse matrix-vector product.

    Attributes
    ----------
    indptr, indices : CSR pattern shared by all k
    rows : ndarray of int, shape (n_z,), row of every stored element
    shifts : ndarray of float, shape (n_R, 3)
    elements : csr_matrix (n_z, n_R), the stored elements of every H(R)
    """

    indptr: np.ndarray
    indices: np.ndarray
    rows: np.ndarray
    shifts: np.ndarray
    elements: csr_matrix

    @classmethod
    def merge(cls, cell_shifts, matrices):
        n = matrices[0].shape[0]
        coos = [m.tocoo() for m in matrices]
        keys = [c.row.astype(np.int64) * n + c.col for c in coos]
        # A canonical CSR of ones has exactly the union pattern, in the order of row * n + col.
        row, col = (np.concatenate([getattr(c, name) for c in coos]) for name in ("row", "col"))
        union = csr_matrix((np.ones(len(row), np.int32), (row, col)), shape=(n, n))
        union.sort_indices()
        rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(union.indptr))
        merged = rows * n + union.indices
        z = np.concatenate([np.searchsorted(merged, key) for key in keys])
        r = np.repeat(np.arange(len(matrices)), [c.nnz for c in coos])
        data = np.concatenate([c.data for c in coos])
        elements = csr_matrix((data, (z, r)), shape=(len(merged), len(matrices)))
        return cls(union.indptr, union.indices, rows, np.asarray(cell_shifts, float), elements)

    def data(self, k):
        """Elements of H(k) = sum_R e^{2 pi i k.R} H(R), shape (n_z,), k in reciprocal lattice vectors."""
        return self.elements @ np.exp(2j * np.pi * (self.shifts @ k))

    def derivative(self, k):
        """dH/dk_a = sum_R 2 pi i R_a e^{2 pi i k.R} H(R), shape (n_z, 3), per reciprocal lattice vector."""
        phase = np.exp(2j * np.pi * (self.shifts @ k))
        return self.elements @ (2j * np.pi * self.shifts * phase[:, None])

    def matrix(self, data):
        """CSR matrix on the merged pattern (indices shared, not copied)."""
        n = len(self.indptr) - 1
        matrix = csr_matrix((data, self.indices, self.indptr), shape=(n, n), copy=False)
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix
