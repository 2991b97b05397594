"""Many k-points: processes or a cluster, one restart file, a progress bar."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...archives import read_npz, write_npz
from . import worker
from .eigensolvers import Eigenpairs
from .onepoint import solve_one

#: Seconds between two writes of a restart file.
WRITE_INTERVAL = 5.0

_shared = None


def run_tasks(h, tasks, n_jobs=1, executor=None):
    """Number and result of every ``solve_one(h, *task)``, as soon as it is there, in whatever order the workers
    finish.
    """
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
        context, start = multiprocessing.get_context(method), (h, os.getpid())
        with ProcessPoolExecutor(min(n_jobs, len(tasks)), context, _receive, start) as pool:
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


def _receive(h, parent):
    global _shared
    _shared = h
    worker.prepare(parent)


def _work(task):
    return solve_one(_shared, *task)


def fingerprint(h, kpts, request):
    """Hash of everything that decides the result."""
    digest = hashlib.sha256()
    for array in (kpts, h.cell_shifts, *(x for b in h.blocks for x in (b.indptr, b.indices, b.data))):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((request.n_bands, request.lo, request.sigma, request.vectors)).encode())
    return digest.hexdigest()


class RestartFile:
    """What is done of a calculation, in a file where `path` is given; whatever ends the `with` block, it is written."""

    def __init__(self, key, path=None):
        self.done = set()
        self._key, self._path = key, None if path is None else Path(path)
        self._written = time.monotonic()
        if self._path is not None and self._path.exists():
            data = read_npz(self._path, required=True)
            if not {"key", "energies", "first"} <= set(data):
                raise ValueError(f"{self._path}: not a restart file of a band calculation")
            if str(data["key"]) != self._key:
                raise ValueError(
                    f"{self._path}: this restart file belongs to another Hamiltonian, other k-points or other "
                    "bands; remove it or name another"
                )
            self._read(data)

    def _keep(self, k):
        self.done.add(k)
        if time.monotonic() - self._written > WRITE_INTERVAL:
            self.write()

    def write(self):
        """Write the file, if there is one."""
        if self._path is not None:
            write_npz(self._path, {"key": np.array(self._key)} | self._arrays())
        self._written = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.done:
            self.write()


class Restart(RestartFile):
    """Results by k-point."""

    def __init__(self, h, kpts, request, path=None):
        n_k, n_bands = len(kpts), request.n_bands
        self.energies = np.full((n_k, n_bands), np.nan)
        self.first = np.full(n_k, -1)
        self.states = np.zeros((n_k, h.n_orbitals, n_bands), complex) if request.vectors else None
        self.info = [{} for _ in range(n_k)]
        super().__init__(None if path is None else fingerprint(h, kpts, request), path)

    def _read(self, data):
        self.energies, self.first = data["energies"], data["first"]
        if self.states is not None:
            self.states = data["states"]
        self.done = set(np.flatnonzero(np.isfinite(self.energies).all(axis=1)).tolist())

    def _arrays(self):
        states = {} if self.states is None else {"states": self.states}
        return {"energies": self.energies, "first": self.first} | states

    def add(self, k, result):
        """Keep the `Eigenpairs` of k-point number `k`."""
        self.energies[k] = result.energies
        self.first[k] = -1 if result.first is None else result.first
        if self.states is not None:
            self.states[k] = result.vectors
        self.info[k] = result.info
        self._keep(k)


class SnapshotFile(RestartFile):
    """`Eigenpairs` with states of the few k-points that were solved, by their number."""

    def __init__(self, h, kpts, request, path=None):
        self.pairs = {}
        super().__init__(None if path is None else "snapshots " + fingerprint(h, kpts, request), path)

    def _read(self, data):
        for k, energies, first, states in zip(data["points"], data["energies"], data["first"], data["states"]):
            self.pairs[int(k)] = Eigenpairs(energies, int(first), states)
        self.done = set(self.pairs)

    def _arrays(self):
        pairs = self.pairs.values()
        return {
            "points": np.array(list(self.pairs)),
            "energies": np.array([x.energies for x in pairs]),
            "first": np.array([x.first for x in pairs]),
            "states": np.array([x.vectors for x in pairs]),
        }

    def add(self, k, result):
        """Keep the `Eigenpairs` of k-point number `k`."""
        self.pairs[k] = result
        self._keep(k)


@contextmanager
def progress_bar(show, total, done=0):
    """Function to call after every k-point."""
    if not show:
        yield lambda n=1: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("k-points"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda n=1: bar.advance(task, n)
