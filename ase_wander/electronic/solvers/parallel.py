"""Many k-points: processes or a cluster, one restart file, a progress bar."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...files import atomic_write
from ..io.storage import open_npz
from .onepoint import solve_one

#: Seconds between two writes of a restart file.
WRITE_INTERVAL = 5.0

_shared = None


def run_tasks(h, tasks, n_jobs=1, executor=None):
    """Number and result of every ``solve_one(h, *task)``, as soon as it is there, in whatever order the workers finish."""
    if executor is not None:
        # A dask client ships h once; other executors pickle it with every task.
        remote = executor.scatter(h, broadcast=True) if hasattr(executor, "scatter") else h
        yield from _as_finished(
            [executor.submit(solve_one, remote, *task) for task in tasks], hasattr(executor, "scatter")
        )
    elif n_jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, solve_one(h, *task)
    else:
        h.bloch_sum  # noqa: B018 (a cached property: built once here, not in every process)
        # Forked workers inherit h without a copy; elsewhere it is pickled once per process.
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        with ProcessPoolExecutor(min(n_jobs, len(tasks)), multiprocessing.get_context(method), _receive, (h,)) as pool:
            yield from _as_finished([pool.submit(_work, task) for task in tasks])


def _as_finished(futures, dask=False):
    """(number, result) of futures as they finish; what has not begun is cancelled when one fails or the run ends."""
    if dask:
        from dask.distributed import as_completed
    else:
        from concurrent.futures import as_completed
    number = {future: n for n, future in enumerate(futures)}
    failure = None
    try:
        for future in as_completed(futures):
            try:
                result = future.result()
            except Exception as error:  # the others' results are kept first
                failure = failure or error
                continue
            yield number[future], result
    finally:
        for future in futures:
            future.cancel()
    if failure:
        raise failure


def _receive(h):
    global _shared
    _shared = h


def _work(task):
    return solve_one(_shared, *task)


def fingerprint(h, kpts, request):
    """Hash of everything that decides the result."""
    digest = hashlib.sha256()
    for array in (kpts, h.cell_shifts, *(x for b in h.blocks for x in (b.indptr, b.indices, b.data))):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((request.n_bands, request.lo, request.sigma, request.vectors)).encode())
    return digest.hexdigest()


class Restart:
    """Results by k-point, kept in a file where `path` is given.

    A context manager: whatever ends the run, what is done is written.
    """

    def __init__(self, h, kpts, request, path=None):
        n_k, n_bands = len(kpts), request.n_bands
        self.energies = np.full((n_k, n_bands), np.nan)
        self.first = np.full(n_k, -1)
        self.states = np.zeros((n_k, h.n_orbitals, n_bands), complex) if request.vectors else None
        self.info, self.done = [{} for _ in range(n_k)], set()
        self._path = None if path is None else Path(path)
        self._written = time.monotonic()
        if self._path is not None:
            self._key = fingerprint(h, kpts, request)
            if self._path.exists():
                self._read()

    def _read(self):
        data = open_npz(self._path)
        if not {"key", "energies", "first"} <= set(data):
            raise ValueError(f"{self._path}: not a restart file of a band calculation")
        if str(data["key"]) != self._key:
            raise ValueError(
                f"{self._path}: this restart file belongs to another Hamiltonian, other k-points or other "
                "bands; remove it or name another"
            )
        self.energies, self.first = data["energies"], data["first"]
        if self.states is not None:
            self.states = data["states"]
        self.done = set(np.flatnonzero(np.isfinite(self.energies).all(axis=1)).tolist())

    def add(self, k, result):
        """Keep the `Eigenpairs` of k-point number `k`."""
        self.energies[k] = result.energies
        self.first[k] = -1 if result.first is None else result.first
        if self.states is not None:
            self.states[k] = result.vectors
        self.info[k] = result.info
        self.done.add(k)
        if time.monotonic() - self._written > WRITE_INTERVAL:
            self.write()

    def write(self):
        """Write the file, if there is one."""
        if self._path is not None:
            states = {} if self.states is None else {"states": self.states}
            arrays = {"key": np.array(self._key), "energies": self.energies, "first": self.first} | states
            atomic_write(self._path, lambda file: np.savez(file, **arrays))
        self._written = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.done:
            self.write()


@contextmanager
def progress_bar(show, total, done=0):
    """Function to call after every k-point."""
    if not show:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("k-points"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda: bar.advance(task)
