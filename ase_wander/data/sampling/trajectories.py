"""Frames of trajectories, one by one."""

from __future__ import annotations

from ... import files


def read_frames(file, every: int = 1):
    """Every so many frames of any file that ASE reads.

    Yields
    ------
    (int, Atoms)
        Number in the file, and the frame without its calculator.

    Raises
    ------
    ValueError
        For a file that is missing, empty or not readable, see `files.read_frames`.
    """
    for number, atoms in enumerate(files.read_frames(file)):
        if number % every == 0:
            atoms.calc = None
            yield number, atoms
