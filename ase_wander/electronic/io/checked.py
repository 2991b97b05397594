"""Sparse matrices and tables from files: sizes and indices are checked before C code of scipy or numpy gets them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

#: Cell shifts beyond this are damaged numbers.
MAX_SHIFT = 100_000


def checked_csr(data, indices, indptr, n: int, where: str) -> csr_matrix:
    """A CSR matrix (n, n); ValueError, beginning with `where`, for arrays that are none.

    Parameters
    ----------
    data : array_like of float or complex, shape (n_elements,)
    indices : array_like of int, shape (n_elements,)
        Columns.
    indptr : array_like of int, shape (n + 1,)
        Where every row begins.
    """
    data, indices, indptr = (np.asarray(x) for x in (data, indices, indptr))
    if data.ndim != 1 or data.dtype.kind not in "fciu":
        raise ValueError(f"{where}: elements of shape {data.shape} and type {data.dtype}")
    for name, array, shape in (("columns", indices, data.shape), ("row pointers", indptr, (n + 1,))):
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ValueError(
                f"{where}: {name} of shape {array.shape} and type {array.dtype}, expected integers {shape}"
            )
    if indptr[0] != 0 or indptr[-1] != len(data) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"{where}: row pointers that do not rise from 0 to the {len(data)} elements")
    wrong = np.flatnonzero((indices < 0) | (indices >= n))
    if len(wrong):
        raise ValueError(f"{where}: column {indices[wrong[0]]} of {n} (counted from 0)")
    check_finite(data, where)
    matrix = csr_matrix((data, indices, indptr), shape=(n, n))
    matrix.sort_indices()
    if len(indices) > 1:
        rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
        twice = np.flatnonzero((np.diff(matrix.indices) == 0) & (np.diff(rows) == 0))
        if len(twice):
            z = twice[0]
            raise ValueError(f"{where}: element {rows[z]}, {matrix.indices[z]} (counted from 0) appears twice")
    return matrix


def check_finite(data, where: str) -> None:
    """ValueError where an element is nan or infinite."""
    wrong = np.flatnonzero(~np.isfinite(data))
    if len(wrong):
        raise ValueError(f"{where}: element {wrong[0]} is {np.asarray(data).ravel()[wrong[0]]}")


def whole_numbers(values, where: str, least: int = -MAX_SHIFT, most: int = MAX_SHIFT) -> np.ndarray:
    """Integers from an array that may hold them as floats; ValueError for others, and beyond the bounds."""
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{where}: {values.dtype}, not integers")
    wrong = np.flatnonzero(~((values >= least) & (values <= most) & (values == np.floor(values))).ravel())
    if len(wrong):
        raise ValueError(f"{where}: {values.ravel()[wrong[0]]} is no integer from {least} to {most}")
    return values.astype(np.int64)
