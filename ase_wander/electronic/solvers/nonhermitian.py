"""Bands of an H(k) that is not Hermitian, such as the published networks give: it is diagonalised as a general matrix.

Solvers for Hermitian matrices read one triangle, so they would silently take the bands of another matrix.
"""

from __future__ import annotations

import numpy as np

from .eigensolvers import Eigenpairs

#: Largest |H(-R) - H(R)^dagger| (eV) that counts as rounding.
TOLERANCE = 1e-5


def real_parts(matrix):
    """Real parts of all eigenvalues of a sparse or dense square matrix, ascending; for a Hermitian one, its bands."""
    return np.sort(np.linalg.eigvals(matrix.toarray() if hasattr(matrix, "toarray") else matrix).real)


def general_bands(matrix, request):
    """`Eigenpairs` without states: the bands of `request` among the real parts of the eigenvalues."""
    energies = real_parts(matrix)
    if request.lo is not None:
        first = request.lo
    else:
        first = min(
            range(len(energies) - request.n_bands + 1),
            key=lambda k: np.abs(energies[k : k + request.n_bands] - request.sigma).max(),
        )
    return Eigenpairs(energies[first : first + request.n_bands], first, info={"method": "general"})


def check_request(vectors, method):
    """ValueError for what only a Hermitian Hamiltonian has."""
    if vectors:
        raise ValueError("H is not Hermitian: it has no orthonormal states; take its Hermitian part (hermitian=True)")
    if method not in ("auto", "dense"):
        raise ValueError(f"H is not Hermitian: method={method!r} reads one triangle of it; leave method='auto'")
