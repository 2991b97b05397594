"""Locks of files and folders, which the operating system gives back however a process ends."""

from __future__ import annotations

import os


def try_lock(path, *, create=False) -> int | None:
    """Lock a file or folder for this process.

    Parameters
    ----------
    path : path-like
    create : bool
        Make the file where there is none.

    Returns
    -------
    int or None
        The open file, which holds the lock until it is closed or the last process that inherits it ends. None where the
        system or the file system knows no locks.

    Raises
    ------
    BlockingIOError
        Another process, or another open file of this one, holds it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    lock = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        os.close(lock)
        return None
    return lock
