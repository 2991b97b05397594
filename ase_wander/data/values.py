"""Plain values of a configuration, checked without what a model needs: a worker that imports no torch starts in a fraction of the time."""

from __future__ import annotations

import math


def is_number(value) -> bool:
    """A finite real number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value, least: int = 0) -> bool:
    """An integer of at least `least`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_list_of(value, length: int) -> bool:
    """A list, not empty, of lists of `length` numbers."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(
        isinstance(row, (list, tuple)) and len(row) == length and all(map(is_number, row)) for row in value)
