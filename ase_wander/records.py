"""Records as JSON, with a checksum that tells a damaged one from one that was written so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .files import atomic_write

#: Key that holds the SHA-256 of all others; files of version 0.1 have none.
CHECKSUM = "checksum"


def checksum(record: dict) -> str:
    """SHA-256 over the values of a record, whatever the order of its keys and the layout of its file."""
    plain = {key: value for key, value in record.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def write_record(path, record: dict, indent=1) -> Path:
    """Write a mapping and its checksum, whole or not at all."""
    plain = json.loads(json.dumps(record))  # as it will be read: tuples are lists, keys are text
    stamped = plain | {CHECKSUM: checksum(plain)}
    return atomic_write(path, json.dumps(stamped, indent=indent, ensure_ascii=False) + "\n")


def read_record(path) -> dict:
    """What `write_record` wrote, without the checksum.

    Raises
    ------
    FileNotFoundError
    ValueError
        Naming the file: no JSON, no mapping, or changed since it was written.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: holds no mapping")
    stamp = record.pop(CHECKSUM, None)
    if stamp is not None and stamp != checksum(record):
        raise ValueError(f"{path}: damaged, its contents do not have the checksum that was written with them")
    return record
