"""Memory of a factorisation, estimated before it is tried."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

#: Bytes per element of the complex factor L: SuperLU stores L and U with indices, and SciPy copies both to read
#: their diagonal; PARDISO stores the doubled real form; LAPACK the full square and the matrix it came from.
BYTES_PER_ELEMENT = {"superlu": 80, "pardiso": 36, "ldl": 64, "dense": 80, "general": 80}


def available_memory():
    """Bytes that can be allocated now, None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def fill_in(pattern, group):
    """Elements of the factor L of a matrix, estimated on its quotient graph.

    All orbitals of an atom have the same neighbours, so minimum degree treats them alike; a matrix with one
    row per atom is factored instead, and its elements count with the sizes of their blocks.

    Parameters
    ----------
    pattern : sparse matrix (n, n)
    group : ndarray of int, shape (n,)
        Atom of every orbital.
    """
    sizes = np.bincount(group)
    n_groups = len(sizes)
    members = csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n_groups, len(group)))
    quotient = (members @ abs(pattern) @ members.T).tocsc()
    quotient.data[:] = -1.0
    # Diagonally dominant: every pivot stays where it is.
    quotient = (quotient + quotient.T + diags(np.diff(quotient.indptr) * 4.0 + 4.0)).tocsc()
    lu = splu(quotient, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    size = np.empty(n_groups)
    size[lu.perm_c] = sizes
    lower = lu.L.tocoo()
    block = size[lower.row] * size[lower.col]
    return float(np.where(lower.row == lower.col, (block + size[lower.row]) / 2, block).sum())


def factor_elements(h):
    """`fill_in` of H(k) at a general k-point."""
    total = abs(h.blocks[0])
    for block in h.blocks[1:]:
        total = total + abs(block)
    return fill_in(
        total,
        h.orbitals["atom"] if h.atoms is not None and (h.orbitals["atom"] >= 0).all() else np.arange(h.n_orbitals),
    )


def estimate_memory(h, method):
    """Bytes of one factorisation (or full diagonalisation) of H(k)."""
    n = h.n_orbitals
    if method in ("dense", "general", "ldl"):
        elements = n * n / (2 if method == "ldl" else 1)
    else:
        elements = h.factor_elements
    return elements * BYTES_PER_ELEMENT[method]


def check_memory(h, method, n_jobs=1, smallest=3000):
    """MemoryError with the numbers when `n_jobs` factorisations will not fit; small matrices are skipped."""
    if h.n_orbitals < smallest:
        return
    available, needed = available_memory(), n_jobs * estimate_memory(h, method)
    if available is not None and needed > available:
        raise MemoryError(
            f"{method} of {h.n_orbitals} orbitals needs about {needed / 1e9:.1f} GB for {n_jobs} k-point(s) "
            f"at a time, {available / 1e9:.1f} GB are free: lower n_jobs, use h.truncate(threshold), "
            "method='pardiso', or export H(k) to PETSc"
        )
