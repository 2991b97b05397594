"""Sparse matrices out of atom-pair blocks.

Pairs are put in the order of cell shift, first atom, second atom. Then the elements of a row of H(R) stand one after
the other, and their places follow from sums over pairs: no element is sorted.
Index legend: p pairs, R cell shifts, g groups of pairs with one shift and one first atom.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from .blocks import unique_rows

#: Elements whose places are computed at a time.
ELEMENTS_PER_PASS = 2_000_000


def blocks_to_csr(counts, pair_i, pair_j, pair_shift, block, block_ptr):
    """One CSR matrix per cell shift from raveled atom-pair blocks.

    Parameters
    ----------
    counts : ndarray of int, shape (n_atoms,)
        Orbitals per atom.
    pair_i, pair_j : ndarray of int, shape (n_pairs,)
    pair_shift : ndarray of int, shape (n_pairs, 3)
    block : ndarray, shape (sum of counts[i] * counts[j],)
        All blocks raveled row-major, eV.
    block_ptr : ndarray of int, shape (n_pairs + 1,)
        Offsets into `block`.

    Returns
    -------
    cell_shifts : ndarray of int, shape (n_R, 3), in lexical order
    matrices : list of csr_matrix (n_orbitals, n_orbitals)

    Raises
    ------
    ValueError
        When the arrays do not belong together, an atom does not exist, an element is not finite
        or a pair appears twice, naming the pair.
    """
    counts = np.asarray(counts, np.int64)
    i, j = np.asarray(pair_i, np.int64), np.asarray(pair_j, np.int64)
    shift = np.asarray(pair_shift, np.int64).reshape(len(i), 3)
    block, ptr = np.asarray(block), np.asarray(block_ptr, np.int64)
    _check_pairs(counts, i, j, shift, block, ptr)
    n = int(counts.sum())
    cell_shifts, which = unique_rows(shift)
    group = which * len(counts) + i
    order = (
        np.lexsort((j, group)) if len(cell_shifts) * len(counts) ** 2 > 2**62 else np.argsort(group * len(counts) + j)
    )
    _check_once(order, group, i, j, shift)
    indptr, place, length = _places(counts, len(cell_shifts), group, j, order)
    dtype = np.complex128 if np.iscomplexobj(block) else np.float64
    # All shifts stacked on top of each other.
    data, indices = np.empty(len(block), dtype), np.empty(len(block), np.int32 if n < 2**31 else np.int64)
    first = np.cumsum(counts) - counts
    sizes = counts[i] * (counts.max() + 1) + counts[j]
    for size in np.flatnonzero(np.bincount(sizes)):
        ni, nj = divmod(int(size), int(counts.max()) + 1)
        members = np.flatnonzero(sizes == size)
        at_a_time = max(ELEMENTS_PER_PASS // (ni * nj), 1)
        for p in np.split(members, range(at_a_time, len(members), at_a_time)):
            element = np.arange(ni * nj) + ptr[p, None]
            to = (place[p, None, None] + length[p, None, None] * np.arange(ni)[:, None] + np.arange(nj)).reshape(
                len(p), -1
            )
            data[to] = block[element]
            indices[to] = np.tile(first[j[p], None] + np.arange(nj), ni)
    return cell_shifts, _matrices(data, indices, indptr, len(cell_shifts), n)


def _places(counts, n_shifts, group, j, order):
    """Row pointer (n_R n + 1,) of the stacked matrices; of every pair, place of its first element, size of its rows."""
    width = np.bincount(group, weights=counts[j], minlength=n_shifts * len(counts)).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(np.repeat(width, np.tile(counts, n_shifts)))])
    start = np.concatenate([[0], np.cumsum(width * np.tile(counts, n_shifts))])[:-1]
    before = (
        np.cumsum(counts[j[order]]) - counts[j[order]]
    )  # of all pairs in order; of a group, once its start is taken off
    at_start = (np.cumsum(width) - width)[group[order]]
    place = np.empty(len(j), np.int64)
    place[order] = start[group[order]] + before - at_start
    return indptr, place, width[group]


def _matrices(data, indices, indptr, n_shifts, n):
    """The stacked matrix cut at every shift, explicit zeros left out."""
    if not data.all():
        stacked = csr_matrix((data, indices, indptr), shape=(n_shifts * n, n))
        stacked.eliminate_zeros()
        data, indices, indptr = stacked.data, stacked.indices, stacked.indptr
    out = []
    for r in range(n_shifts):
        rows = indptr[r * n : (r + 1) * n + 1]
        cut = slice(rows[0], rows[-1])
        matrix = csr_matrix((n, n), dtype=data.dtype)
        matrix.data, matrix.indices, matrix.indptr = (
            data[cut],
            indices[cut],
            (rows - rows[0]).astype(indices.dtype),
        )
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        out.append(matrix)
    return out


def _check_once(order, group, i, j, shift):
    """ValueError naming a pair that appears twice; `order` sorts by group and j."""
    twice = np.flatnonzero((np.diff(group[order]) == 0) & (np.diff(j[order]) == 0))
    if len(twice):
        p = order[twice[0]]
        raise ValueError(f"the pair of atoms {i[p]}, {j[p]}, cell {shift[p].tolist()} appears twice")


def _check_pairs(counts, i, j, shift, block, ptr):
    if len(j) != len(i) or len(ptr) != len(i) + 1:
        raise ValueError(f"{len(i)} pair_i, {len(j)} pair_j and {len(ptr)} block_ptr do not belong together")
    if not len(i):
        raise ValueError("no pairs: the Hamiltonian is empty")
    for name, index in (("pair_i", i), ("pair_j", j)):
        bad = np.flatnonzero((index < 0) | (index >= len(counts)))
        if len(bad):
            raise ValueError(f"{name}[{bad[0]}] = {index[bad[0]]}: there are only {len(counts)} atoms")
    wrong = np.flatnonzero(np.diff(ptr) != counts[i] * counts[j])
    if len(wrong):
        p = wrong[0]
        raise ValueError(
            f"the block of pair {p} (atoms {i[p]}, {j[p]}, cell {shift[p].tolist()}) has {np.diff(ptr)[p]} "
            f"elements, its orbitals need {counts[i[p]]} x {counts[j[p]]}"
        )
    if ptr[0] != 0 or ptr[-1] != len(block):
        raise ValueError(f"block_ptr runs from {ptr[0]} to {ptr[-1]}, block has {len(block)} elements")
    bad = np.flatnonzero(~np.isfinite(block))
    if len(bad):
        p = int(np.searchsorted(ptr, bad[0], side="right")) - 1
        raise ValueError(f"the block of atoms {i[p]}, {j[p]}, cell {shift[p].tolist()} is not finite")
