"""Coincidence cells: common cells of two layers of any lattices, with the strain that makes them fit.

A pair of lattice vectors, v of the bottom and v' of the top layer, of nearly equal length, coincides when the top layer
is turned by the angle between them.  Two such pairs with nearly equal angles span a common cell.  The map that takes
the two top vectors to the two bottom vectors, V = V' F (rows), splits into a turn and a stretch (polar decomposition),

    F = R(theta) U,   U symmetric,

so that the twist angle is continuous, never a grid, and the strain is free of rotation.  It is shared between the
layers by weight w: the top layer is stretched by U^(1-w), the bottom layer by U^(-w).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .lattice import Monolayer, reduce_cell

#: Rotational period of a lattice, degrees.
LATTICE_PERIOD = {"hexagonal": 60.0, "square": 90.0, "rectangular": 180.0, "oblique": 180.0}

_CHUNK = 2_000_000  # candidate cells looked at together: bounds the memory


@dataclass(frozen=True)
class CoincidenceCell:
    """A common cell of two layers.

    Attributes
    ----------
    bottom, top : tuple of tuple of int
        Supercell vectors (rows) in the primitive vectors of each layer's standard cell.
    angle : float
        Twist in degrees, top layer counter-clockwise, between the first lattice vectors.
    strain : float
        Largest principal strain (absolute) of the mismatch U - 1, before it is shared between the layers.
    principal_strains : (float, float)
        Both principal strains of U - 1: positive where the top layer must be stretched to fit the bottom one.
    n_cells : (int, int)
        Primitive cells of the bottom and of the top layer.
    n_atoms : int
    area : float
        Å², of the unstrained bottom layer.
    """

    bottom: tuple
    top: tuple
    angle: float
    strain: float
    principal_strains: tuple
    n_cells: tuple
    n_atoms: int
    area: float

    def __str__(self):
        return (
            f"{self.angle:.4f} deg, {self.n_cells[0]} + {self.n_cells[1]} cells, {self.n_atoms} atoms, "
            f"strain {100 * self.strain:.3f} %"
        )


def coincidence_cells(
    bottom,
    top,
    max_atoms: int = 2000,
    angle_range: tuple[float, float] | None = None,
    max_strain: float = 0.01,
    *,
    isotropic: bool | None = None,
    max_aspect: float = 2.0,
) -> list[CoincidenceCell]:
    """Common cells of two layers, smallest first, then least strained.

    Parameters
    ----------
    bottom, top : str, ase.Atoms or Monolayer
        Known names or single layers of any lattice.
    max_atoms : int
    angle_range : (float, float), optional
        Twist in degrees, ends included (equal ends: one angle); by default one period of the two lattices.
    max_strain : float
        Largest principal strain of the mismatch between the layers (0.01 = 1 %).
    isotropic : bool, optional
        Only cells that keep the common symmetry of two hexagonal or two square lattices, whose strain is isotropic; by
        default where the lattices allow it.  False finds all shapes.
    max_aspect : float
        Longest over shortest cell vector.

    Returns
    -------
    list of CoincidenceCell
        Each coincidence once, in its primitive cell; cells that only a symmetry of both lattices tells apart are one.

    Raises
    ------
    ValueError
        For arguments out of range, and for `isotropic=True` with lattices that have no symmetry in common.
    """
    bottom, top = as_monolayer(bottom), as_monolayer(top)
    alike = bottom.kind == top.kind and bottom.kind in ("hexagonal", "square")
    if isotropic is None:
        isotropic = alike
    if isotropic and not alike:
        raise ValueError(
            f"isotropic strain needs two hexagonal or two square lattices, not {bottom.kind} and {top.kind}"
        )
    period = np.gcd(int(LATTICE_PERIOD[bottom.kind]), int(LATTICE_PERIOD[top.kind]))
    low, high = (0.0, float(period)) if angle_range is None else map(float, angle_range)
    if not (low <= high and high - low <= 360):
        raise ValueError(f"angle_range ({low:g}, {high:g}) is not an ascending range of at most 360 degrees")
    if not 0 < max_strain < 0.5:
        raise ValueError(f"max_strain must lie between 0 and 0.5, got {max_strain}")
    if not max_aspect >= 1:
        raise ValueError(f"max_aspect must be at least 1, got {max_aspect}")
    area = [np.linalg.det(layer.cell) for layer in (bottom, top)]
    # n_1 A_1 = n_2 A_2 det U: an upper bound for the area of the bottom layer
    density = len(bottom) / area[0] + len(top) / area[1] * (1 - max_strain) ** 2
    area_max = max_atoms / density
    if isotropic:
        first, second = _isotropic_candidates(bottom, top, area_max, max_strain, (low, high))
        found = _evaluate(bottom, top, first, second, max_atoms, max_strain, (low, high))
    else:
        found = _any_shape(bottom, top, area_max, max_atoms, max_strain, (low, high), max_aspect)
    return _sorted_without_duplicates(bottom, top, found)


def as_monolayer(material) -> Monolayer:
    """The standard monolayer of a name, of Atoms, or the Monolayer itself."""
    from .build import resolve_material

    return material if isinstance(material, Monolayer) else resolve_material(material, gap=1.0)[0]


def stretch(bottom: Monolayer, top: Monolayer, cell) -> tuple[float, np.ndarray]:
    """Twist (degrees) and stretch U (2, 2) of a coincidence cell, in the frame of the bottom layer's first vector.

    V = V' R U for row vectors V = matrix @ lattice.
    """
    f = np.linalg.solve(np.array(cell.top) @ top.cell, np.array(cell.bottom) @ bottom.cell)
    rotation = np.arctan2(f[0, 1] - f[1, 0], f[0, 0] + f[1, 1])  # of F = R U in two dimensions
    c, s = np.cos(rotation), np.sin(rotation)
    u = np.array([[c, s], [-s, c]]).T @ f
    return float(np.degrees(rotation)), (u + u.T) / 2


def power(u: np.ndarray, exponent: float) -> np.ndarray:
    """Power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(u)
    return (vectors * values**exponent) @ vectors.T


