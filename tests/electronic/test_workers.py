"""Workers end with the process that started them, however it ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

#: A parent with two workers that never finish; it prints their numbers.
PARENT = """
import multiprocessing, os, time
from ase_wander.electronic.solvers import worker

def work(parent):
    worker.prepare(parent)
    time.sleep(600)

context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(os.getpid(),)) for _ in range(2)]
for w in workers:
    w.start()
print(*[w.pid for w in workers], flush=True)
time.sleep(600)
"""


def is_alive(pid):
    """Whether a process runs: a zombie that nobody has collected does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(number):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2 and all(map(is_alive, workers))
    parent.send_signal(number)
    parent.wait()
    end = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))
