"""The plan of a sampling: kinds of configurations with their ranges, read from a dictionary and checked."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...files import read_structure
from ...schema import entries, integer, list_of, number, optional, read, setting, switch
from .displacements import WAVES
from .plan_checks import (
    AMPLITUDE,
    NAMED_CELLS,
    PAIR,
    are_kinds,
    are_sigmas,
    are_stackings,
    as_tuple,
    is_cell,
    is_gap,
    is_material,
    is_pair,
    is_prefix,
    is_strain,
)

#: Total empty height of a configuration, Å.
DEFAULT_VACUUM = 12.0


@dataclass(frozen=True)
class Kind:
    """One kind of configurations.

    Attributes
    ----------
    prefix : str
        Of the names `<prefix>_<number>`.
    count : int
    first : int
        Number of the first one.
    cell : str or 2 x 2 integers
        "1x1", "2x2", "4x1", "1xsqrt3", "sqrt3xsqrt3", or supercell vectors in lattice vectors.
    twist : tuple (m, r), optional
        Twisted cell instead of `cell`.
    monolayer : bool
    stackings : tuple
        Of "R", "H"; drawn evenly.
    shifts : list of pairs, optional
        Lateral shifts taken in turn, in lattice vectors; evenly over the whole cell by default.
    gap : number, [low, high], [[value, share below], ...] or {top, hollow, spread, origin}
        Mid-plane to mid-plane, Å.  The last: a gap that follows the registry (`gap_at`).
    strain : number or range as in `gap`
        Biaxial strain; a number e means -e to e.
    shear : float
        Largest uniaxial and shear strain.
    thickness : float
        Largest relative change of a layer's thickness.
    sigma : tuple of float
        Random displacement along each axis, Å; drawn evenly from the list.
    waves : dict
        Largest amplitudes, Å, of "in_plane", "flexural" and "optical" waves.
    """

    prefix: str = setting(is_prefix)
    count: int = setting(integer())
    first: int = setting(integer(0), 0)
    cell: object = setting(is_cell, "1x1")
    twist: tuple | None = setting(optional(is_pair), None)
    monolayer: bool = setting(switch(), False)
    stackings: tuple = setting(are_stackings, ("R",))
    shifts: list | None = setting(optional(list_of(PAIR, "a list of pairs of numbers")), None)
    gap: object = setting(optional(is_gap), None)
    strain: object = setting(is_strain, 0.0)
    shear: float = setting(number(below=0.5, what="is not a number from 0 to 0.5"), 0.0)
    thickness: float = setting(number(below=0.5, what="is not a number from 0 to 0.5"), 0.0)
    sigma: tuple = setting(are_sigmas, (0.0,))
    waves: dict | None = setting(optional(entries(AMPLITUDE, "a mapping of amplitudes in Å", known=WAVES)), None)

    @property
    def cell_name(self) -> str:
        """What `info["supercell"]` says."""
        if self.twist:
            return f"twist {self.twist[0]},{self.twist[1]}"
        return self.cell if isinstance(self.cell, str) else " ".join(str(x) for row in self.cell for x in row)

    def matrix(self, lattice: str) -> np.ndarray:
        """Supercell vectors in lattice vectors, (2, 2) int; ValueError for a cell that the lattice does not have."""
        if not isinstance(self.cell, str):
            return np.array(self.cell, dtype=int)
        if self.cell in NAMED_CELLS:
            if lattice == "hexagonal":
                return np.array(NAMED_CELLS[self.cell])
            raise ValueError(
                f"cell {self.cell} is defined for a hexagonal lattice, not a {lattice} one: give 2 x 2 integers"
            )
        return np.diag([int(n) for n in self.cell.split("x")])


@dataclass(frozen=True)
class Plan:
    """A material and the kinds of configurations of it.

    Attributes
    ----------
    material : str, ase.Atoms or (str, str)
        Two names are the lower and the upper layer of a heterobilayer, which share one lattice.
    kinds : tuple of Kind
    lattice_constant : float, optional
        Å; the known equilibrium, the mean of two, or the Atoms' own, by default.
    seed : int
    vacuum : float
        Total empty height before displacement, Å.
    """

    material: object = setting(is_material)
    kinds: tuple = setting(are_kinds)
    lattice_constant: float | None = setting(number(above=0, what="is not a positive number"), None)
    seed: int = setting(integer(0), 1)
    vacuum: float = setting(number(above=0, what="is not a positive number"), DEFAULT_VACUUM)


def quantile(spec, u: float) -> float:
    """Value at share `u` of a distribution: a number e (uniform on -e..e), [low, high], or [[value, share below],
    ...].
    """
    if np.ndim(spec) == 0:
        return float(spec) * (2 * u - 1)
    if np.ndim(spec) == 1:
        return spec[0] + (spec[1] - spec[0]) * u
    values, shares = np.array(spec, float).T
    return float(np.interp(u, shares, values))


def gap_at(spec, u: float, shift, stacking: str) -> float:
    """Gap of a configuration, Å.

    With {top, hollow, spread, origin} it follows the registry: first harmonics of a hexagonal lattice,
    gap = hollow + (top - hollow) (1 + 2 f)/3 ± spread, f = (cos 2 pi s1 + cos 2 pi s2 + cos 2 pi (s1 - s2))/3, which is
    1 where like atoms lie on top of each other (s = 0) and -1/2 at the other two symmetric registries (s = (1/3, 2/3),
    (2/3, 1/3)). `origin` moves s = 0, by stacking.
    """
    if np.isscalar(spec):
        return float(spec)
    if not isinstance(spec, dict):
        return quantile(spec, u)
    s1, s2 = np.asarray(shift) - np.asarray(spec.get("origin", {}).get(stacking, (0.0, 0.0)), float)
    f = (np.cos(2 * np.pi * s1) + np.cos(2 * np.pi * s2) + np.cos(2 * np.pi * (s1 - s2))) / 3
    return spec["hollow"] + (spec["top"] - spec["hollow"]) * (1 + 2 * f) / 3 + spec.get("spread", 0.0) * (2 * u - 1)


def read_plan(raw, folder=".") -> Plan:
    """A plan from the section `sampling` of a configuration.

    Parameters
    ----------
    raw : dict
        material (a known name, or a structure file relative to `folder`), lattice_constant, seed, vacuum, kinds (list
        of dicts, see `Kind`).

    Raises
    ------
    ValueError
        Naming the key that is wrong.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"sampling: expected keys {', '.join(f.name for f in fields(Plan))}")
    found = read(Plan, raw, _failing("sampling."))
    kinds = tuple(read_kind(k, f"sampling.kinds[{n}]") for n, k in enumerate(found.kinds))
    _check_names(kinds)
    return replace(found, material=read_material(found.material, folder), kinds=kinds)


