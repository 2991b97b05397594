"""Configuration files and their plain values, checked without what a model needs: a worker that imports no torch starts in a fraction
of the time."""

from __future__ import annotations

import math
from pathlib import Path

import yaml


def read_mapping(path, known) -> dict:
    """The mapping in a YAML file; ValueError, with the file's name, for one that is missing, unreadable or holds none.

    `known` are the keys that the message then names.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys {', '.join(known)}")
    return raw


def is_number(value) -> bool:
    """A finite real number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value, least: int = 1) -> bool:
    """An integer of at least `least`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_list_of(value, length: int) -> bool:
    """A list, not empty, of lists of `length` numbers."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(row, (list, tuple)) and len(row) == length and all(map(is_number, row)) for row in value)
    )
