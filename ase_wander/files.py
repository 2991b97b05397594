"""Files: one way to write them whole or not at all, one way to read structures."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from ase import Atoms

#: Names of files that are not finished begin with this; a killed process leaves them.
PARTIAL = ".partial-"

#: Seconds after which they count as left.
STALE = 3600

#: Seconds that a reader of ASE may take for one structure; a damaged file can make some of them loop without end.
TIME_LIMIT = 120

#: A compressed structure file may grow by this factor, and by this many bytes.
EXPANSION, EXPANSION_BYTES = 100, 10_000_000

#: Positions and lattice vectors (Å) beyond this are damaged numbers.
MAX_LENGTH = 1e6

#: Nuclei per Å^3 that no structure reaches: spheres of 1 Å diameter pack at most sqrt(2) of them.
MAX_DENSITY = 4.0

#: Nuclei in a cube of 1 Å; 1 Å apart from each other there are 8 at its corners.
MAX_IN_CUBE = 16


# ------------------------------------------------------------------------------------------------ writing
def atomic_write(path, content: bytes | str | Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all: a temporary file beside it takes its name once it is on the disk.

    The temporary file is created under a random name, so no link planted in the folder is followed; a link at
    `path` itself is replaced, its target stays as it is.

    Parameters
    ----------
    path : path-like
    content : bytes, str or callable
        What to write, text as UTF-8; a callable writes into the open binary file that it is given.

    Raises
    ------
    OSError
        Naming `path`: no such folder, `path` is no regular file, no permission, no space left.
    """
    with writing(path, ".part") as temporary, open(temporary, "r+b") as file:
        if callable(content):
            content(file)
        else:
            file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def writing(path, ending: str = "") -> Iterator[Path]:
    """A temporary path, ending as `path` does, for writers that want a name; it becomes `path` at the end of the block.

    `ending` is put after the name, so that nobody takes it for a finished file. When the block fails or is
    interrupted, it goes and `path` stays as it was. See `atomic_write`.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():  # a rename would put a file in the place of /dev/null
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    temporary = _new_file(path, ending)
    try:
        yield temporary
        with open(temporary, "rb") as file:  # before the name moves, also for a power cut
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the user knows no temporary names
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder) -> list[Path]:
    """Remove what killed processes left unfinished in a folder; returns it.

    Files named PARTIAL that nobody has written to for an hour; those of writers at work are younger.
    """
    found = []
    for file in Path(folder).glob(f"{PARTIAL}*"):
        try:
            if file.is_file() and not file.is_symlink() and time.time() - file.stat().st_mtime > STALE:
                file.unlink()
                found.append(file)
        except OSError:  # somebody else took it away, or may only read
            continue
    return found


def _new_file(path, ending):
    """An empty file of a name nobody can foresee, in the folder of `path`, with the access rights of any new file."""
    for _ in range(100):
        temporary = path.with_name(f"{PARTIAL}{secrets.token_hex(6)}-{path.name[-60:]}{ending}")
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        return temporary
    raise FileExistsError(errno.EEXIST, "no free temporary name", str(path))


# ------------------------------------------------------------------------------------------------ structures
def read_structure(path) -> Atoms:
    """The last structure in a file of any format that ASE reads, checked by `check_structure`.

    Raises
    ------
    ValueError
        Naming the file: missing, empty, not readable, without atoms, numbers that are no structure.
    """
    from ase.io import read

    file = _existing(path)
    with _readable(path):
        atoms = read(file, do_not_split_by_at_sign=True)
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise ValueError(f"{path}: holds no atoms")
    check_structure(atoms, str(path))
    return atoms


def read_frames(path) -> Iterator[Atoms]:
    """All structures in a file of any format that ASE reads, one by one.

    Raises
    ------
    ValueError
        Naming the file and the number of the frame, see `read_structure`.
    """
    from ase.io import iread

    frames, number = iread(_existing(path), ":", do_not_split_by_at_sign=True), 0
    while True:
        where = f"{path}, frame {number}"
        with _readable(where):
            atoms = next(frames, None)
        if atoms is None:
            break
        if not isinstance(atoms, Atoms) or len(atoms) == 0:
            raise ValueError(f"{where}: holds no atoms")
        check_structure(atoms, where)
        yield atoms
        number += 1
    if number == 0:
        raise ValueError(f"{path}: holds no structure")


def check_structure(atoms: Atoms, where: str = "") -> None:
    """ValueError, beginning with `where`, for numbers that are no structure and would upset what comes afterwards.

    Checked: elements that exist, finite positions and lattice vectors up to MAX_LENGTH, and not more nuclei in the
    cell, or in any cube of 1 Å, than can be there: a neighbour list of such atoms takes all memory.
    """
    where = f"{where}: " if where else ""
    wrong = np.flatnonzero((atoms.numbers < 0) | (atoms.numbers > 118))
    if len(wrong):
        raise ValueError(
            f"{where}atom {wrong[0]} has the atomic number {atoms.numbers[wrong[0]]}; there is no such element"
        )
    for what, array in (("position of atom", atoms.positions), ("lattice vector", atoms.cell.array)):
        wrong = np.flatnonzero(~(np.abs(array) <= MAX_LENGTH).all(axis=1))  # also where it is not a number
        if not len(wrong):
            continue
        k, vector = wrong[0], array[wrong[0]]
        what = f"{what} {k}" + (f" ({atoms.symbols[k]})" if array is atoms.positions else "")
        if not np.isfinite(vector).all():
            raise ValueError(f"{where}{what} is not finite: {vector.tolist()}")
        raise ValueError(
            f"{where}{what} is {vector.tolist()} Å, longer than {MAX_LENGTH:g} Å; positions and cells are in Å"
        )
    if len(atoms):
        _check_density(atoms, where)


def _check_density(atoms, where):
    cubes = np.floor(atoms.positions).astype(np.int64) + int(MAX_LENGTH) + 1
    _, first, count = np.unique(cubes @ np.array([1, 1 << 21, 1 << 42]), return_index=True, return_counts=True)
    if count.max() > MAX_IN_CUBE:
        k = first[np.argmax(count)]
        raise ValueError(
            f"{where}{count.max()} atoms lie within 1 Å of atom {k} ({atoms.symbols[k]}); "
            "positions and lattice vectors are in Å"
        )
    periodic = atoms.cell.array[np.asarray(atoms.pbc)]
    if not len(periodic):
        return
    size = np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0))  # length, area or volume of a cell
    if size > 0:  # other cells are refused by name where periodicity is needed
        plane = np.linalg.qr(periodic.T)[0]
        rest = atoms.positions - (atoms.positions @ plane) @ plane.T  # 0 in a cell with three periodic directions
        size *= np.prod(np.ptp(rest, axis=0)[np.ptp(rest, axis=0) > 1e-9] + 1.0)
    if 0 < size * MAX_DENSITY < len(atoms):
        raise ValueError(
            f"{where}{len(atoms)} atoms in a cell of {size:.3g} Å^3 of nuclei overlap; "
            "positions and lattice vectors are in Å"
        )


def _existing(path) -> str:
    """Absolute name of a file that is there and not empty; ValueError naming it otherwise."""
    file = Path(path)
    if not file.exists():
        raise ValueError(f"{path}: no such file")
    if not file.is_file():
        raise ValueError(f"{path}: is {'a folder' if file.is_dir() else 'no regular file'}, not a structure")
    if file.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    _check_expansion(path, file)
    _check_counts(path, file)
    return os.path.abspath(file)  # ASE takes a name such as "postgres..." or "-" for something else


def _check_expansion(path, file):
    """ValueError for a compressed file that would fill the memory."""
    from ase.io.formats import get_compression, open_with_compression

    if get_compression(str(file))[1] is None:
        return
    limit, size = EXPANSION * file.stat().st_size + EXPANSION_BYTES, 0
    try:
        with open_with_compression(str(file), "rb") as stream:
            while piece := stream.read(1 << 20):
                size += len(piece)
                if size > limit:
                    raise ValueError(f"{path}: grows to more than {limit / 1e6:.0f} MB when it is unpacked")
    except ValueError:
        raise
    except Exception as error:  # OSError, EOFError, zlib.error, lzma.LZMAError, ...
        raise ValueError(f"{path}: cannot be unpacked ({error})") from None


def _check_counts(path, file):
    """ValueError where an XYZ or POSCAR file announces more atoms than it holds: ASE would loop for them."""
    from ase.io.formats import get_compression, open_with_compression

    name = get_compression(file.name)[0].lower()
    if name.endswith((".xyz", ".extxyz")):
        with open_with_compression(str(file), "rb") as lines:
            number = left = 0
            for number, line in enumerate(lines, 1):
                if left:
                    left -= 1
                    continue
                word = line.split()[:1]
                if not word:
                    continue
                if not word[0].isdigit() or len(word[0]) > 12:
                    return  # no count, or a cell line after the atoms: ASE says what it makes of it
                left, start = int(word[0]) + 1, number
            if left > 1:
                raise ValueError(
                    f"{path}:{start}: no structure, {int(word[0])} atoms announced, the file ends after line {number}"
                )
    elif name.startswith(("poscar", "contcar")) or name.endswith((".poscar", ".vasp")):
        with open(file, "rb") as lines:
            head = [line.split() for line in (next(lines, b"")[:2000] for _ in range(7))]
        counts = [int(w) for line in head[5:7] if line and all(x.isdigit() and len(x) < 18 for x in line) for w in line]
        if sum(counts) > file.stat().st_size:
            raise ValueError(f"{path}: {sum(counts)} atoms announced, the file has {file.stat().st_size} bytes")


@contextmanager
def _readable(where):
    """Turn any failure of a foreign reader, and an endless loop in it, into a ValueError of one line."""
    try:
        with _time_limit(TIME_LIMIT):
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(
            f"{where}: no structure that ASE can read ({type(error).__name__}{': ' + reason if reason else ''})"
        ) from error


@contextmanager
def _time_limit(seconds):
    """TimeoutError after `seconds`; only in the main thread, where no other timer runs."""
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def stop(*_):
        raise TimeoutError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
