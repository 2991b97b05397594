"""Bands at many k-points: which bands, with what shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ase_wander.electronic.eigensolvers import choose_method, dense_bands, nearest_bands, window_bands


@dataclass
class BandData:
    """Bands at k-points.

    Attributes
    ----------
    kpts : ndarray (n_k, 3)
    energies : ndarray (n_k, n_bands), eV, ascending at each k
    first : ndarray of int (n_k,), absolute index of ``energies[k, 0]``; -1 where it is not known
    states : ndarray (n_k, n_orbitals, n_bands), lattice gauge, or None
    info : list of dict per k (method, shift, stored elements)
    """

    kpts: np.ndarray
    energies: np.ndarray
    first: np.ndarray
    states: np.ndarray | None
    info: list


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


def matrix_at(h, k):
    """H(k), as a real matrix where it is one (k = -k up to a reciprocal vector and real H(R)): four times cheaper."""
    matrix = h.at_k(k)
    if h.is_real and np.abs(2 * k - np.rint(2 * k)).max() < 1e-12:
        matrix = h.bloch_sum.matrix(np.ascontiguousarray(matrix.data.real))
    return matrix


def solve_one(h, k, request, guess=None):
    """`Eigenpairs` at one k; `guess` is an energy (eV) inside the wanted window."""
    matrix = matrix_at(h, k)
    options = {"method": request.method, "vectors": request.vectors, "threads": request.threads}
    if request.lo is None:
        return nearest_bands(matrix, request.sigma, request.n_bands, **options)
    if request.n_bands == matrix.shape[0]:
        return dense_bands(matrix, 0, request.n_bands, request.vectors)
    return window_bands(matrix, request.lo, request.lo + request.n_bands, guess, verify=request.verify, **options)


def good_shift(energies):
    """Energy inside the widest opening of the middle half of the bands: a shift that suits the next k."""
    n = len(energies)
    if n == 1:
        return float(energies[0]) - 1e-3
    first, last = max(n // 4 - 1, 0), max(n - n // 4, 2)
    steps = np.diff(energies[first:last])
    widest = int(np.argmax(steps)) + first
    return float((energies[widest] + energies[widest + 1]) / 2)


def make_request(h, n_bands, sigma, vectors, method="auto", threads=1, verify=False):
    """Validated `Request`; ValueError says what does not fit."""
    n = h.n_orbitals
    if n_bands is None and sigma is not None:
        raise ValueError("sigma needs n_bands: how many of the energies nearest to it")
    if n_bands is None:
        lo, n_bands = 0, n
    elif not 1 <= n_bands <= n:
        raise ValueError(f"n_bands is {n_bands}; it must lie between 1 and {n}")
    else:
        lo = h.band_window(n_bands).start if sigma is None else None
    if sigma is not None and not np.isfinite(sigma):
        raise ValueError(f"sigma is not finite: {sigma}")
    method = choose_method(n, n_bands, method)
    return Request(int(n_bands), lo, None if sigma is None else float(sigma), vectors, method, threads, verify)


def solve_kpoints(h, kpts, n_bands=None, sigma=None, *, vectors=False, method="auto", threads=1, verify=False):
    """Bands of `h` at `kpts` (n_k, 3).

    Parameters
    ----------
    n_bands, sigma
        See `WannierHamiltonian.eigenvalues`.
    vectors : bool
        Return the states too.
    method : {"auto", "dense", "superlu", "pardiso", "ldl"}
    threads : int
        Threads of one factorisation (PARDISO).
    verify : bool
        Count the bands of every window by inertia at both of its ends.

    Returns
    -------
    BandData
    """
    request = make_request(h, n_bands, sigma, vectors, method, threads, verify)
    results, guess = [], None
    for k in kpts:
        results.append(solve_one(h, k, request, guess))
        guess = good_shift(results[-1].energies)
    return BandData(np.asarray(kpts, float), np.array([r.energies for r in results]).reshape(len(kpts), request.n_bands),
                    np.array([-1 if r.first is None else r.first for r in results], int),
                    np.array([r.vectors for r in results]) if vectors else None, [r.info for r in results])
