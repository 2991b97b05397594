"""Checks of what a kind of configurations may vary: cells, stackings, gaps, strains, displacements."""

from __future__ import annotations

import math
import re

import numpy as np
from ase import Atoms

from ...checks import is_list_of, is_number, shown
from ...schema import Wrong, list_of, number

#: Named supercells of a hexagonal lattice with 120 degrees: supercell vectors in lattice vectors.
NAMED_CELLS = {"1xsqrt3": [[1, 0], [1, 2]], "sqrt3xsqrt3": [[2, 1], [-1, 1]]}

#: Strains of a lattice beyond this are no strains; at -1 there is no lattice.
MAX_STRAIN = 0.5

#: Checks of two numbers, and of an amplitude in Å.
PAIR = list_of(number(-math.inf), "a pair of numbers", length=2)
AMPLITUDE = number(what="is not an amplitude in Å")


def is_material(value):
    """Check of a material; whether the name is known is looked up elsewhere."""
    return None if isinstance(value, (str, Atoms)) else "is not a known name or a structure file of one layer"


def are_kinds(value):
    """Check of a list of kinds; what is in the list is checked one by one."""
    return None if isinstance(value, (list, tuple)) and value else "is not a list of kinds"


def is_prefix(value):
    """Check of what the names of configurations begin with."""
    good = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", value)
    return None if good else "is not a letter followed by letters and digits"


def is_cell(value):
    """Check of a supercell: a name, NxM, or its vectors in lattice vectors."""
    if isinstance(value, str):
        good = value in NAMED_CELLS or re.fullmatch(r"[1-9]\d*x[1-9]\d*", value)
        return None if good else f"is not NxM, {', '.join(NAMED_CELLS)} or 2 x 2 integers"
    good = (
        is_list_of(value, 2)
        and len(value) == 2
        and all(isinstance(x, int) for row in value for x in row)
        and value[0][0] * value[1][1] - value[0][1] * value[1][0] >= 1
    )
    return None if good else "is not a right-handed matrix of 2 x 2 integers"


def is_pair(value):
    """Check of a twist (m, r)."""
    good = isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(n, int) for n in value)
    return None if good else "is not a pair of integers [m, r]"


def as_tuple(value) -> tuple:
    """Several values, or one alone."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def are_stackings(value):
    """Check of one stacking or a list of them."""
    names = as_tuple(value)
    good = names and all(name in ("R", "H") for name in names)
    return None if good else "is not a list of R and H"


def are_sigmas(value):
    """Check of one random displacement or a list of them, Å."""
    values = as_tuple(value)
    return None if values and all(is_number(s) and s >= 0 for s in values) else "is not a list of numbers from 0"


def is_gap(value):
    """Check of a gap: a number, a distribution, or one that follows the registry (`plan.gap_at`)."""
    if isinstance(value, dict):
        numbers = {key: x for key, x in value.items() if key != "origin"}
        if not {"top", "hollow"} <= set(value) <= {"top", "hollow", "spread", "origin"} or not all(
            map(is_number, numbers.values())
        ):
            return "does not give numbers top, hollow and optionally spread, origin"
        origin = value.get("origin", {})
        good = isinstance(origin, dict) and set(origin) <= {"R", "H"} and not any(map(PAIR, origin.values()))
        return None if good else Wrong("origin", f"{shown(origin)} does not give a pair of numbers for R or H")
    if is_number(value) or is_distribution(value):
        return None
    return "is not a number, [low, high], [[value, share below], ...] or {top, hollow, spread}"


def is_strain(value):
    """Check of a strain: a number or a distribution, within MAX_STRAIN."""
    if not (is_number(value) or is_distribution(value)):
        return "is not a number, [low, high] or [[value, share below], ...]"
    strains = np.ravel(value)[:: 1 if np.ndim(value) < 2 else 2]  # without shares
    return None if (np.abs(strains) < MAX_STRAIN).all() else f"goes beyond -{MAX_STRAIN} or {MAX_STRAIN}"


def is_distribution(value):
    """[low, high] in order, or [[value, share], ...] with shares from 0 to 1, values and shares ascending."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(x) for x in value):
        return value[0] <= value[1]
    if not is_list_of(value, 2) or len(value) < 2:
        return False
    values, shares = np.array(value, float).T
    return bool(shares[0] == 0 and shares[-1] == 1 and (np.diff(shares) >= 0).all() and (np.diff(values) >= 0).all())
