"""MKL PARDISO through ctypes: the `mkl` wheel is enough (`pip install mkl`), nothing is compiled.

Matrix types -2 (real symmetric indefinite) and -4 (complex Hermitian indefinite). MKL (2026.2 at least) reports
no inertia for type -4, and its type -4 without 2 x 2 pivots solves wrongly. So where bands are to be counted, a
complex a + ib becomes the real block [[a, -b], [b, a]]: every eigenvalue twice, twice the time and memory.
https://www.intel.com/content/www/us/en/docs/onemkl/developer-reference-c/current/onemkl-pardiso-parameters-table.html
"""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, triu

_ERRORS = {
    -1: "input inconsistent",
    -2: "not enough memory",
    -3: "reordering problem",
    -4: "zero pivot",
    -7: "diagonal matrix is singular",
    -8: "32-bit integer overflow",
    -10: "no license",
    -11: "cannot open files",
}


_loaded = []


def library(threads=1):
    """The loaded MKL runtime, or None where it is not installed.

    The first call fixes the threading layer of the process: sequential for one thread, else Intel OpenMP.
    """
    if _loaded:
        return _loaded[0]
    for path in _candidates():
        try:
            mkl = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL if sys.platform != "win32" else 0)
        except OSError:
            continue
        if hasattr(mkl, "pardiso_64") and hasattr(mkl, "MKL_Set_Threading_Layer"):
            mkl.MKL_Set_Threading_Layer(1 if threads == 1 else 0)
            _loaded.append(mkl)
            return mkl
    return None


def available():
    """Whether MKL PARDISO can be used."""
    return library() is not None


def _candidates():
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if Path(file).name.startswith(("libmkl_rt", "mkl_rt")):
            yield Path(file.locate()).resolve()
    yield from ("libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so")


class Pardiso:
    """Factorisation of a Hermitian CSR matrix (real or complex) with its inertia.

    Parameters
    ----------
    matrix : csr_matrix (n, n)
        Hermitian.
    threads : int
    count : bool
        Whether `n_below` is needed.
    """

    name = "pardiso"

    def __init__(self, matrix, threads=1, count=True):
        self._mkl = library(threads)
        if self._mkl is None:
            raise ImportError("MKL PARDISO is not installed: pip install mkl")
        self._pt = (ctypes.c_void_p * 64)()
        self._threads = int(threads)
        complex_ = np.iscomplexobj(matrix.data)
        self._doubled = complex_ and count
        self._mtype = -4 if complex_ and not count else -2
        self._dtype = np.complex128 if self._mtype == -4 else np.float64
        upper = triu(_real_form(matrix) if self._doubled else matrix, format="csr")
        upper = _with_diagonal(upper)
        self._n = upper.shape[0]
        self._a = np.ascontiguousarray(upper.data, self._dtype)
        self._ia = upper.indptr.astype(np.int64)
        self._ja = upper.indices.astype(np.int64)
        self._iparm = np.zeros(64, np.int64)
        # User values; METIS; no refinement (halves a solve); pivots perturbed below 1e-8; no scaling, no matching;
        # Bunch-Kaufman pivots; number of stored elements wanted; C indices.
        self._iparm[[0, 1, 7, 9, 10, 12, 17, 20, 34]] = 1, 2, 0, 8, 0, 0, -1, 1, 1
        self._call(11)
        self.memory = 1024 * max(self._iparm[14], self._iparm[15] + self._iparm[16])
        self._call(22)

    @property
    def nnz(self):
        """Stored elements of the factor."""
        return int(self._iparm[17])

    @property
    def n_below(self):
        """Number of eigenvalues below the shift, None when it was not counted or pivots had to be perturbed."""
        if self._mtype == -4 or self._iparm[13] != 0:
            return None
        count, odd = divmod(int(self._iparm[22]), 2 if self._doubled else 1)
        return None if odd else count

    def refine(self):
        """Two steps of iterative refinement in every solve from now on."""
        self._iparm[7] = 2

    def solve(self, b):
        """Solution for one or several right-hand sides, shape (n,) or (n, m)."""
        b = np.asarray(b)
        columns = np.array(b.reshape(len(b), -1), complex if self._doubled else self._dtype, order="F")
        x = np.empty_like(columns)
        # A complex column is, in memory, the column Re, Im, Re, Im, ... of the doubled form.
        self._call(33, columns, x)
        return x.reshape(b.shape) if b.ndim == 1 else x

    def _call(self, phase, b=None, x=None):
        def integer(value):
            return ctypes.byref(ctypes.c_int64(value))

        def pointer(array):
            return array.ctypes.data_as(ctypes.c_void_p) if array is not None else None

        error = ctypes.c_int64(0)
        before = self._mkl.MKL_Set_Num_Threads_Local(self._threads)
        self._mkl.pardiso_64(
            self._pt,
            integer(1),
            integer(1),
            integer(self._mtype),
            integer(phase),
            integer(self._n),
            pointer(self._a),
            pointer(self._ia),
            pointer(self._ja),
            None,
            integer(1 if b is None else b.shape[1]),
            pointer(self._iparm),
            integer(0),
            pointer(b),
            pointer(x),
            ctypes.byref(error),
        )
        self._mkl.MKL_Set_Num_Threads_Local(before)
        if error.value == -2:
            raise MemoryError(f"PARDISO: not enough memory for the factor of {self._n} rows")
        if error.value:
            raise RuntimeError(f"PARDISO: {_ERRORS.get(error.value, 'error')} ({error.value}) in phase {phase}")

    def __del__(self):
        if getattr(self, "_mkl", None) is not None and hasattr(self, "_iparm") and not sys.is_finalizing():
            self._call(-1)


def _real_form(matrix):
    """Real symmetric (2n, 2n) CSR with [[a, -b], [b, a]] for every element a + ib."""
    coo = matrix.tocoo()
    row, col, a, b = 2 * coo.row, 2 * coo.col, coo.data.real, coo.data.imag
    return csr_matrix(
        (
            np.concatenate([a, -b, b, a]),
            (np.concatenate([row, row, row + 1, row + 1]), np.concatenate([col, col + 1, col, col + 1])),
        ),
        shape=(2 * matrix.shape[0], 2 * matrix.shape[0]),
    )


def _with_diagonal(upper):
    """PARDISO wants every diagonal element stored, zeros too (and sorted rows)."""
    upper.sort_indices()
    n = upper.shape[0]
    full = np.diff(upper.indptr) > 0
    first = np.full(n, -1)
    first[full] = upper.indices[upper.indptr[:-1][full]]
    if (first == np.arange(n)).all():
        return upper
    coo, every = upper.tocoo(), np.arange(n)
    # Conversion from COO adds up duplicates but keeps stored zeros, unlike a sum of CSR matrices.
    upper = csr_matrix(
        (np.append(coo.data, np.zeros(n)), (np.append(coo.row, every), np.append(coo.col, every))), shape=(n, n)
    )
    upper.sort_indices()
    return upper
