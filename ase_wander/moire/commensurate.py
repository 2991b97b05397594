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

from .._moved import moved_names

#: Rotational period of the lattice in degrees: twists beyond it repeat (up to the stacking).
PERIOD = {"hexagonal": 60.0, "square": 90.0}


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


def coprime_pairs(n_max: int, lattice: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All coprime pairs with up to `n_max` cells per layer: arrays m, r, cells per layer, angle (degrees)."""
    # N >= m^2 in every case, and N >= r^2/3 (hexagonal), r^2/2 (square)
    m, r = np.indices((isqrt(max(n_max, 0)) + 1, isqrt(3 * max(n_max, 0)) + 1)).reshape(2, -1)
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


#: The search for cells had its place here.
__getattr__ = moved_names(__name__)