def lattice_vectors(cell, radius):
    """Non-zero integer vectors (n, 2) with |n @ cell| <= radius."""
    # |n_i| <= radius |reciprocal vector i|
    limits = np.floor(radius * np.linalg.norm(np.linalg.inv(cell), axis=0) + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-k, k + 1) for k in limits], indexing="ij"), axis=-1).reshape(-1, 2)
    length = np.linalg.norm(grid @ cell, axis=1)
    keep = (length <= radius * (1 + 1e-12)) & (length > 0)
    return grid[keep][np.argsort(length[keep], kind="stable")]


def _vector_pairs(bottom, top, radius, max_strain, angles, sector):
    """Pairs of vectors of nearly equal length that coincide at a twist near `angles`.

    Returns integer vectors n1 (n, 2) and n2 (n, 2) and the twist (n,) in degrees, unwrapped into the range.
    `sector` (degrees) restricts the direction of the bottom vector to [0, sector).
    """
    n1, n2 = lattice_vectors(bottom.cell, radius), lattice_vectors(top.cell, radius / (1 - max_strain) * (1 + 1e-9))
    v1, v2 = n1 @ bottom.cell, n2 @ top.cell
    direction = np.degrees(np.arctan2(v1[:, 1], v1[:, 0])) % 360
    inside = (direction < sector - 1e-7) | (direction > 360 - 1e-7)
    n1, v1 = n1[inside], v1[inside]
    l1, l2 = np.linalg.norm(v1, axis=1), np.linalg.norm(v2, axis=1)
    # |v'| (1 - e) <= |v| <= |v'| (1 + e)
    start = np.searchsorted(l2, l1 / (1 + max_strain) - 1e-9)
    stop = np.searchsorted(l2, l1 / (1 - max_strain) + 1e-9)
    count = stop - start
    i = np.repeat(np.arange(len(n1)), count)
    j = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    twist = np.degrees(np.arctan2(v1[i, 1], v1[i, 0]) - np.arctan2(v2[j, 1], v2[j, 0]))
    slack = np.degrees(np.arcsin(min(1.0, 1.01 * max_strain))) + 1e-6
    twist = (twist - angles[0] + slack) % 360 + angles[0] - slack
    keep = twist <= angles[1] + slack
    return n1[i[keep]], n2[j[keep]], twist[keep]


