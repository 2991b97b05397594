"""The plan of a sampling: kinds of configurations with their ranges, read from a dictionary and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from ase import Atoms

from ...checks import is_integer, is_list_of, is_number, shown
from ...files import read_structure
from .displacements import WAVES

#: Named supercells of a hexagonal lattice with 120 degrees: supercell vectors in lattice vectors.
NAMED_CELLS = {"1xsqrt3": [[1, 0], [1, 2]], "sqrt3xsqrt3": [[2, 1], [-1, 1]]}

#: What one configuration may vary; see docs/data.md.
DEFAULT_VACUUM = 12.0

#: Strains of a lattice beyond this are no strains; at -1 there is no lattice.
MAX_STRAIN = 0.5


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

    prefix: str
    count: int
    first: int = 0
    cell: object = "1x1"
    twist: tuple | None = None
    monolayer: bool = False
    stackings: tuple = ("R",)
    shifts: list | None = None
    gap: object = None
    strain: object = 0.0
    shear: float = 0.0
    thickness: float = 0.0
    sigma: tuple = (0.0,)
    waves: dict | None = None

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
    material : str or ase.Atoms
    kinds : tuple of Kind
    lattice_constant : float, optional
        Å; the known equilibrium, or the Atoms' own, by default.
    seed : int
    vacuum : float
        Total empty height before displacement, Å.
    """

    material: object
    kinds: tuple
    lattice_constant: float | None = None
    seed: int = 1
    vacuum: float = DEFAULT_VACUUM


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
        raise ValueError("sampling: expected keys material, kinds, lattice_constant, seed, vacuum")
    known = ("material", "kinds", "lattice_constant", "seed", "vacuum")
    for key in raw:
        if key not in known:
            raise ValueError(f"sampling.{key}: unknown; known: {', '.join(known)}")
    if not raw.get("kinds") or not isinstance(raw["kinds"], list):
        raise ValueError("sampling.kinds: expected a list of kinds")
    seed = raw.get("seed", 1)
    if not is_integer(seed, 0):
        raise ValueError(f"sampling.seed: {shown(seed)} is not an integer from 0")
    for key in ("lattice_constant", "vacuum"):
        if key in raw and not (is_number(raw[key]) and raw[key] > 0):
            raise ValueError(f"sampling.{key}: {shown(raw[key])} is not a positive number")
    kinds = tuple(read_kind(k, f"sampling.kinds[{n}]") for n, k in enumerate(raw["kinds"]))
    _check_names(kinds)
    return Plan(
        read_material(raw.get("material"), folder),
        kinds,
        raw.get("lattice_constant"),
        seed,
        raw.get("vacuum", DEFAULT_VACUUM),
    )


def read_material(name, folder="."):
    """A known name, or one layer from a structure file."""
    from ...moire.build import resolve_material
    from ...moire.materials import canonical_name

    if isinstance(name, Atoms):
        return name
    if not isinstance(name, str):
        raise ValueError("sampling.material: missing (a known name or a structure file of one layer)")
    path = Path(folder) / name
    try:
        if not path.is_file():
            return canonical_name(name)
        atoms = read_structure(path)
        resolve_material(atoms, gap=1.0)
    except ValueError as error:
        raise ValueError(f"sampling.material: {name}: {' '.join(str(error).split())}") from None
    return atoms


