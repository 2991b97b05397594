"""Exact cells of two equal layers: all of them, those near an angle, what more atoms buy."""

from __future__ import annotations

from math import gcd, sqrt

import numpy as np

from .commensurate import PERIOD, CommensurateCell, cells_per_layer, check_lattice, coprime_pairs, twist_angle

#: Cells with more atoms than this are built only on request (`max_atoms`).
MAX_ATOMS = 50_000


def commensurate_cells(
    max_atoms: int = 2000,
    angle_range: tuple[float, float] | None = None,
    *,
    material: str | None = None,
    atoms_per_cell: int | None = None,
    lattice_constant: float | None = None,
    lattice: str = "hexagonal",
) -> list[CommensurateCell]:
    """All exact cells of two equal layers, by angle.

    Parameters
    ----------
    max_atoms : int
        Most atoms of both layers together.
    angle_range : (float, float), optional
        Twist angles in degrees, ends included; by default the whole period, 0-60 (square: 0-90).
    material : str, optional
        Known name that sets the atoms and the lattice constant; "MoS2" unless `atoms_per_cell` and
        `lattice_constant` say otherwise.
    atoms_per_cell : int, optional
        Atoms of one layer's primitive cell.
    lattice_constant : float, optional
        Å.
    lattice : {"hexagonal", "square"}

    Returns
    -------
    list of CommensurateCell
        Each coprime (m, r) once, 0 and 60 degrees included, in order of angle.

    Examples
    --------
    >>> for cell in commensurate_cells(max_atoms=120, angle_range=(5, 30), material="graphene"):
    ...     print(f"({cell.m}, {cell.r}): {cell.angle:.3f} degrees, {cell.n_atoms} atoms")
    (2, 1): 13.174 degrees, 76 atoms
    (1, 1): 21.787 degrees, 28 atoms
    (2, 3): 27.796 degrees, 52 atoms
    """
    from .materials import equilibrium, monolayer

    check_lattice(lattice)
    if material is not None or atoms_per_cell is None or lattice_constant is None:
        name = material or "MoS2"
        atoms_per_cell = atoms_per_cell or len(monolayer(name))
        lattice_constant = lattice_constant or equilibrium(name).a
    low, high = (0.0, PERIOD[lattice]) if angle_range is None else angle_range
    if low > high:
        raise ValueError(f"angle_range {angle_range} runs backwards")
    m, r, n, angle = coprime_pairs(int(max_atoms) // (2 * atoms_per_cell), lattice)
    keep = np.flatnonzero((angle >= low - 1e-9) & (angle <= high + 1e-9))
    keep = keep[np.lexsort((n[keep], angle[keep]))]
    return [_cell(int(m[k]), int(r[k]), lattice, atoms_per_cell, lattice_constant) for k in keep]


def cells_near(
    angle: float,
    tolerance: float | None = None,
    max_atoms: int = MAX_ATOMS,
    *,
    atoms_per_cell: int = 3,
    lattice_constant: float = 1.0,
    lattice: str = "hexagonal",
) -> list[CommensurateCell]:
    """Exact cells within `tolerance` degrees of `angle`, smallest first.

    Parameters
    ----------
    angle : float
        Degrees, 0-60 (square lattice 0-90).
    tolerance : float
        Degrees; the ends count; by default `angle_tolerance`.  The untwisted cells (0 and 60 degrees) are given for
        just these angles only.
    max_atoms, atoms_per_cell, lattice_constant, lattice
        As in `commensurate_cells`.

    Raises
    ------
    ValueError
        When there is none: the message names the nearest one within `max_atoms`, and the smallest beyond it.
    """
    check_lattice(lattice)
    if not 0 <= angle <= PERIOD[lattice]:
        raise ValueError(f"twist angle {angle} is outside 0-{PERIOD[lattice]:g} degrees")
    tolerance = angle_tolerance(angle) if tolerance is None else tolerance
    if not tolerance >= 0:
        raise ValueError(f"the angle tolerance must not be negative, got {tolerance}")
    n_max = int(max_atoms) // (2 * atoms_per_cell)
    m, r, n, angles = coprime_pairs(n_max, lattice)
    off = abs(angles - angle)
    untwisted = (m == 0) | (r == 0)
    # untwisted cells match only exact requests, however wide the tolerance
    off[untwisted & (off > 1e-6)] = np.inf
    found = np.flatnonzero(off <= tolerance + 1e-9)
    if len(found):
        found = found[np.lexsort((off[found], n[found]))]
        return [_cell(int(m[k]), int(r[k]), lattice, atoms_per_cell, lattice_constant) for k in found]
    message = f"no exact cell of up to {max_atoms} atoms lies within {tolerance:g} degrees of {angle:g}"
    if np.isfinite(off).any():
        k = np.lexsort((n, off))[0]
        message += f"; the nearest is {_cell(int(m[k]), int(r[k]), lattice, atoms_per_cell, lattice_constant)}"
    larger = _smallest_within(angle, tolerance, lattice)
    if larger is not None:
        m, r = larger
        message += f"; within the tolerance the smallest is {_cell(m, r, lattice, atoms_per_cell, lattice_constant)}"
    raise ValueError(message)


def angle_tolerance(angle: float) -> float:
    """Degrees that an exact angle may differ from a wanted one where nothing else is said: 2 %, at least 0.02 degrees.

    Exact cells within a fixed 0.02 degrees of 5 or 22 degrees have tens of thousands of atoms, where 762 and 42 do.
    """
    return max(0.02, 0.02 * abs(angle))


def trade_offs(
    angle: float,
    max_atoms: int = MAX_ATOMS,
    *,
    atoms_per_cell: int = 3,
    lattice_constant: float = 1.0,
    lattice: str = "hexagonal",
) -> list[CommensurateCell]:
    """Exact cells around an angle, smallest first, each nearer to it than all smaller ones by a third or more.

    Parameters
    ----------
    angle : float
        Degrees, 0-60 (square lattice 0-90); cells within a tenth of it, at least half a degree, are considered.
    max_atoms, atoms_per_cell, lattice_constant, lattice
        As in `commensurate_cells`.
    """
    check_lattice(lattice)
    m, r, n, angles = coprime_pairs(int(max_atoms) // (2 * atoms_per_cell), lattice)
    off = abs(angles - angle)
    off[(m == 0) | (r == 0)] = np.inf
    near = np.flatnonzero(off <= max(0.5, 0.1 * abs(angle)))
    best, found = np.inf, []
    for k in near[np.lexsort((off[near], n[near]))]:
        if off[k] <= best / 1.5 + 1e-12 and best > 1e-9:
            best = off[k]
            found.append(_cell(int(m[k]), int(r[k]), lattice, atoms_per_cell, lattice_constant))
    return found


def format_table(cells: list[CommensurateCell]) -> str:
    """The cells as a text table with one line each."""
    lines = [f"{'m':>4} {'r':>4} {'angle (deg)':>12} {'cells/layer':>12} {'atoms':>7} {'length (Å)':>11}"]
    lines += [
        f"{c.m:4d} {c.r:4d} {c.angle:12.6f} {c.cells_per_layer:12d} {c.n_atoms:7d} {c.length:11.3f}" for c in cells
    ]
    return "\n".join(lines)


def _cell(m, r, lattice, atoms_per_cell, lattice_constant):
    n = cells_per_layer(m, r, lattice)
    return CommensurateCell(
        m, r, twist_angle(m, r, lattice), n, 2 * n * atoms_per_cell, lattice_constant * sqrt(n), lattice
    )


def _smallest_within(angle, tolerance, lattice, r_max=20_000):
    """Smallest pair (m, r) with an angle inside the tolerance, whatever its size; None beyond `r_max`."""
    slope = sqrt(3.0) if lattice == "hexagonal" else 1.0
    tangent = [slope * np.tan(np.radians(max(x, 0.0)) / 2) for x in (angle - tolerance, angle + tolerance)]
    best, best_n = None, None
    for r in range(1, r_max):
        if best_n is not None and r * r > 3 * best_n:
            break
        # t = r/(2m + r) inside [t_low, t_high]
        low = max(0, int(np.ceil((r / tangent[1] - r) / 2 - 1e-9))) if tangent[1] > 0 else None
        if low is None:
            return None
        high = (r / tangent[0] - r) / 2 + 1e-9 if tangent[0] > 0 else low + r + 1
        for m in range(low, int(min(high, low + 3 * r + 3)) + 1):
            if gcd(m, r) == 1:
                n = cells_per_layer(m, r, lattice)
                if best_n is None or n < best_n:
                    best, best_n = (m, r), n
                break
    return best