def _isotropic_candidates(bottom, top, area_max, max_strain, angles):
    """First vectors turned by 120 (90) degrees give the second ones."""
    hexagonal = bottom.kind == "hexagonal"
    radius = np.sqrt(area_max / (np.sqrt(0.75) if hexagonal else 1.0)) * (1 + 1e-9)
    n1, n2, _ = _vector_pairs(bottom, top, radius, max_strain, angles, 60 if hexagonal else 90)
    turn = np.array([[0, 1], [-1, -1]]) if hexagonal else np.array([[0, 1], [-1, 0]])  # row vectors
    return (n1, n2), (n1 @ turn, n2 @ turn)


def _any_shape(bottom, top, area_max, max_atoms, max_strain, angles, max_aspect):
    """All pairs of vector pairs that span a reduced cell: lists as of `_evaluate`."""
    # reduced cell: |a| <= |b| <= aspect |a|, |a||b| sin(60) <= area
    longest = np.sqrt(max_aspect * area_max / np.sqrt(0.75)) * (1 + max_strain)
    n1, n2, twist = _vector_pairs(bottom, top, longest, max_strain, angles, 360)
    order = np.argsort(twist, kind="stable")
    n1, n2, twist = n1[order], n2[order], twist[order]
    v1 = n1 @ bottom.cell
    squared = np.einsum("ij,ij->i", v1, v1)
    # symmetry: turning both layers by a common period of theirs is no change, so the first vector lies in one sector
    common = np.lcm(int(LATTICE_PERIOD[bottom.kind]), int(LATTICE_PERIOD[top.kind]))
    direction = np.degrees(np.arctan2(v1[:, 1], v1[:, 0])) % 360
    first = np.flatnonzero(
        (squared <= area_max / np.sqrt(0.75) * (1 + max_strain) ** 2)
        & ((direction < common - 1e-7) | (direction > 360 - 1e-7))
    )
    window = 2 * np.degrees(np.arcsin(min(1.0, 1.01 * max_strain))) + 1e-6
    start = np.searchsorted(twist, twist[first] - window)
    count = np.searchsorted(twist, twist[first] + window) - start
    ends, found = np.cumsum(count), []
    cut = 0
    while cut < len(first):
        stop = max(cut + 1, int(np.searchsorted(ends, (ends[cut - 1] if cut else 0) + _CHUNK)))
        c = count[cut:stop]
        a = np.repeat(first[cut:stop], c)
        b = np.arange(c.sum()) - np.repeat(np.cumsum(c) - c, c) + np.repeat(start[cut:stop], c)
        cut = stop
        keep = (squared[b] >= squared[a] * (1 - 1e-9)) & (squared[b] <= max_aspect**2 * squared[a] * (1 + 1e-9))
        a, b = a[keep], b[keep]
        cross = v1[a, 0] * v1[b, 1] - v1[a, 1] * v1[b, 0]
        dot = np.einsum("ij,ij->i", v1[a], v1[b])
        keep = (cross > 0) & (cross <= area_max * (1 + max_strain) ** 2) & (abs(dot) <= squared[a] * (0.5 + 1e-9))
        a, b = a[keep], b[keep]
        found.append(_evaluate(bottom, top, (n1[a], n2[a]), (n1[b], n2[b]), max_atoms, max_strain, angles))
    if not found:
        return (np.zeros((0, 2, 2), int),) * 2 + (np.zeros(0), np.zeros((0, 2)))
    return tuple(np.concatenate(part) for part in zip(*found))


