"""The lattice of one monolayer: its standard cell, kind, mid-plane and rotation centres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ..structure import (
    BulkCrystalError,
    check_atoms,
    find_layers,
    neighbour_pairs,
    plane_normal,
    standing_positions,
    upward,
)

#: Relative deviation of lengths (and, in radians, of angles) up to which a lattice counts as hexagonal or square.
LATTICE_TOLERANCE = 1e-3

_TRANSITION_METALS = frozenset([*range(21, 31), *range(39, 49), 57, *range(72, 81)])


@dataclass(frozen=True)
class Monolayer:
    """One primitive cell of a layer.

    Attributes
    ----------
    cell : ndarray, shape (2, 2)
        Lattice vectors as rows, Å; the first along x, right-handed, 120 degrees apart when hexagonal.
    fractional : ndarray, shape (n, 2)
        In-plane positions in lattice vectors.
    heights : ndarray, shape (n,)
        Å above the mid-plane.
    numbers : ndarray of int, shape (n,)
    kind : str
        "hexagonal", "square", "rectangular" or "oblique".
    """

    cell: np.ndarray
    fractional: np.ndarray
    heights: np.ndarray
    numbers: np.ndarray
    kind: str

    def __len__(self):
        return len(self.numbers)

    @property
    def formula(self) -> str:
        return Atoms(self.numbers).get_chemical_formula()

    def scaled(self, lattice_constant: float) -> Monolayer:
        """The same layer with its first lattice vector this long (Å), heights kept."""
        if not lattice_constant > 0:
            raise ValueError(f"the lattice constant must be positive, got {lattice_constant} Å")
        return replace(self, cell=self.cell * (lattice_constant / np.linalg.norm(self.cell[0])))


def standard_monolayer(atoms: Atoms) -> Monolayer:
    """Reduce a single layer to the standard setting.

    The layer may lie in any plane and have any in-plane cell (60 or 120 degrees, left-handed, skewed, a supercell): the
    shortest vectors are taken, the obtuse pair when hexagonal, turned so that the first lies along x.  A hexagonal or
    square lattice that is off by less than 0.1 % is made exact at equal area.  The mid-plane is the mean height of the
    transition metals where there are any, else the middle between the outermost atoms.

    Raises
    ------
    ValueError
        For input that `check_atoms` refuses, and for more than one layer.
    """
    check_atoms(atoms)
    _check_one_layer(atoms)
    atoms = primitive_cell(atoms)
    normal = upward(atoms)
    plane = np.array(atoms.cell[:2])
    e1 = plane[0] / np.linalg.norm(plane[0])
    frame = np.array([e1, np.cross(normal, e1)])
    cell, _ = reduce_cell(plane @ frame.T)
    kind, ideal = classify(cell)
    fractional = (atoms.positions @ frame.T) @ np.linalg.inv(cell)
    turn = cell[0] / np.linalg.norm(cell[0])
    cell = cell @ np.array([[turn[0], -turn[1]], [turn[1], turn[0]]]) if ideal is None else ideal
    heights = atoms.positions @ normal
    return Monolayer(cell, fractional, heights - midplane(heights, atoms.numbers), np.array(atoms.numbers), kind)


def primitive_cell(atoms: Atoms, tolerance: float = 1e-3) -> Atoms:
    """The smallest cell of a layer, with its atoms where they are (Å).

    The first cell vector keeps its direction if it can.
    """
    from .symmetry import symmetry

    slab = atoms.copy()
    # A layer cut by a periodic cell boundary is put together first; then the third vector has no further use.
    slab.set_positions(standing_positions(atoms), apply_constraint=False)
    slab.cell[2] = upward(atoms) * (20.0 + np.ptp(slab.positions @ plane_normal(atoms)))
    slab.pbc[2] = False
    report = symmetry(slab, tolerance)
    if report.n_translations == 1:
        return slab
    pure = report.translations[np.all(report.rotations == np.eye(3, dtype=int), axis=(1, 2))][:, :2]
    images = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    vectors = (pure[:, None] % 1 + images).reshape(-1, 2)
    length = np.linalg.norm(vectors @ slab.cell.array[:2], axis=1)
    along = abs(vectors[:, 1]) + (vectors[:, 0] < 0)  # prefer the direction of the first cell vector
    order = np.lexsort((np.round(along, 6), np.round(length, 4)))
    vectors = vectors[order][length[order] > tolerance]
    first = vectors[0]
    area = abs(first[0] * vectors[:, 1] - first[1] * vectors[:, 0])
    second = vectors[np.flatnonzero(abs(area - 1 / report.n_translations) < 0.1 / report.n_translations)[0]]
    cell = slab.cell.array.copy()
    cell[:2] = np.array([first, second]) @ slab.cell.array[:2]
    # one atom of every orbit of the translations
    matrix = np.linalg.inv(np.array([first, second]))
    fractional = slab.get_scaled_positions(wrap=False)[:, :2] @ matrix
    heights = slab.positions @ plane_normal(slab)
    keep: list[int] = []
    for k in range(len(slab)):
        delta = fractional[keep] - fractional[k]
        same = (
            (abs((delta - np.round(delta)) @ cell[:2]).max(axis=1, initial=0) < 10 * tolerance)
            if keep
            else np.zeros(0, bool)
        )
        if not np.any(
            same & (abs(heights[keep] - heights[k]) < 10 * tolerance) & (slab.numbers[keep] == slab.numbers[k])
        ):
            keep.append(k)
    small = slab[keep]
    small.set_cell(cell)
    if len(small) * report.n_translations != len(slab):
        raise ValueError(f"the layer of {len(slab)} atoms repeats {report.n_translations} times, but not atom by atom")
    return small


def _check_one_layer(atoms):
    """ValueError for a stack or a bulk crystal; an open network without bonds is let through."""
    try:
        n_layers = find_layers(atoms).max() + 1
    except BulkCrystalError:
        raise
    except ValueError:
        return
    if n_layers > 1:
        raise ValueError(f"a single layer is needed, the structure has {n_layers}")


def midplane(heights: np.ndarray, numbers: np.ndarray) -> float:
    """Height (Å) of a layer's mid-plane: mean of its transition metals, else the middle of its outermost atoms."""
    metal = is_metal(numbers)
    if metal.any():
        return float(np.mean(heights[metal]))
    return float(heights.max() + heights.min()) / 2


