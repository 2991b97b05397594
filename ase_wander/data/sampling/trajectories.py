"""Frames of trajectories, one by one."""

from __future__ import annotations

from pathlib import Path


def read_frames(file, every: int = 1):
    """Every so many frames of any file that ASE reads.

    Yields
    ------
    (int, Atoms)
        Number in the file, and the frame without its calculator.

    Raises
    ------
    ValueError
        For a file that is missing, empty or not readable.
    """
    import ase.io

    path = Path(file)
    if not path.is_file():
        raise ValueError(f"{file}: no such file")
    number = -1
    try:
        for number, atoms in enumerate(ase.io.iread(path, ":")):
            if number % every == 0:
                atoms.calc = None
                yield number, atoms
    except Exception as error:  # readers of foreign formats fail in their own ways
        raise ValueError(
            f"{file}, frame {number + 1}: not readable ({' '.join(str(error).split()) or type(error).__name__})"
        ) from None
    if number < 0:
        raise ValueError(f"{file}: holds no frame")
