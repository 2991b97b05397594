"""Processes that work on k-points: one thread each, and none that outlives the process that started them."""

from __future__ import annotations

import ctypes
import os
import threading
import time

#: Seconds between two looks at whether the parent is there.
INTERVAL = 0.5

#: Variables by which a user asks for threads.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Names under which the BLAS of numpy and scipy, and MKL, take a number of threads.
SETTERS = (
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "scipy_openblas_set_num_threads64_",
    "MKL_Set_Num_Threads",
)


def prepare(parent: int) -> None:
    """For the beginning of a worker of process `parent`."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if not any(os.environ.get(name) for name in VARIABLES):
        one_thread()


def _end_with(parent):
    """End this process, whatever it does, once its parent is gone: a killed parent cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os._exit(1)


def one_thread() -> None:
    """Let every BLAS that is loaded use one thread: workers that each take all cores stand in each other's way."""
    try:
        with open("/proc/self/maps") as file:
            libraries = {line.split()[-1] for line in file if ".so" in line and ("blas" in line or "mkl_rt" in line)}
    except OSError:  # no such list on this system: threads stay as they are
        return
    for library in libraries:
        try:
            loaded = ctypes.CDLL(library)
        except OSError:
            continue
        for name in SETTERS:
            if hasattr(loaded, name):
                getattr(loaded, name)(1)
