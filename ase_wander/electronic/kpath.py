"""Paths and special points in the Brillouin zone of a layered cell, also when strain breaks its symmetry."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from ase.dft.kpoints import BandPath, parse_path_string

#: A cell is nearly hexagonal within this angle (degrees) and relative difference of lengths.
HEXAGONAL_TOLERANCE = (5.0, 0.08)


def hexagonal_angle(cell):
    """120 or 60 for a nearly hexagonal first pair of lattice vectors, else None."""
    a, b = cell.lengths()[:2]
    gamma = cell.angles()[2]
    if not (a > 0 and b > 0) or abs(a / b - 1) > HEXAGONAL_TOLERANCE[1]:
        return None
    return next((angle for angle in (120, 60) if abs(gamma - angle) < HEXAGONAL_TOLERANCE[0]), None)


def special_points(atoms):
    """Letters of the in-plane Brillouin zone -> fractional coordinates (3,).

    Nearly hexagonal cells keep G, M, K: K = (1/3, 1/3, 0) for gamma = 120 degrees, (2/3, 1/3, 0) for 60.
    """
    angle = hexagonal_angle(atoms.cell)
    if angle is not None:
        corner = (1 / 3, 1 / 3, 0) if angle == 120 else (2 / 3, 1 / 3, 0)
        return {"G": np.zeros(3), "M": np.array([0.5, 0, 0]), "K": np.array(corner)}
    return atoms.cell.bandpath(npoints=0, pbc=_plane(atoms)).special_points


def resolve_path(atoms, path=None, npoints=None):
    """`BandPath` of a cell that is periodic in its plane.

    Parameters
    ----------
    atoms : ase.Atoms
    path : BandPath, str or None
        Letters ("GMKG", a comma breaks the path); by default G-M-K-G, or ASE's two-dimensional path.
    npoints : int, optional
        60 by default.

    Raises
    ------
    ValueError
        Naming letters that the cell does not have; `npoints` that is no positive integer.
    """
    if npoints is not None and (isinstance(npoints, bool) or not isinstance(npoints, Integral) or npoints < 1):
        raise ValueError(f"npoints is {npoints!r}; it must be a positive integer")
    if isinstance(path, BandPath):
        return path if npoints is None else path.interpolate(npoints=npoints)
    points = special_points(atoms)
    if path is None:
        path = "GMKG" if set(points) == {"G", "M", "K"} else atoms.cell.bandpath(npoints=0, pbc=_plane(atoms)).path
    if not isinstance(path, str):
        raise ValueError(f"path must be a BandPath or letters like 'GMKG', got {path!r}")
    try:
        letters = [letter for piece in parse_path_string(path) for letter in piece]
    except ValueError as error:
        raise ValueError(f"path {path!r}: {error}") from None
    unknown = sorted({letter for letter in letters if letter not in points})
    if unknown or not letters:
        raise ValueError(
            f"path {path!r}: unknown special point {', '.join(unknown) or '(none given)'}; "
            f"this cell has {', '.join(sorted(points))}"
        )
    cell = atoms.cell.uncomplete(_plane(atoms))
    return BandPath(cell, path=path, special_points=points).interpolate(npoints=60 if npoints is None else npoints)


def _plane(atoms):
    pbc = np.array(atoms.pbc)
    return np.array([pbc[0], pbc[1], False]) if pbc[:2].any() else pbc