def _failing(prefix):
    def fail(key, what):
        raise ValueError(f"{prefix}{key}: {what}")

    return fail


def read_material(name, folder="."):
    """A known name, two of them for a heterobilayer ("MoS2/WSe2": lower/upper), or one layer from a structure file."""
    from ...moire.build import resolve_material
    from ...moire.materials import canonical_name

    if isinstance(name, Atoms):
        return name
    path = Path(folder) / name
    try:
        if not path.is_file():
            parts = [canonical_name(part.strip()) for part in name.split("/")]
            if len(parts) > 2:
                raise ValueError(f"{len(parts)} layers; a heterobilayer has a lower and an upper one")
            return parts[0] if len(parts) == 1 else tuple(parts)
        atoms = read_structure(path)
        resolve_material(atoms, gap=1.0)
    except ValueError as error:
        raise ValueError(f"sampling.material: {name}: {' '.join(str(error).split())}") from None
    return atoms


def read_kind(raw, where: str = "kind") -> Kind:
    """One kind from a dictionary; ValueError naming the key that is wrong."""
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: expected keys prefix, count, ...")
    fail = _failing(f"{where}.")
    kind = read(Kind, raw, fail)
    if kind.gap is None and not kind.monolayer:
        fail("gap", "missing")
    if kind.twist is not None and ("cell" in raw or kind.monolayer or kind.thickness):
        fail("twist", "goes neither with cell, nor with monolayer, nor with thickness")
    return replace(
        kind,
        twist=None if kind.twist is None else tuple(kind.twist),
        stackings=as_tuple(kind.stackings),
        sigma=as_tuple(kind.sigma),
    )


def _check_names(kinds):
    """ValueError when two kinds give the same name."""
    taken = {}
    for n, kind in enumerate(kinds):
        for other, m in taken.get(kind.prefix, []):
            if other.first < kind.first + kind.count and kind.first < other.first + other.count:
                raise ValueError(
                    f"sampling.kinds[{n}]: names from {kind.prefix}_{kind.first:04d} on are taken by kinds[{m}]: "
                    "change prefix or first"
                )
        taken.setdefault(kind.prefix, []).append((kind, n))
