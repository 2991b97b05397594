"""Bands at many k-points: which bands, with what shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import pardiso
from .eigensolvers import choose_method
from .memory import check_memory
from .nonhermitian import check_request
from .onepoint import Request, solve_one
from .parallel import Restart, progress_bar, run_tasks

#: From this many orbitals on PARDISO beats the dense LDL^T at real H(k), however full its factor (docs/electronic.md).
REAL_SPARSE = 3000


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
    if not h.is_hermitian:
        check_request(vectors, method)
        return Request(int(n_bands), lo, None if sigma is None else float(sigma), False, "general", threads, False)
    chosen = choose_method(n, n_bands, method, counted=lo is not None, fill=lambda: 2 * h.factor_elements / n**2)
    # PARDISO counts real matrices as they are; the dense LDL^H is for complex ones, which it would have to double.
    real = "pardiso" if method == "auto" and chosen == "ldl" and n >= REAL_SPARSE and pardiso.available() else None
    return Request(int(n_bands), lo, None if sigma is None else float(sigma), vectors, chosen, threads, verify, real)


def solve_kpoints(
    h,
    kpts,
    n_bands=None,
    sigma=None,
    *,
    vectors=False,
    method="auto",
    threads=1,
    verify=False,
    n_jobs=1,
    executor=None,
    restart=None,
    progress=False,
):
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
    n_jobs : int
        Processes; each works on another k-point.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Workers elsewhere, instead of `n_jobs` processes here.
    restart : str or path, optional
        File (.npz) of the k-points that are done; an interrupted run goes on from it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BandData

    Raises
    ------
    MemoryError
        When the factorisation will not fit, before it is tried.
    ValueError
        Also when the restart file belongs to another calculation.
    """
    request = make_request(h, n_bands, sigma, vectors, method, threads, verify)
    if n_jobs < 1:
        raise ValueError(f"n_jobs is {n_jobs}; it must be at least 1")
    check_memory(h, request.method, min(n_jobs, len(kpts)))
    kpts = np.asarray(kpts, float)
    store = Restart(h, kpts, request, restart)
    waiting = [k for k in range(len(kpts)) if k not in store.done]
    with progress_bar(progress, len(kpts), len(store.done)) as advance, store:
        guess = good_shift(store.energies[max(store.done)]) if store.done else None
        if waiting and guess is None:
            # The first point finds the window; its shift serves all others.
            result = solve_one(h, kpts[waiting[0]], request)
            store.add(waiting.pop(0), result)
            guess = good_shift(result.energies)
            advance()
        tasks = [(kpts[k], request, guess) for k in waiting]
        for number, result in run_tasks(h, tasks, n_jobs, executor):
            store.add(waiting[number], result)
            advance()
    return BandData(kpts, store.energies, store.first, store.states, store.info)
