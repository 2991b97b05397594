"""Arrays in `.npz` files: checked before memory is taken, never unpickled, and with a checksum in all that we write."""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from .files import atomic_write

#: Array that holds the SHA-256 of all others.
CHECKSUM = "sha256"

#: A file may unpack to this many times its size, and this many bytes: the bound on what a small file can ask for.
EXPANSION, EXPANSION_BYTES = 64, 64_000_000

#: Kinds of arrays that are read: truth values, numbers, text.
KINDS = "biufcSU"


def checksum(arrays) -> str:
    """SHA-256 over names, types, shapes and contents of arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, np.shape(arrays[name]))).encode())
        digest.update(array.reshape(-1).view(np.uint8) if array.size else b"")
    return digest.hexdigest()


def write_npz(path, arrays, compressed: bool = False) -> Path:
    """Write arrays and their checksum, whole or not at all; see `files.atomic_write`."""
    save = np.savez_compressed if compressed else np.savez
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    stamped = arrays | {CHECKSUM: np.asarray(checksum(arrays))}
    return atomic_write(path, lambda file: save(file, **stamped))


def npz_bytes(arrays) -> bytes:
    """Contents of the compressed file that `write_npz` would write."""
    file = io.BytesIO()
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez_compressed(file, **arrays, **{CHECKSUM: np.asarray(checksum(arrays))})
    return file.getvalue()


def read_npz(file, required=False, name=None, bounded=True, only=None) -> dict:
    """Arrays of an `.npz` file without their checksum, which must agree where there is one.

    Parameters
    ----------
    file : path, or bytes of a file
    required : bool or callable
        Whether a file without a checksum is refused; a callable says so of its arrays.
    name : optional
        What messages call the file; default the path.
    only : sequence of str, optional
        Names of the arrays that are read, where they are there; the checksum, that of all, is then not compared.
    bounded : bool
        Refuse arrays that are much larger than the file.

    Raises
    ------
    FileNotFoundError
    ValueError
        Naming the file: no archive, damaged, pickled or strange contents, arrays larger than the file can hold.
    """
    name = file if name is None else name
    if isinstance(file, bytes):
        stream, size = io.BytesIO(file), len(file)
    else:
        if not Path(file).is_file():
            raise FileNotFoundError(f"{file}: no such file")
        stream, size = file, os.path.getsize(file)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = _members(archive, size, bounded)
            arrays = {k: _array(archive, member) for k, member in members.items() if only is None or k in only}
    except MemoryError:
        raise
    except Exception as error:  # zipfile, zlib, lzma and numpy raise ten kinds of errors for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name}: not a readable .npz file ({reason})") from None
    if only is not None:
        return arrays
    stamp = arrays.pop(CHECKSUM, None)
    if stamp is None and (required(arrays) if callable(required) else required):
        raise ValueError(f"{name}: damaged, its checksum is missing")
    if stamp is not None and str(stamp) != checksum(arrays):
        raise ValueError(f"{name}: damaged, its contents do not have the checksum that was written with them")
    return arrays


def _members(archive, size, bounded):
    """Members by the names of their arrays, with sizes that a file of `size` bytes can hold."""
    members, total, stored = {}, 0, 0
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy")
        if key == member.filename or not key or key in members:
            raise ValueError(f"member {member.filename!r} is no array" + (", or there twice" if key in members else ""))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise ValueError(f"member {member.filename!r} is packed in an unknown way")
        total, stored = total + member.file_size, stored + member.compress_size
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise ValueError(f"member {member.filename!r} has two sizes")
        members[key] = member
    if stored > size or (bounded and total > EXPANSION * size + EXPANSION_BYTES):
        raise ValueError(f"{total} bytes of arrays in a file of {size} bytes")
    return members


def _array(archive, member):
    """One array, its header compared with the size of the member before memory is taken for it."""
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"member {member.filename!r} has the format version {version}")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject or dtype.kind not in KINDS:
            raise ValueError(f"member {member.filename!r} holds {dtype}, neither numbers nor text")
        if min(shape, default=0) < 0 or stream.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"member {member.filename!r} does not have the size of its shape {shape}")
    with archive.open(member) as stream:
        array = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):  # at its end zipfile compares the CRC
            raise ValueError(f"member {member.filename!r} goes on after its array")
    return array
