"""Bands at one k-point: the unit of work that processes and clusters share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .eigensolvers import dense_bands, nearest_bands, window_bands
from .nonhermitian import general_bands


@dataclass(frozen=True)
class Request:
    """What to compute at every k: bands lo to hi - 1, or those nearest sigma."""

    n_bands: int
    lo: int | None
    sigma: float | None
    vectors: bool
    method: str
    threads: int
    verify: bool
    #: Solver where H(k) is real, if it is another one.
    real_method: str | None = None


def good_shift(energies):
    """Energy inside the widest opening of the middle half of the bands: a shift that suits the next k."""
    n = len(energies)
    if n == 1:
        return float(energies[0]) - 1e-3
    first, last = max(n // 4 - 1, 0), max(n - n // 4, 2)
    steps = np.diff(energies[first:last])
    widest = int(np.argmax(steps)) + first
    return float((energies[widest] + energies[widest + 1]) / 2)


def matrix_at(h, k):
    """H(k), as a real matrix where it is one (k = -k up to a reciprocal vector and real H(R)): four times cheaper."""
    matrix = h.at_k(k)
    if h.is_real and np.abs(2 * k - np.rint(2 * k)).max() < 1e-12:
        matrix = h.bloch_sum.matrix(np.ascontiguousarray(matrix.data.real))
    return matrix


def solve_one(h, k, request, guess=None):
    """`Eigenpairs` at one k; `guess` is an energy (eV) inside the wanted window."""
    matrix = matrix_at(h, k)
    if request.method == "general":
        return general_bands(matrix, request)
    method = request.method if np.iscomplexobj(matrix.data) else request.real_method or request.method
    options = {"method": method, "vectors": request.vectors, "threads": request.threads}
    if request.lo is None:
        return nearest_bands(matrix, request.sigma, request.n_bands, **options)
    if request.n_bands == matrix.shape[0]:
        return dense_bands(matrix, 0, request.n_bands, request.vectors)
    return window_bands(matrix, request.lo, request.lo + request.n_bands, guess, verify=request.verify, **options)
