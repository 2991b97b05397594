"""Integer mathematics of exactly commensurate twists of two equal lattices.

Lattice vectors are complex integers: p + q i on the square lattice, p + q w with w = exp(i pi/3) on the
hexagonal one.  The supercell vector of the pair (m, r) is, seen from the bottom and from the top layer,

    z_bottom = m + (m + r) u,   z_top = (m + r) + m u,   u = i or w,

two vectors of equal length, mirror images of each other, so that laying one on the other turns the top layer
counter-clockwise by the angle between them (Lopes dos Santos, Peres, Castro Neto, PRB 86, 155449 (2012), eqs. 2-6):

    tan(theta/2) = r / (s (2m + r)),   s = sqrt(3) hexagonal, 1 square.

Where z_bottom and z_top share the factor 1 + u (3 | r hexagonal, r even on the square lattice) it is divided out,
which makes the cell 3 (2) times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, degrees, gcd, isqrt, sqrt

import numpy as np

#: Rotational period of the lattice in degrees: twists beyond it repeat (up to the stacking).
PERIOD = {"hexagonal": 60.0, "square": 90.0}

#: Cells with more atoms than this are built only on request (`max_atoms`).
MAX_ATOMS = 50_000


@dataclass(frozen=True)
class CommensurateCell:
    """One exact cell of two equal layers.

    Attributes
    ----------
    m, r : int
        Coprime pair of Lopes dos Santos et al., PRB 86, 155449.
    angle : float
        Twist in degrees, top layer counter-clockwise.
    cells_per_layer : int
        Primitive cells of each layer.
    n_atoms : int
        Atoms of both layers.
    length : float
        Length of the supercell vectors in Å.
    lattice : str
        "hexagonal" or "square".
    """

    m: int
    r: int
    angle: float
    cells_per_layer: int
    n_atoms: int
    length: float
    lattice: str = "hexagonal"

    def __str__(self):
        return (
            f"(m, r) = ({self.m}, {self.r}): {self.angle:.4f} deg, {self.cells_per_layer} cells per layer, "
            f"{self.n_atoms} atoms, {self.length:.2f} Å"
        )


def check_pair(m: int, r: int) -> tuple[int, int]:
    """(m, r) as Python integers, or ValueError when they are no coprime, non-negative pair."""
    for name, value in (("m", m), ("r", r)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer)) or value % 1 != 0:
            raise ValueError(f"{name} must be an integer, not {value!r}")
    m, r = int(m), int(r)
    if m < 0 or r < 0 or (m, r) == (0, 0):
        raise ValueError(
            f"m and r must be non-negative and not both zero, got ({m}, {r}); "
            "for the mirror-imaged twist give a negative angle"
        )
    if gcd(m, r) != 1:
        g = gcd(m, r)
        raise ValueError(f"(m, r) = ({m}, {r}) has the common divisor {g}: its smallest cell is ({m // g}, {r // g})")
    return m, r


def twist_angle(m: int, r: int, lattice: str = "hexagonal") -> float:
    """Twist in degrees of the pair (m, r)."""
    slope = sqrt(3.0) if lattice == "hexagonal" else 1.0
    # tan(theta/2) = r / (s (2m + r)): equivalent to cos(theta) = (3m^2+3mr+r^2/2)/(3m^2+3mr+r^2) of the paper's
    # eq. 4, without its cancellation at small angles.
    return degrees(2 * atan(r / (slope * (2 * m + r))))


def cells_per_layer(m: int, r: int, lattice: str = "hexagonal") -> int:
    """Primitive cells of each layer in the exact cell (m, r), in closed form."""
    if lattice == "hexagonal":
        # N = 3m^2 + 3mr + r^2 for gcd(r, 3) = 1;  m^2 + mr + r^2/3 for gcd(r, 3) = 3
        n = 3 * m * m + 3 * m * r + r * r
        return n if r % 3 else n // 3
    # N = m^2 + (m + r)^2, halved for even r (m is odd then)
    n = m * m + (m + r) ** 2
    return n if r % 2 else n // 2


def supercell_matrices(m: int, r: int, lattice: str = "hexagonal") -> tuple[np.ndarray, np.ndarray]:
    """Supercell vectors in the primitive vectors of the bottom and of the top layer.

    The primitive vectors enclose 120 (hexagonal) or 90 degrees (square); so do the supercell vectors.

    Returns
    -------
    bottom, top : ndarray of int, shape (2, 2)
        Rows are supercell vectors; both determinants equal `cells_per_layer(m, r)`.
    """
    m, r = check_pair(m, r)
    if lattice == "hexagonal":
        if r % 3:
            pairs = (m, m + r), (m + r, m)
        else:
            s = r // 3  # both divided by 1 + w, with 3 = (1 + w)(2 - w)
            pairs = (m + s, s), (m + 2 * s, -s)
        # z = p + q w, w = 1 + omega  ->  (p + q) + q omega;  second vector = omega z
        vectors = [(p + q, q) for p, q in pairs]
        matrices = [np.array([[x, y], [-y, x - y]]) for x, y in vectors]
    elif lattice == "square":
        if r % 2:
            pairs = (m, m + r), (m + r, m)
        else:
            s = r // 2  # (m + (m + r) i)/(1 + i) = (m + s) + s i, and its mirror image
            pairs = (m + s, s), (m + s, -s)
        matrices = [np.array([[x, y], [-y, x]]) for x, y in pairs]
    else:
        raise ValueError(f"no exact twists are known for a {lattice} lattice: use coincidence_cells")
    n = cells_per_layer(m, r, lattice)
    for matrix in matrices:
        det = int(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
        assert det == n, f"determinant {det} of {matrix.tolist()} is not {n}"
    return matrices[0], matrices[1]


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
    m, r, n, angle = _pairs(int(max_atoms) // (2 * atoms_per_cell), lattice)
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
    m, r, n, angles = _pairs(n_max, lattice)
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
        Degrees, 0-60 (square lattice 0-90); cells within a tenth of it, at least half a degree, are looked at.
    max_atoms, atoms_per_cell, lattice_constant, lattice
        As in `commensurate_cells`.
    """
    check_lattice(lattice)
    m, r, n, angles = _pairs(int(max_atoms) // (2 * atoms_per_cell), lattice)
    off = abs(angles - angle)
    off[(m == 0) | (r == 0)] = np.inf
    near = np.flatnonzero(off <= max(0.5, 0.1 * abs(angle)))
    best, found = np.inf, []
    for k in near[np.lexsort((off[near], n[near]))]:
        if off[k] <= best / 1.5 + 1e-12 and best > 1e-9:
            best = off[k]
            found.append(_cell(int(m[k]), int(r[k]), lattice, atoms_per_cell, lattice_constant))
    return found


def lattice_points(matrix: np.ndarray) -> np.ndarray:
    """Lattice points inside the supercell `matrix`, exact.

    Parameters
    ----------
    matrix : ndarray of int, shape (2, 2)
        Rows are supercell vectors in primitive vectors; any sign of the determinant.

    Returns
    -------
    ndarray of int, shape (n_cells, 2)
        Points in primitive vectors whose fractional supercell coordinates lie in [0, 1), ordered by them.
    """
    (a, b), (c, d) = matrix = np.asarray(matrix, dtype=np.int64)
    det = int(a * d - b * c)
    n = abs(det)
    if n == 0:
        raise ValueError(f"supercell matrix {matrix.tolist()} is singular")
    # Hermite normal form [[h, x], [0, n/h]] with h = gcd(a, c): (i, j), 0 <= i < h, 0 <= j < n/h, are
    # representatives of all cosets; x does not matter.
    h = gcd(int(a), int(c))
    points = np.stack(np.meshgrid(np.arange(h), np.arange(n // h), indexing="ij"), axis=-1).reshape(-1, 2)
    # fractional coordinates times n, exactly: points @ adj(matrix) * sign(det), folded into [0, n)
    adjugate = np.array([[d, -b], [-c, a]]) * (1 if det > 0 else -1)
    numerators = (points @ adjugate) % n
    numerators = numerators[np.lexsort((numerators[:, 0], numerators[:, 1]))]
    folded = numerators @ matrix
    assert not (folded % n).any() and len(folded) == n
    return folded // n


def check_lattice(lattice: str) -> None:
    """ValueError unless `lattice` is "hexagonal" or "square"."""
    if lattice not in PERIOD:
        raise ValueError(
            f"exact cells exist for {' and '.join(PERIOD)} lattices, not for {lattice!r}: use coincidence_cells"
        )


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


def _pairs(n_max, lattice):
    """All coprime pairs with at most n_max cells: arrays m, r, cells per layer, angle (degrees)."""
    # N >= m^2 in every case, and N >= r^2/3 (hexagonal), r^2/2 (square)
    m, r = np.meshgrid(np.arange(isqrt(max(n_max, 0)) + 1), np.arange(isqrt(3 * max(n_max, 0)) + 1), indexing="ij")
    m, r = m.ravel(), r.ravel()
    if lattice == "hexagonal":
        n = 3 * m * m + 3 * m * r + r * r
        n = np.where(r % 3 == 0, n // 3, n)
        slope = np.sqrt(3.0)
    else:
        n = m * m + (m + r) ** 2
        n = np.where(r % 2 == 0, n // 2, n)
        slope = 1.0
    keep = (n <= n_max) & (np.gcd(m, r) == 1)
    m, r, n = m[keep], r[keep], n[keep]
    return m, r, n, np.degrees(2 * np.arctan(r / (slope * (2 * m + r))))


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