def read_kind(raw, where: str = "kind") -> Kind:
    """One kind from a dictionary; ValueError naming the key that is wrong."""

    def fail(key, what):
        raise ValueError(f"{where}.{key}: {what}")

    if not isinstance(raw, dict):
        raise ValueError(f"{where}: expected keys prefix, count, ...")
    known = {f.name for f in fields(Kind)}
    for key in raw:
        if key not in known:
            fail(key, f"unknown; known: {', '.join(f.name for f in fields(Kind))}")
    kind = dict(raw)
    if not isinstance(kind.get("prefix"), str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", kind["prefix"]):
        fail("prefix", f"{shown(kind.get('prefix'))} is not a letter followed by letters and digits")
    for key, least in (("count", 1), ("first", 0)):
        value = kind.get(key, 0)
        if not is_integer(value, least):
            fail(key, f"{shown(value)} is not an integer from {least}")
    if not isinstance(kind.get("monolayer", False), bool):
        fail("monolayer", f"{shown(kind['monolayer'])} is not true or false")
    _check_cell(kind, fail)
    stackings = kind.get("stackings", ["R"])
    kind["stackings"] = tuple([stackings] if isinstance(stackings, str) else stackings)
    if not kind["stackings"] or not set(kind["stackings"]) <= {"R", "H"}:
        fail("stackings", f"{shown(stackings)} is not a list of R and H")
    if kind.get("shifts") is not None and not is_list_of(kind["shifts"], 2):
        fail("shifts", f"{shown(kind['shifts'])} is not a list of pairs of numbers")
    if kind.get("gap") is None and not kind.get("monolayer"):
        fail("gap", "missing")
    if kind.get("gap") is not None:
        _check_gap(kind["gap"], fail)
    if not (is_number(kind.get("strain", 0.0)) or _is_distribution(kind["strain"])):
        fail("strain", f"{shown(kind['strain'])} is not a number, [low, high] or [[value, share below], ...]")
    strain = np.ravel(kind.get("strain", 0.0))[:: 1 if np.ndim(kind.get("strain", 0.0)) < 2 else 2]  # without shares
    if not (np.abs(strain) < MAX_STRAIN).all():
        fail("strain", f"{shown(kind['strain'])} goes beyond -{MAX_STRAIN} or {MAX_STRAIN}")
    for key in ("shear", "thickness"):
        if not (is_number(kind.get(key, 0.0)) and 0 <= kind.get(key, 0.0) < 0.5):
            fail(key, f"{shown(kind[key])} is not a number from 0 to 0.5")
    sigma = kind.get("sigma", [0.0])
    kind["sigma"] = tuple(sigma) if isinstance(sigma, (list, tuple)) else (sigma,)
    if not kind["sigma"] or not all(is_number(s) and s >= 0 for s in kind["sigma"]):
        fail("sigma", f"{shown(sigma)} is not a list of numbers from 0")
    amplitudes = kind.get("waves") or {}
    if (
        not isinstance(amplitudes, dict)
        or not set(amplitudes) <= set(WAVES)
        or not all(is_number(a) and a >= 0 for a in amplitudes.values())
    ):
        fail("waves", f"{shown(amplitudes)} does not give amplitudes in Å of {', '.join(WAVES)}")
    return Kind(**kind)


def _check_cell(kind, fail):
    cell = kind.get("cell", "1x1")
    if isinstance(cell, str):
        if cell not in NAMED_CELLS and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", cell):
            fail("cell", f"{shown(cell)} is not NxM, {', '.join(NAMED_CELLS)} or 2 x 2 integers")
    elif (
        not is_list_of(cell, 2)
        or len(cell) != 2
        or not all(isinstance(x, int) for row in cell for x in row)
        or cell[0][0] * cell[1][1] - cell[0][1] * cell[1][0] < 1
    ):
        fail("cell", f"{shown(cell)} is not a right-handed matrix of 2 x 2 integers")
    if kind.get("twist") is not None:
        if not (
            isinstance(kind["twist"], (list, tuple))
            and len(kind["twist"]) == 2
            and all(isinstance(n, int) for n in kind["twist"])
        ):
            fail("twist", f"{shown(kind['twist'])} is not a pair of integers [m, r]")
        if "cell" in kind or kind.get("monolayer") or kind.get("thickness"):
            fail("twist", "goes neither with cell, nor with monolayer, nor with thickness")
        kind["twist"] = tuple(kind["twist"])


def _check_gap(gap, fail):
    if isinstance(gap, dict):
        if not {"top", "hollow"} <= set(gap) <= {"top", "hollow", "spread", "origin"} or not all(
            is_number(v) for k, v in gap.items() if k != "origin"
        ):
            fail("gap", f"{shown(gap)} does not give numbers top, hollow and optionally spread, origin")
        origin = gap.get("origin", {})
        if (
            not isinstance(origin, dict)
            or not set(origin) <= {"R", "H"}
            or not all(is_list_of([v], 2) for v in origin.values())
        ):
            fail("gap.origin", f"{shown(origin)} does not give a pair of numbers for R or H")
    elif not (is_number(gap) or _is_distribution(gap)):
        fail(
            "gap", f"{shown(gap)} is not a number, [low, high], [[value, share below], ...] or {{top, hollow, spread}}"
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


def _is_distribution(value):
    """[low, high] in order, or [[value, share], ...] with shares from 0 to 1, values and shares ascending."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(x) for x in value):
        return value[0] <= value[1]
    if not is_list_of(value, 2) or len(value) < 2:
        return False
    values, shares = np.array(value, float).T
    return bool(shares[0] == 0 and shares[-1] == 1 and (np.diff(shares) >= 0).all() and (np.diff(values) >= 0).all())