def _evaluate(bottom, top, first, second, max_atoms, max_strain, angles):
    """Matrices, twist and principal strains of the candidates that meet all bounds."""
    m1, m2 = (np.stack([first[k], second[k]], axis=1) for k in (0, 1))
    det1, det2 = (m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0] for m in (m1, m2))
    keep = (det1 > 0) & (det2 > 0) & (det1 * len(bottom) + det2 * len(top) <= max_atoms)
    m1, m2 = m1[keep], m2[keep]
    f = np.linalg.solve(m2 @ top.cell, m1 @ bottom.cell) if len(m1) else np.zeros((0, 2, 2))
    # polar decomposition in two dimensions: F = R U, singular values from |p| +- |q|
    p = np.stack([f[:, 0, 0] + f[:, 1, 1], f[:, 0, 1] - f[:, 1, 0]], axis=1) / 2
    q = np.stack([f[:, 0, 0] - f[:, 1, 1], f[:, 0, 1] + f[:, 1, 0]], axis=1) / 2
    mean, difference = np.linalg.norm(p, axis=1), np.linalg.norm(q, axis=1)
    twist = np.degrees(np.arctan2(p[:, 1], p[:, 0]))
    twist = (twist - angles[0] + 1e-7) % 360 + angles[0] - 1e-7
    strains = np.stack([mean - difference, mean + difference], axis=1) - 1
    keep = (abs(strains).max(axis=1) <= max_strain + 1e-12) & (twist <= angles[1] + 1e-7)
    twist = np.clip(twist, *angles)
    return m1[keep], m2[keep], twist[keep], strains[keep]


def _sorted_without_duplicates(bottom, top, found):
    """CoincidenceCells by size and strain; the same stretch and twist counts once, in its smallest cell."""
    m1, m2, twist, strains = found
    n1, n2 = (np.abs(np.round(np.linalg.det(m))).astype(int) for m in (m1, m2))
    atoms, strain = n1 * len(bottom) + n2 * len(top), abs(strains).max(axis=1) if len(strains) else np.zeros(0)
    shape = np.linalg.norm(m1 @ bottom.cell, axis=2).max(axis=1) if len(m1) else np.zeros(0)
    order = np.lexsort((np.round(shape, 6), np.round(twist, 6), np.round(strain, 10), atoms))
    period = np.gcd(int(LATTICE_PERIOD[bottom.kind]), int(LATTICE_PERIOD[top.kind]))
    seen, cells = set(), []
    for k in order:
        # a turn by a lattice period is the same coincidence only within the range asked for
        key = (
            round(float(twist[k]) / period * 1e7),
            round(float(strains[k, 0]) * 1e9),
            round(float(strains[k, 1]) * 1e9),
        )
        near = {(key[0] + d, key[1] + e, key[2] + g) for d in (-1, 0, 1) for e in (-1, 0, 1) for g in (-1, 0, 1)}
        if near & seen:
            continue
        seen.add(key)
        cells.append(
            CoincidenceCell(
                tuple(map(tuple, m1[k].tolist())),
                tuple(map(tuple, m2[k].tolist())),
                float(twist[k]),
                float(strain[k]),
                tuple(strains[k].tolist()),
                (int(n1[k]), int(n2[k])),
                int(atoms[k]),
                float(n1[k] * np.linalg.det(bottom.cell)),
            )
        )
    return cells


def common_cell(bottom: Monolayer, top: Monolayer, cell: CoincidenceCell, weight: float):
    """Supercell vectors and integer matrices of the built cell, and the strain of each layer.

    Parameters
    ----------
    weight : float
        Share of the strain that the bottom layer takes, 0-1.

    Returns
    -------
    plane : ndarray, shape (2, 2)
        Reduced cell, first vector along x, Å.
    matrices : list of ndarray of int, shape (2, 2)
        Bottom, top.
    strains : list of ndarray, shape (2, 2)
        Strain tensors U_layer - 1 in the frame of the built cell.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"the bottom layer's share of the strain must lie between 0 and 1, got {weight}")
    _, u = stretch(bottom, top, cell)
    plane, change = reduce_cell(np.array(cell.bottom) @ bottom.cell @ power(u, -weight))  # V U^-w = V' R U^(1-w)
    direction = plane[0] / np.linalg.norm(plane[0])
    turn = np.array([[direction[0], -direction[1]], [direction[1], direction[0]]])
    strains = [turn.T @ (power(u, exponent) - np.eye(2)) @ turn for exponent in (-weight, 1 - weight)]
    plane = plane @ turn
    plane[0, 1] = 0.0
    return plane, [change @ np.array(cell.bottom), change @ np.array(cell.top)], strains
