"""Bands at many k-points: which bands, with what shift."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import numpy as np

from ..validity import finite
from . import pardiso
from .eigensolvers import choose_method
from .lines import representatives
from .memory import check_memory
from .nonhermitian import check_request
from .onepoint import Request, good_shift, solve_one
from .parallel import Restart, SnapshotFile, progress_bar, run_tasks
from .snapshots import TOLERANCE, PathModel, margin

log = logging.getLogger(__name__)

#: From this many orbitals on it is worth saying that MKL is missing.
WORTH_MKL = 3000

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
    bounds : ndarray (n_k, n_bands), bound on the error of every energy (eV), or None where all were solved exactly
    """

    kpts: np.ndarray
    energies: np.ndarray
    first: np.ndarray
    states: np.ndarray | None
    info: list
    bounds: np.ndarray | None = None


def make_request(h, n_bands, sigma, vectors, method="auto", threads=1, verify=False, beyond=0):
    """Validated `Request`; ValueError says what does not fit. `beyond`: bands more on either side of the window."""
    n = h.n_orbitals
    method = "auto" if method == "exact" else method
    if n_bands is None and sigma is not None:
        raise ValueError("sigma needs n_bands: how many of the energies nearest to it")
    if n_bands is None:
        lo, n_bands = 0, n
    elif not 1 <= n_bands <= n:
        raise ValueError(f"n_bands is {n_bands}; it must lie between 1 and {n}")
    else:
        lo = h.band_window(n_bands).start if sigma is None else None
    if beyond:
        lo, stop = max(lo - beyond, 0), min(lo + n_bands + beyond, n)
        n_bands = stop - lo
    if sigma is not None:
        finite(sigma, "sigma (eV)")
    if not h.is_hermitian:
        check_request(vectors, method)
        return Request(int(n_bands), lo, None if sigma is None else float(sigma), False, "general", threads, False)
    chosen = choose_method(n, n_bands, method, counted=lo is not None, fill=lambda: 2 * h.factor_elements / n**2)
    # PARDISO counts real matrices as they are; the dense LDL^H is for complex ones, which it would have to double.
    if method == "auto" and chosen == "superlu" and n >= WORTH_MKL:
        warnings.warn(
            f"MKL PARDISO is not installed: SuperLU takes its place for {n} orbitals, up to 2.5 times slower "
            "(pip install mkl, or ase-wander[fast])",
            UserWarning,
            stacklevel=4,
        )
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
    tolerance=TOLERANCE,
):
    """Bands of `h` at `kpts` (n_k, 3).

    Parameters
    ----------
    n_bands, sigma
        See `WannierHamiltonian.eigenvalues`.
    vectors : bool
        Return the states too.
    method : {"auto", "exact", "dense", "superlu", "pardiso", "ldl", "snapshots"}
        "snapshots" solves a few points of every straight line of k-points and follows the bands between them in a
        small model (`snapshots`), with a bound on the error of every band; all others solve every point, "auto" and
        "exact" by the solver that suits the matrix.
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
    tolerance : float
        Largest error (eV) of a band, for method "snapshots".

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
    if n_jobs < 1:
        raise ValueError(f"n_jobs is {n_jobs}; it must be at least 1")
    kpts = np.asarray(kpts, float)
    if method == "snapshots":
        return _by_snapshots(
            h, kpts, n_bands, sigma, vectors, threads, verify, n_jobs, executor, restart, progress, tolerance
        )
    request = make_request(h, n_bands, sigma, vectors, method, threads, verify)
    check_memory(h, request.method, min(n_jobs, len(kpts)))
    log.info("%d k-points of %d orbitals by %s", len(kpts), h.n_orbitals, request.method)
    store = Restart(h, kpts, request, restart)
    with progress_bar(progress, len(kpts), len(store.done)) as advance, store:
        guess = good_shift(store.energies[max(store.done)]) if store.done else None
        _solve(h, kpts, range(len(kpts)), request, store, guess, n_jobs, executor, advance)
    return BandData(kpts, store.energies, store.first, store.states, store.info)


def _solve(h, kpts, positions, request, store, guess, n_jobs, executor, advance):
    """Solve what is not in the store yet."""
    waiting = [k for k in positions if k not in store.done]
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


def _by_snapshots(h, kpts, n_bands, sigma, vectors, threads, verify, n_jobs, executor, restart, progress, tolerance):
    """`BandData` of a window of bands from snapshots."""
    if n_bands is None or sigma is not None:
        raise ValueError("method='snapshots' needs n_bands and no sigma: it follows a window of bands")
    if not h.is_hermitian:
        raise ValueError("H is not Hermitian: method='snapshots' needs orthonormal states; leave method='auto'")
    if not np.isfinite(tolerance) or tolerance <= 0:
        raise ValueError(f"tolerance is {tolerance}; it must be a positive energy in eV")
    window = h.band_window(n_bands)
    request = make_request(h, n_bands, None, True, "auto", threads, verify, beyond=margin(n_bands))
    check_memory(h, request.method, n_jobs)
    first = representatives(kpts)
    store = SnapshotFile(h, kpts, request, restart)

    def solve(positions):
        # The shift of the first snapshot serves all others, also when a run goes on: the numbers stay the same.
        guess = good_shift(next(iter(store.pairs.values())).energies) if store.pairs else None
        needed = list(dict.fromkeys(first[list(positions)].tolist()))
        _solve(h, kpts, needed, request, store, guess, n_jobs, executor, lambda: None)
        return {k: store.pairs[first[k]] for k in positions}

    with progress_bar(progress, len(kpts)) as advance, store:
        model = PathModel(h, kpts, window.start, window.stop, solve, tolerance, vectors, advance)
        model.run()
    info = [{"method": request.method if k in model.snapshots else "snapshots"} for k in range(len(kpts))]
    counted = np.full(len(kpts), window.start)
    return BandData(kpts, model.energies, counted, model.states, info, model.bounds)
