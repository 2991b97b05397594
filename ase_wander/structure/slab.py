"""Heights, normals and the vacuum of a slab, however its cell is cut, tilted or turned."""

from __future__ import annotations

import numpy as np
from ase import Atoms

#: An empty height inside a structure (Å) that no stack of layers has.
WIDE_GAP = 8.0

#: Less room than this (Å) between a stack and its image is that of the next layer of a bulk crystal.
NARROW_ROOM = 4.0


def plane_normal(atoms: Atoms) -> np.ndarray:
    """Unit normal of the plane of the first two lattice vectors, shape (3,), right-handed."""
    normal = np.cross(atoms.cell[0], atoms.cell[1])
    return normal / np.linalg.norm(normal)


def upward(atoms: Atoms) -> np.ndarray:
    """Unit normal (3,) that points from the bottom to the top of a stack, for either order of the first two vectors.

    It is z of the frame where the plane is nearly horizontal. Otherwise it lies on the side of the third lattice vector
    and, without one, is `plane_normal`.
    """
    normal = plane_normal(atoms)
    side = normal[2] if abs(normal[2]) > 0.99 else normal @ atoms.cell.array[2]
    return -normal if side < -1e-9 else normal


def plane_axes(atoms: Atoms) -> np.ndarray:
    """Two unit vectors (2, 3) that span the plane of the first two lattice vectors: x and y where that is the xy plane,
    else the direction of the first vector and, a quarter turn about `upward` from it, the second."""
    if np.abs(atoms.cell.array[:2, 2]).max() < 1e-6:
        return np.eye(3)[:2]
    first = atoms.cell.array[0] / np.linalg.norm(atoms.cell.array[0])
    return np.array([first, np.cross(upward(atoms), first)])


def slab_cell(atoms: Atoms) -> np.ndarray:
    """Cell (3, 3) with the unit normal in place of a third vector that is not periodic, and so may be anything."""
    cell = atoms.cell.array.copy()
    if not atoms.pbc[2]:
        cell[2] = plane_normal(atoms)
    return cell


def standing_cells(atoms: Atoms) -> np.ndarray:
    """Cells (n,) int along the third vector by which atoms beyond the largest empty space are moved, so that a slab
    that is periodic along it stands in one piece with the vacuum outside; the first atom stays."""
    if not atoms.pbc[2]:
        return np.zeros(len(atoms), int)
    normal = plane_normal(atoms)
    period, heights = atoms.cell.array[2] @ normal, atoms.positions @ normal
    start, _ = _largest_gap(heights, abs(period))
    moved = (heights - start + 1e-9) % abs(period) - heights
    return np.rint((moved - moved[0]) / period).astype(int)


def standing_positions(atoms: Atoms) -> np.ndarray:
    """Positions (n, 3) of a slab in one piece: whole third vectors added, so that phases in the plane stay those of the
    crystal (see `standing_cells`)."""
    if not atoms.pbc[2]:
        return atoms.positions
    return atoms.positions + standing_cells(atoms)[:, None] * atoms.cell.array[2]


def slab_heights(atoms: Atoms) -> np.ndarray:
    """Height (n,) of every atom along `upward`, Å, of a slab in one piece (see `standing_positions`)."""
    return standing_positions(atoms) @ upward(atoms)


def empty_height(atoms: Atoms) -> float:
    """Largest distance (Å) between successive heights of atoms periodic along the third vector, a slab's vacuum."""
    normal = plane_normal(atoms)
    return _largest_gap(atoms.positions @ normal, abs(atoms.cell.array[2] @ normal))[1]


def empty_inside(atoms: Atoms) -> float:
    """Largest empty height (Å) between atoms of a cell that is not periodic along its third vector, where the atoms fit
    into that cell and would stand closer across its boundary; else 0."""
    normal = plane_normal(atoms)
    heights = np.sort(atoms.positions @ normal)
    inside, outside = np.diff(heights, prepend=heights[0]).max(), abs(atoms.cell.array[2] @ normal) - np.ptp(heights)
    return float(inside) if not atoms.pbc[2] and -1e-6 < outside < inside else 0.0


def doubt_about_the_third_vector(atoms: Atoms) -> str:
    """What speaks against atoms that are not periodic along their third vector having been meant so; "" for nothing.

    A slab that was wrapped across the cell boundary stands in two parts far from each other, and a bulk crystal whose
    periodicity was taken away leaves no more room above the stack than between two layers.
    """
    if atoms.pbc[2]:
        return ""
    inside = empty_inside(atoms)
    if inside >= WIDE_GAP:
        return (
            f"the atoms stand on both sides of {inside:.1f} Å of nothing and pbc is false along the third vector: two "
            "parts that do not feel each other. If the cell boundary cuts the slab, set atoms.pbc[2] = True"
        )
    normal = plane_normal(atoms)
    room = abs(atoms.cell.array[2] @ normal) - np.ptp(atoms.positions @ normal)
    if 1.0 < room < NARROW_ROOM:
        return (
            f"pbc is false along the third vector, which leaves {room:.1f} Å above the stack: if this is a bulk "
            "crystal, it is treated as one stack alone in the vacuum"
        )
    return ""


def _largest_gap(heights, period):
    """Height above the largest empty space (the vacuum), where a periodic stack starts, and the size of that space."""
    folded = np.sort(heights % period)
    gaps = np.diff(np.append(folded, folded[0] + period))
    widest = int(np.argmax(gaps))
    return float(folded[(widest + 1) % len(folded)]), float(gaps[widest])


def in_xy_plane(atoms: Atoms) -> Atoms:
    """A copy of a slab turned so that its first two lattice vectors lie in the xy plane, the first along x, and that
    `upward` is z. The third vector turns along."""
    up = upward(atoms)
    first = atoms.cell.array[0] / np.linalg.norm(atoms.cell.array[0])
    frame = np.array([first, np.cross(up, first), up])
    turned = atoms.copy()
    cell = atoms.cell.array @ frame.T
    cell[:2, 2] = 0.0
    turned.set_cell(cell)
    turned.set_positions(atoms.positions @ frame.T, apply_constraint=False)
    return turned
