"""Configurations of a bilayer or monolayer for reference calculations.

A plan is a list of kinds.  Configuration n of a kind depends on the seed, the kind's prefix and n alone, never on how
many are asked for: a longer plan continues a shorter one.  What varies smoothly (shift, gap, strain, ...) comes from a
scrambled
Sobol sequence, whose every prefix fills the ranges evenly; displacements come from a random generator of their own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from ase import Atoms

from ...moire.build import PlacedLayer, assemble, resolve_material, twisted_bilayer
from ...moire.lattice import Monolayer, is_metal, rotation_centre
from ...moire.materials import equilibrium
from ...structure import check_atoms
from .displacements import random_displacements, waves
from .plan import Kind, Plan, gap_at, quantile

#: Dimensions of the Sobol sequence, in this order; new ones go to the end.
DIMENSIONS = (
    "shift_1",
    "shift_2",
    "gap",
    "strain",
    "uniaxial",
    "shear",
    "thickness_lower",
    "thickness_upper",
    "sigma",
    "stacking",
)


@dataclass(frozen=True)
class Draw:
    """Parameters of one configuration of a kind.

    Attributes
    ----------
    stacking : str
        "R", "H", or "-" for a monolayer.
    shift : ndarray, shape (2,)
        Of the upper layer, in lattice vectors.
    gap : float
        Mid-plane to mid-plane, Å.
    strain : ndarray, shape (3,)
        Biaxial, (xx - yy)/2 and xy.
    thickness : ndarray, shape (2,)
        Relative change of the heights of the lower and the upper layer.
    sigma : float
        Standard deviation of the random displacements along each axis, Å.
    """

    stacking: str
    shift: np.ndarray
    gap: float
    strain: np.ndarray
    thickness: np.ndarray
    sigma: float


def low_discrepancy(seed, index: int) -> np.ndarray:
    """Point `index` of a scrambled Sobol sequence, shape (len(DIMENSIONS),), in [0, 1)."""
    from scipy.stats import qmc

    generator = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the keyword `seed` has become `rng`
        sequence = qmc.Sobol(len(DIMENSIONS), scramble=True, seed=generator)
    if index:
        sequence.fast_forward(index)
    return sequence.random(1)[0]


def draw(kind: Kind, seed: int, index: int) -> Draw:
    """Parameters of configuration `index` (counted from 0) of a kind."""
    # a listed shift has a sequence of its own: every n-th point of one Sobol sequence would cluster
    listed = len(kind.shifts) if kind.shifts is not None else 1
    key = [seed, crc32(kind.prefix.encode()), kind.first, index % listed]
    x = dict(zip(DIMENSIONS, low_discrepancy(key, index // listed)))
    shift = (
        np.array([x["shift_1"], x["shift_2"]]) if kind.shifts is None else np.array(kind.shifts[index % listed], float)
    )
    stacking = "-" if kind.monolayer else kind.stackings[int(x["stacking"] * len(kind.stackings))]
    gap = 0.0 if kind.monolayer else gap_at(kind.gap, x["gap"], shift, stacking)
    strain = quantile(kind.strain, x["strain"])
    shear = kind.shear * (2 * np.array([x["uniaxial"], x["shear"]]) - 1)
    thickness = kind.thickness * (2 * np.array([x["thickness_lower"], x["thickness_upper"]]) - 1)
    sigma = kind.sigma[int(x["sigma"] * len(kind.sigma))]
    return Draw(stacking, shift, float(gap), np.array([strain, *shear]) + 0.0, thickness, float(sigma))  # no -0.0


def configuration(plan: Plan, kind: Kind, index: int, layers: tuple | None = None) -> Atoms:
    """Configuration `index` (counted from 0) of a kind; `layers` is `resolve(plan)`, where it is known.

    Returns
    -------
    ase.Atoms
        pbc (T, T, F), third vector along z, centred.  `info`: config_id, stacking (R, H, - for a monolayer), sigma (Å),
        a (Å, after biaxial strain), strain (biaxial, (xx - yy)/2, xy), supercell, and for a bilayer shift (lattice
        vectors) and gap (mid-planes, Å), both before displacement; twist_angle (degrees) of a twisted cell;
        layer_strain, of both layers of a heterobilayer against their own lattices.

    Raises
    ------
    ValueError
        For atoms closer than any bond, and what the kind makes impossible; the message names the configuration.
    """
    name = f"{kind.prefix}_{kind.first + index:04d}"
    drawn = draw(kind, plan.seed, index)
    rng = np.random.default_rng([plan.seed, crc32(kind.prefix.encode()), kind.first + index, 1])
    try:
        units = resolve(plan) if layers is None else layers
        atoms, matrix = build(plan, kind, drawn, units)
        of_layer = atoms.arrays.pop("layer")
        displacement = random_displacements(len(atoms), drawn.sigma, rng)
        if kind.waves:
            cells = round(np.linalg.det(matrix))
            sublattices = np.concatenate([np.arange(cells * len(unit)) % len(unit) for unit in units])[: len(atoms)]
            displacement += waves(atoms, of_layer, sublattices, matrix, kind.waves, rng)
        atoms.positions += displacement
        check_atoms(atoms)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    atoms.info = {
        "config_id": name,
        "stacking": drawn.stacking,
        "sigma": drawn.sigma,
        "a": atoms.info["a"],
        "strain": drawn.strain,
        "supercell": kind.cell_name,
        **({} if kind.monolayer else {"shift": drawn.shift, "gap": drawn.gap}),
        **({"twist_angle": atoms.info["twist_angle"]} if kind.twist else {}),
        **({"layer_strain": mismatch(plan, drawn)} if isinstance(plan.material, tuple) else {}),
    }
    return atoms


def resolve(plan: Plan) -> tuple[Monolayer, Monolayer]:
    """The plan's lower and upper layer, both on the plan's lattice.

    ValueError for two layers of different Bravais lattices.
    """
    if not isinstance(plan.material, tuple):
        layer = resolve_material(plan.material, plan.lattice_constant, gap=1.0)[0]  # the kinds have gaps of their own
        return layer, layer
    a = common_lattice_constant(plan)
    lower, upper = (resolve_material(name, gap=1.0)[0] for name in plan.material)
    if lower.kind != upper.kind:
        raise ValueError(f"sampling.material: {'/'.join(plan.material)}: a {lower.kind} and a {upper.kind} lattice")
    return lower.scaled(a), upper.scaled(a)


def common_lattice_constant(plan: Plan) -> float:
    """Lattice constant (Å) of a heterobilayer before biaxial strain: the plan's, else the mean of its layers'."""
    return plan.lattice_constant or float(np.mean([equilibrium(name).a for name in plan.material]))


def mismatch(plan: Plan, drawn: Draw) -> np.ndarray:
    """Biaxial strain of the lower and the upper layer of a heterobilayer against their own equilibrium, (2,)."""
    own = np.array([equilibrium(name).a for name in plan.material])
    return common_lattice_constant(plan) * (1 + drawn.strain[0]) / own - 1


def build(plan: Plan, kind: Kind, drawn: Draw, units) -> tuple[Atoms, np.ndarray]:
    """Undisplaced cell of a draw, with `arrays["layer"]` and `info["a"]`, and its supercell matrix; `units` are the
    plan's lower and upper layer."""
    layer = units[0]
    if kind.twist and isinstance(plan.material, tuple):
        raise ValueError(f"{'/'.join(plan.material)}: twisted cells are for two equal layers")
    if kind.twist:
        atoms = twisted_bilayer(
            plan.material,
            *kind.twist,
            stacking=drawn.stacking,
            gap=drawn.gap,
            vacuum=plan.vacuum,
            lattice_constant=plan.lattice_constant,
            shift=tuple(drawn.shift),
        )
        matrix = np.array(atoms.info["supercells"][0])
    else:
        matrix = kind.matrix(layer.kind)
        plane = matrix @ layer.cell
        placed = []
        for k in range(1 if kind.monolayer else 2):
            unit = replace(units[k], heights=units[k].heights * (1 + drawn.thickness[k]))
            own = -matrix if k and drawn.stacking == "H" else matrix  # H: turned by 180 degrees
            origin = rotation_centre(unit, "atom" if is_metal(unit.numbers).any() else "hexagon")
            placed.append(PlacedLayer(unit, own, origin, k * drawn.gap, k * drawn.shift @ np.linalg.inv(matrix)))
        atoms = assemble(placed, plane, plan.vacuum)
    biaxial, uniaxial, shear = drawn.strain
    # r -> (1 + eps_biaxial) (1 + eps) r, eps symmetric and traceless
    strain = (1 + biaxial) * np.array([[1 + uniaxial, shear], [shear, 1 - uniaxial]])
    cell = atoms.cell.array.copy()
    cell[:2, :2] = cell[:2, :2] @ strain
    atoms.set_cell(cell, scale_atoms=True)
    atoms.info["a"] = float(np.linalg.norm(layer.cell[0]) * (1 + biaxial))
    return atoms, matrix


def order(kinds) -> list[tuple[int, int]]:
    """(kind, index) of every configuration of a plan, interleaved: every prefix holds all kinds in proportion."""
    keyed = sorted(((i + 0.5) / kind.count, k, i) for k, kind in enumerate(kinds) for i in range(kind.count))
    return [(k, i) for _, k, i in keyed]


def sample(plan: Plan, limit: int | None = None) -> list[Atoms]:
    """Configurations of a plan, in the order in which they should be computed.

    Parameters
    ----------
    plan : Plan
        See `plan.read_plan`.
    limit : int, optional
        Only the first so many.
    """
    layers = resolve(plan)
    return [configuration(plan, plan.kinds[k], i, layers) for k, i in order(plan.kinds)[:limit]]