def is_metal(numbers: np.ndarray) -> np.ndarray:
    """Mask of the transition metals."""
    return np.array([int(z) in _TRANSITION_METALS for z in numbers], dtype=bool)


def reduce_cell(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shortest pair of lattice vectors, right-handed, with an angle of 90 to 120 degrees.

    Returns
    -------
    reduced : ndarray, shape (2, 2)
        Rows, in the frame of `cell`.
    matrix : ndarray of int, shape (2, 2)
        reduced = matrix @ cell.
    """
    vectors, matrix = np.array(cell, dtype=float), np.eye(2, dtype=int)

    def change(step):
        nonlocal vectors, matrix
        vectors, matrix = np.array(step) @ vectors, np.array(step) @ matrix

    while True:  # Lagrange and Gauss; the factors keep ties from going round in circles
        if vectors[0] @ vectors[0] > (vectors[1] @ vectors[1]) * (1 + 1e-9):
            change([[0, 1], [-1, 0]])
        shift = int(np.round((vectors[0] @ vectors[1]) / (vectors[0] @ vectors[0]) * (1 - 1e-9)))
        if shift == 0:
            break
        change([[1, 0], [-shift, 1]])
    if np.linalg.det(vectors) < 0:
        change([[1, 0], [0, -1]])
    if vectors[0] @ vectors[1] > 1e-9 * (vectors[0] @ vectors[0]):
        # 60 degrees: (a, b - a) is as short and keeps a; otherwise turn the pair round
        third = vectors[1] - vectors[0]
        near = abs(third @ third - vectors[0] @ vectors[0]) < 1e-2 * (vectors[0] @ vectors[0])
        change([[1, 0], [-1, 1]] if near else [[0, 1], [-1, 0]])
    return vectors, matrix


def classify(cell: np.ndarray) -> tuple[str, np.ndarray | None]:
    """Kind of a reduced cell, and the ideal cell (a1 along x, equal area) when hexagonal, square or rectangular."""
    a, b = np.linalg.norm(cell, axis=1)
    cosine = cell[0] @ cell[1] / (a * b)
    area = abs(np.linalg.det(cell))
    if abs(a - b) < LATTICE_TOLERANCE * a and abs(cosine + 0.5) < LATTICE_TOLERANCE:
        length = np.sqrt(area / np.sqrt(0.75))
        return "hexagonal", length * np.array([[1, 0], [-0.5, np.sqrt(0.75)]])
    if abs(cosine) < LATTICE_TOLERANCE:
        if abs(a - b) < LATTICE_TOLERANCE * a:
            return "square", np.sqrt(area) * np.eye(2)
        return "rectangular", np.diag([a, area / a])
    return "oblique", None


def rotation_centre(layer: Monolayer, centre) -> np.ndarray:
    """Fractional coordinates (2,) of a rotation centre.

    Parameters
    ----------
    layer : Monolayer
    centre : {"hexagon", "atom", "bond"} or (float, float)
        The point farthest from all atoms (seen along the normal; the middle of the hexagon), the first transition
        metal (else the first atom), the middle of the shortest bond; or fractional coordinates.
    """
    if not isinstance(centre, str):
        point = np.asarray(centre, dtype=float)
        if point.shape != (2,) or not np.isfinite(point).all():
            raise ValueError(
                f"a rotation centre is 'hexagon', 'atom', 'bond' or two fractional coordinates, not {centre!r}"
            )
        return point
    if centre == "atom":
        return layer.fractional[int(np.argmax(is_metal(layer.numbers)))].copy()
    if centre == "bond":
        return _bond_centre(layer)
    if centre == "hexagon":
        return _hollow(layer)
    raise ValueError(
        f"unknown rotation centre {centre!r}: choose 'hexagon', 'atom' or 'bond', or two fractional coordinates"
    )


def _bond_centre(layer):
    positions = np.column_stack([layer.fractional @ layer.cell, layer.heights])
    cell = np.zeros((3, 3))
    cell[:2, :2] = layer.cell
    atoms = Atoms(layer.numbers, positions=positions, cell=cell, pbc=(True, True, False))
    cutoff = np.linalg.norm(layer.cell[0]) * 1.01
    pairs = neighbour_pairs(atoms, cutoff)
    # a lone atom per site would be bonded to its image; a vertical pair (dumbbell) has no lateral bond
    lateral = np.linalg.norm(pairs.vector[:, :2], axis=1) > 0.1
    pairs = pairs.select(lateral)
    k = np.lexsort((pairs.j, pairs.i, np.round(pairs.distance, 6)))[0]
    return (positions[pairs.i[k], :2] + pairs.vector[k, :2] / 2) @ np.linalg.inv(layer.cell)


def _hollow(layer):
    """Centre of the largest empty circle between the projected atoms: a vertex of their Voronoi diagram."""
    from scipy.spatial import Voronoi

    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    sites = ((layer.fractional % 1)[:, None] + shifts).reshape(-1, 2)
    sites = (
        sites[np.unique(np.round(sites, 6), axis=0, return_index=True)[1]] @ layer.cell
    )  # atoms above each other are one
    vertices = Voronoi(sites).vertices
    fractional = vertices @ np.linalg.inv(layer.cell)
    inside = np.all(abs(fractional - 0.5) < 0.75, axis=1)
    radius = np.min(np.linalg.norm(vertices[inside, None] - sites, axis=2), axis=1)
    widest = fractional[inside][radius > radius.max() - 1e-6] % 1
    widest = np.where(widest > 1 - 1e-9, 0.0, widest)
    return widest[np.lexsort((np.round(widest[:, 0], 6), np.round(widest[:, 1], 6)))[0]]


def describe(layer: Monolayer) -> str:
    """One line: formula and lattice."""
    a, b = np.linalg.norm(layer.cell, axis=1)
    names = "".join(chemical_symbols[z] for z in layer.numbers)
    return f"{names}, {layer.kind}, {a:.4f} x {b:.4f} Å"
