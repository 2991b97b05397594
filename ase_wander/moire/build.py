"""Twisted bilayers of two equal layers in their exact cells."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import sqrt

import numpy as np
from ase import Atoms

from ..structure import MIN_DISTANCE
from .cell_search import MAX_ATOMS, cells_near
from .commensurate import (
    PERIOD,
    CommensurateCell,
    cells_per_layer,
    check_lattice,
    check_pair,
    lattice_points,
    supercell_matrices,
    twist_angle,
)
from .lattice import Monolayer, describe, rotation_centre, standard_monolayer
from .materials import canonical_name, equilibrium, monolayer

#: Total empty height of a built cell, Å.
VACUUM = 20.0

#: Fractional coordinates this close to 0 or 1 are rounding errors of 0.
_EDGE = 1e-12


@dataclass(frozen=True)
class PlacedLayer:
    """A monolayer, its supercell and where it goes.

    Attributes
    ----------
    monolayer : Monolayer
    matrix : ndarray of int, shape (2, 2)
        Supercell vectors (rows) in the monolayer's vectors.
    origin : ndarray, shape (2,)
        Point of the monolayer, in its own fractional coordinates, that lies on the origin of the cell.
    height : float
        Mid-plane, Å.
    shift : ndarray, shape (2,)
        Displacement in fractional coordinates of the supercell.
    """

    monolayer: Monolayer
    matrix: np.ndarray
    origin: np.ndarray
    height: float
    shift: np.ndarray


def twisted_bilayer(
    material,
    m: int | None = None,
    r: int | None = None,
    angle: float | None = None,
    *,
    tolerance: float | None = None,
    stacking: str = "R",
    gap: float | None = None,
    vacuum: float = VACUUM,
    lattice_constant: float | None = None,
    centre="hexagon",
    shift=(0.0, 0.0),
    gamma: int = 120,
    max_atoms: int = MAX_ATOMS,
) -> Atoms:
    """Exact cell of two equal layers, the top one turned counter-clockwise.

    Parameters
    ----------
    material : str or ase.Atoms
        Known name (`known_materials()`), or one layer with a hexagonal or square lattice, in any orientation.
    m, r : int, optional
        Coprime pair of Lopes dos Santos et al., PRB 86, 155449; (1, 0) is 0 degrees, (0, 1) is 60 (square: 90).
    angle : float, optional
        Wanted twist in degrees instead of `m`, `r`: the smallest exact cell within `tolerance` is built, and
        `atoms.info` says which.  A negative angle gives the mirror-imaged twist.
    tolerance : float, optional
        Degrees; 2 % of the angle, at least 0.02, by default.
    stacking : {"R", "H"}
        R: layers parallel; at 0 degrees and no shift atom lies over like atom (AA).  H: the top layer is turned by
        another 180 degrees about the same axis; at 0 degrees the default centre puts metal over chalcogen (2H,
        also called AA'), the centre "atom" metal over metal (AB').
    gap : float, optional
        Distance of the mid-planes (metal to metal), Å; `material.info["gap"]`, or for a known material its equilibrium
        one, by default.
    vacuum : float
        Total empty height of the cell, Å.
    lattice_constant : float, optional
        Å; for a known material its equilibrium one.
    centre : {"hexagon", "atom", "bond"} or (float, float)
        Axis of the twist, the same point of both layers (fractional coordinates of the monolayer); it becomes the
        origin of the cell.
    shift : (float, float)
        Lateral displacement of the top layer after the twist, in lattice vectors of the bottom layer.
    gamma : {120, 60}
        Angle between the cell vectors of a hexagonal lattice.
    max_atoms : int
        Larger cells are refused.

    Returns
    -------
    ase.Atoms
        First vector along x, third along z, pbc (T, T, F), centred in z.  Bottom layer first, cell by cell, atoms of a
        cell in the order of the monolayer.  `arrays["layer"]` is 0 (bottom) or 1.  `info`: twist_angle (degrees),
        m, r, stacking, supercells (per layer a 2 x 2 integer matrix, rows in the monolayer's vectors), gap,
        shift, centre.

    Raises
    ------
    ValueError
        For a request that no exact cell meets; the message names the nearest one.

    Examples
    --------
    >>> atoms = twisted_bilayer("MoS2", m=2, r=1)
    >>> len(atoms), round(atoms.info["twist_angle"], 4)
    (114, 13.1736)
    >>> atoms = twisted_bilayer("graphene", angle=5.1, tolerance=0.1)
    >>> atoms.info["m"], atoms.info["r"], len(atoms)
    (6, 1, 508)
    """
    layer, gap = resolve_material(material, lattice_constant, gap)
    check_layer_lattice(layer)
    check_positive(gap=gap)
    stacking = check_stacking(stacking)
    cell, mirrored = _choose(layer, m, r, angle, tolerance, max_atoms)
    if cell.n_atoms > max_atoms:
        raise ValueError(f"{cell} exceeds max_atoms = {max_atoms}")
    bottom, top = supercell_matrices(cell.m, cell.r, layer.kind)
    if mirrored:
        bottom, top = top, bottom
    if stacking == "H":
        top = -top  # a turn by 180 degrees about the axis: every lattice vector changes sign
    length = cell.length
    plane = length * (np.array([[1, 0], [-0.5, np.sqrt(0.75)]]) if layer.kind == "hexagonal" else np.eye(2))
    axis = rotation_centre(layer, centre)
    displacement = check_shift(shift) @ np.linalg.inv(bottom)
    if gamma == 60 and layer.kind == "hexagonal":
        change = np.array([[1, 0], [1, 1]])
        plane, bottom, top, displacement = (
            change @ plane,
            change @ bottom,
            change @ top,
            displacement @ np.linalg.inv(change),
        )
    elif gamma not in (60, 120):
        raise ValueError(f"gamma is 120 or 60 degrees, not {gamma!r}")
    placed = [PlacedLayer(layer, bottom, axis, 0.0, np.zeros(2)), PlacedLayer(layer, top, axis, gap, displacement)]
    atoms = assemble(placed, plane, vacuum)
    assert len(atoms) == cell.n_atoms == 2 * cells_per_layer(cell.m, cell.r, layer.kind) * len(layer)
    atoms.info.update(
        twist_angle=-cell.angle if mirrored else cell.angle,
        m=cell.m,
        r=cell.r,
        stacking=stacking,
        supercells=[bottom.tolist(), top.tolist()],
        gap=float(gap),
        shift=[float(x) for x in shift],
        centre=centre if isinstance(centre, str) else [float(x) for x in centre],
    )
    return atoms


def assemble(layers: list[PlacedLayer], plane: np.ndarray, vacuum: float = VACUUM) -> Atoms:
    """Put layers into one cell.

    Every layer fills the cell exactly: its lattice vectors are matrix^-1 @ plane, so a layer whose own vectors differ
    is strained homogeneously, and the number of its cells is the determinant.

    Parameters
    ----------
    layers : list of PlacedLayer
        From bottom to top.
    plane : ndarray, shape (2, 2)
        Supercell vectors as rows, Å.
    vacuum : float
        Total empty height, Å.

    Returns
    -------
    ase.Atoms
        With `arrays["layer"]`, centred in z.

    Raises
    ------
    ValueError
        For a vacuum that is not positive, and for layers that reach into each other.
    """
    check_positive(vacuum=vacuum)
    _check_clearance(layers)
    numbers, in_plane, heights, index = [], [], [], []
    for k, placed in enumerate(layers):
        unit, inverse = placed.monolayer, np.linalg.inv(placed.matrix)
        points = lattice_points(placed.matrix)
        # (n + f - origin) in lattice vectors of the layer -> fractional coordinates of the supercell
        sites = (points[:, None] + unit.fractional - placed.origin) @ inverse + placed.shift
        in_plane.append(sites.reshape(-1, 2))
        heights.append(np.tile(unit.heights + placed.height, len(points)))
        numbers.append(np.tile(unit.numbers, len(points)))
        index.append(np.full(len(points) * len(unit), k))
    fractional, z = np.concatenate(in_plane) % 1.0, np.concatenate(heights)
    fractional[fractional > 1 - _EDGE] = 0.0
    fractional[fractional < _EDGE] = 0.0
    thickness = z.max() - z.min()
    cell = np.zeros((3, 3))
    cell[:2, :2], cell[2, 2] = plane, thickness + vacuum
    positions = np.zeros((len(z), 3))
    positions[:, :2] = fractional @ plane
    positions[:, 2] = z - z.min() + vacuum / 2
    atoms = Atoms(np.concatenate(numbers), positions=positions, cell=cell, pbc=(True, True, False))
    atoms.set_array("layer", np.concatenate(index).astype(np.int64))
    return atoms


def _check_clearance(layers):
    """ValueError when a layer reaches into the one above it."""
    for k, (lower, upper) in enumerate(itertools.pairwise(layers)):
        clearance = upper.height + upper.monolayer.heights.min() - lower.height - lower.monolayer.heights.max()
        if clearance < MIN_DISTANCE:
            raise ValueError(
                f"the gap {upper.height - lower.height:g} Å leaves {clearance:.2f} Å between the outermost atoms of "
                f"layers {k} and {k + 1}: at least {MIN_DISTANCE:g} Å is needed (the gap counts from mid-plane to "
                "mid-plane)"
            )


def resolve_material(material, lattice_constant=None, gap=None) -> tuple[Monolayer, float]:
    """The monolayer and the gap (Å) of a known name or of one layer given as Atoms."""
    if isinstance(material, str):
        layer = standard_monolayer(monolayer(material, lattice_constant))
        return layer, equilibrium(material).gap if gap is None else float(gap)
    if not isinstance(material, Atoms):
        raise ValueError(f"a material is a known name or one layer as ase.Atoms, not {type(material).__name__}")
    layer = standard_monolayer(material)
    if lattice_constant is not None:
        layer = layer.scaled(lattice_constant)
    if gap is None:
        gap = _known_gap(material)
    return layer, float(gap)


def _known_gap(atoms):
    if "gap" in atoms.info:
        return atoms.info["gap"]
    formula = atoms.symbols.formula.reduce()[0].format("metal")
    try:
        return equilibrium(canonical_name(formula)).gap
    except ValueError:
        raise ValueError(f"no equilibrium gap is known for {formula}: give gap= (mid-plane to mid-plane, Å)") from None


def check_layer_lattice(layer: Monolayer) -> None:
    """ValueError unless exact twists of the layer's lattice exist in closed form."""
    try:
        check_lattice(layer.kind)
    except ValueError as error:
        raise ValueError(f"{describe(layer)}: {error}") from None


def check_stacking(stacking: str) -> str:
    """ "R" or "H"."""
    if stacking not in ("R", "H"):
        raise ValueError(f"stacking is 'R' (layers parallel) or 'H' (antiparallel), not {stacking!r}")
    return stacking


def check_shift(shift) -> np.ndarray:
    """Two finite fractional coordinates."""
    try:
        numbers = np.asarray(shift, dtype=float)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != (2,) or not np.isfinite(numbers).all():
        raise ValueError(f"shift takes two numbers, in lattice vectors of the bottom layer, not {shift!r}")
    return numbers


def check_positive(**values) -> None:
    """ValueError naming the first value that is not a positive, finite number."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value} Å")


def _choose(layer, m, r, angle, tolerance, max_atoms) -> tuple[CommensurateCell, bool]:
    """The exact cell asked for, and whether it is mirror-imaged (negative angle)."""
    a, lattice = float(np.linalg.norm(layer.cell[0])), layer.kind
    if (m is None) != (r is None) or (m is None) == (angle is None):
        raise ValueError("give either both m and r, or an angle")
    if angle is None:
        m, r = check_pair(m, r)
        n = cells_per_layer(m, r, lattice)
        return CommensurateCell(m, r, twist_angle(m, r, lattice), n, 2 * n * len(layer), a * sqrt(n), lattice), False
    angle, period = float(angle), PERIOD[lattice]
    if period < abs(angle) <= period + 1e-9:  # a listed angle of a whole turn, rounded up
        angle = period if angle > 0 else -period
    if not abs(angle) <= period:
        raise ValueError(
            f"twist angle {angle:g} is outside -{period:g} to {period:g} degrees"
            + (
                f": a turn of {angle:g} about a three-fold axis equals {(angle + 60) % 120 - 60:g} with the same "
                "stacking"
                if period == 60 and np.isfinite(angle)
                else ""
            )
        )
    cells = cells_near(abs(angle), tolerance, max_atoms, atoms_per_cell=len(layer), lattice_constant=a, lattice=lattice)
    return cells[0], angle < 0 and cells[0].r > 0
