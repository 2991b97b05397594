"""Tasks in processes of their own: on this machine, or on the machines of a dask cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

from ...files import atomic_write
from .folder import KINDS, CampaignFolder
from .worker import decode_task, encode_task, record_failure

#: Program that runs one task, read from its standard input.
#: -P: a file of the current folder that is named as a module of Python is not imported.
WORKER = (sys.executable, "-P", "-m", "ase_wander.data.campaign.worker")

#: One configuration uses one core: several run beside each other.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

#: Seconds to wait for the answer of a dask scheduler.
TIMEOUT = 10


class ProcessGroup:
    """Processes that can be ended together."""

    def __init__(self):
        self._running, self._guard, self.ended = set(), threading.Lock(), False

    def start(self, command, **options):
        """A new process in a session of its own; None once the group has been ended."""
        with self._guard:
            if self.ended:
                return None
            # a session of its own: an interrupt from the keyboard reaches the campaign alone, which then ends its
            # processes
            process = subprocess.Popen(command, start_new_session=True, **options)
            self._running.add(process)
            return process

    def forget(self, process):
        with self._guard:
            self._running.discard(process)

    def end(self):
        """End all, with their children; none starts any more."""
        with self._guard:
            self.ended = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


#: Processes that this process started on behalf of a dask scheduler.
_remote = ProcessGroup()


def run_task(task: str, group: ProcessGroup, command=WORKER, keep_open=()) -> bool:
    """Run one task in a new process and wait for it.

    A process that dies without a message (a signal, no memory) is recorded as a failure too.

    Parameters
    ----------
    task : str
        See `worker.encode_task`.
    group : ProcessGroup
    command : sequence of str
    keep_open : sequence of int
        File descriptors that the process inherits: it holds the lock of its configuration even when this process is
        gone.

    Returns
    -------
    bool
        True when labels and Hamiltonian are there.
    """
    root = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        **ENVIRONMENT,
        # an empty entry would be the current folder
        "PYTHONPATH": os.pathsep.join(filter(None, [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])),
    }
    process = group.start(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        pass_fds=tuple(keep_open),
    )
    if process is None:
        return False
    try:
        _, errors = process.communicate(task)
    finally:
        group.forget(process)
    if process.returncode == 0:
        return True
    folder, atoms, recipe = decode_task(task)
    if not group.ended and (process.returncode != 1 or not folder.failure(atoms.info["config_id"]).exists()):
        record_failure(folder, atoms, recipe, _death(process.returncode, errors), errors, 0.0)
    return False


def _death(code, errors):
    """One line on a process that ended without a record of its own."""
    if code < 0:
        return f"killed by signal {signal.Signals(-code).name}" + (
            " (out of memory?)" if code == -signal.SIGKILL else ""
        )
    last = [line for line in errors.splitlines() if line.strip()]
    return last[-1].strip() if last else f"exit status {code}"


def run_remote(task: str, command=WORKER) -> tuple[bool, dict]:
    """`run_task` in a temporary folder of the machine that executes it; what was written comes back as {path:
    bytes}.
    """
    _, atoms, recipe = decode_task(task)
    with tempfile.TemporaryDirectory(prefix="ase-wander-") as path:
        folder = CampaignFolder(path)
        folder.create()
        done = run_task(encode_task(path, atoms, recipe), _remote, command)
        files = [f for kind in KINDS for f in (folder.path / kind).iterdir()]
        return done, {str(f.relative_to(path)): f.read_bytes() for f in files}


class LocalPool:
    """`n_workers` processes at a time on this machine."""

    def __init__(self, n_workers: int, command=WORKER):
        self.n_workers, self.command = n_workers, command
        self._pool, self._group = ThreadPoolExecutor(n_workers), ProcessGroup()

    def submit(self, task, lock):
        return self._pool.submit(run_task, task, self._group, self.command, (lock,))

    def wait(self, futures, seconds):
        """Those that have finished, after at most so many seconds."""
        return wait(futures, seconds, FIRST_COMPLETED).done

    def receive(self, folder, future) -> bool:
        return future.result()

    def close(self):
        self._group.end()
        self._pool.shutdown(cancel_futures=True)


class DaskPool:
    """As many processes at a time as a dask cluster has threads.

    Files come back through dask, so no folder is shared.
    """

    def __init__(self, client, command=WORKER):
        self.client, self.command = client, command

    @property
    def n_workers(self):
        return sum(self.client.nthreads().values())

    def submit(self, task, lock):
        return self.client.submit(run_remote, task, self.command, pure=False)

    def wait(self, futures, seconds):
        from dask.distributed import TimeoutError
        from dask.distributed import wait as dask_wait

        try:
            return dask_wait(futures, timeout=seconds, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return set()

    def receive(self, folder, future) -> bool:
        done, files = future.result()
        # labels first, so that a Hamiltonian never stands without them; the failure's text before its record
        for name in sorted(files, key=lambda n: (n.startswith("hamiltonians"), n.endswith(".json"))):
            kind, _, file = name.partition("/")
            if kind not in KINDS or "/" in file or file.startswith("."):
                raise ValueError(f"a machine of the cluster sent a file of the name {name!r}")
            atomic_write(folder.path / kind / file, files[name])
        return done

    def close(self):
        global _remote
        _remote.end()  # those of a cluster inside this process; another machine finishes what it has begun
        _remote = ProcessGroup()


@contextmanager
def make_pool(n_workers: int = 1, dask: str | None = None, command=WORKER):
    """A pool of processes.

    Parameters
    ----------
    n_workers : int
        Processes at a time, without `dask` or with "local".
    dask : str, optional
        Address of a scheduler, or "local" for a cluster on this machine.

    Raises
    ------
    ValueError
        Without dask, and when no scheduler answers.
    """
    if dask is None:
        pool = LocalPool(n_workers, command)
        try:
            yield pool
        finally:
            pool.close()
        return
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ValueError("dask.distributed is not installed: pip install ase-wander[parallel]") from None
    try:
        cluster = (
            LocalCluster(1, threads_per_worker=n_workers, processes=False, dashboard_address=None)
            if dask == "local"
            else None
        )
        client = Client(cluster or dask, timeout=TIMEOUT)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"--dask {dask}: no scheduler answers ({' '.join(str(error).split())[:150]})") from None
    try:
        pool = DaskPool(client, command)
        try:
            yield pool
        finally:
            pool.close()
    finally:
        client.close()
        if cluster:
            cluster.close()
