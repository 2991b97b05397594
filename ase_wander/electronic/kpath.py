"""Paths and special points in the Brillouin zone of a layered cell, also when strain breaks its symmetry."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from ase.cell import Cell
from ase.dft.kpoints import BandPath, parse_path_string

from ..structure import plane_normal

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
    return _standard_path(atoms)[1]


#: Changes of a plane's basis under which ASE's special points are looked for, the basis as given first.
_BASES = [np.eye(2, dtype=int), *(np.array(m) for m in ([[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, 1], [-1, 0]]))]


def _standard_path(atoms):
    """Letters of ASE's path of a two-dimensional cell, and its special points in reciprocal vectors of that cell.

    Of some oblique and centred cells (the angle acute, or the first vector the longer one) ASE gives corners that lie
    inside the zone. Another basis of the same lattice then has them where they belong; where none has, such letters are
    left out.
    """
    in_plane = np.array_equal(_plane(atoms), [True, True, False])
    plane = np.array([*atoms.cell.array[:2], plane_normal(atoms)]) if in_plane else atoms.cell.complete().array
    for change in _BASES if in_plane else _BASES[:1]:
        path = Cell(np.append(change @ plane[:2], plane[2:], axis=0)).bandpath(npoints=0, pbc=_plane(atoms))
        points = {name: np.append(k[:2] @ change, 0.0) for name, k in path.special_points.items()}
        right = {name: k for name, k in points.items() if name == "G" or _on_zone_boundary(plane, k)}
        if len(right) == len(points):
            return path.path, points
    return "".join(["G", *(name for name in right if name != "G"), "G"]), right


def _on_zone_boundary(cell, k):
    """Whether fractional k is as near to another point of the plane's reciprocal lattice as to the nearest one."""
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 2), axis=-1).reshape(-1, 2)
    reciprocal = np.linalg.inv(cell).T[:2]
    distance = np.sort(np.linalg.norm((k[:2] - shifts) @ reciprocal, axis=1))
    return distance[1] - distance[0] < 1e-6 * distance[-1]


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
        path = "GMKG" if set(points) == {"G", "M", "K"} else _standard_path(atoms)[0]
    if not isinstance(path, str):
        raise ValueError(f"path must be a BandPath or letters like 'GMKG', got {path!r}")
    path = "".join(path.split()).replace("Γ", "G")
    try:
        letters = [letter for piece in parse_path_string(path) for letter in piece]
        if path.startswith(",") or path.endswith(",") or ",," in path:
            raise ValueError("a comma stands between two pieces of a path")
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
