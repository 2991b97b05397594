"""Bands of one H(k): full diagonalisation of small matrices, shift-invert Lanczos of large ones.

Every band carries its absolute index: the inertia of H - sigma says how many lie below the shift.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh

from . import pardiso
from .chebyshev import estimate_filling_energy
from .factorisation import SingularShift, factorise
from .lanczos import both_sides, invert_lanczos, nearest

#: Up to so many orbitals, and so many more for every band, LAPACK's tridiagonalisation is faster than a factorisation
#: with a Krylov space, which grows with the number of bands (docs/electronic.md).
DENSE_LIMIT, DENSE_PER_BAND = 800, 25

#: A sparse factor with more than this share of all elements is no longer sparse: for counted windows the dense
#: LDL^H is then the faster one (docs/electronic.md).
FULL_FACTOR = 0.5

#: Bands by which a shift may miss its window.
SLACK = 32

#: Longest step (eV) to another shift.
FARTHEST = 2.0

METHODS = ("auto", "dense", "superlu", "pardiso", "ldl")


class NotCounted(ValueError):
    """A factorisation that cannot tell how many bands lie below its shift."""


@dataclass
class Eigenpairs:
    """Bands of one k-point.

    Attributes
    ----------
    energies : ndarray (n,), eV, ascending
    first : int or None
        Absolute index of ``energies[0]``; None when the factorisation could not count.
    vectors : ndarray (n_orbitals, n) or None
        Orthonormal columns.
    residual : float
        Largest |H x - E x| in eV; NaN without vectors.
    info : dict
        Method, shift and stored elements of the factor.
    """

    energies: np.ndarray
    first: int | None
    vectors: np.ndarray | None = None
    residual: float = np.nan
    info: dict = field(default_factory=dict)


def choose_method(n_orbitals, n_bands, method="auto", counted=False, fill=None):
    """Solver for `n_bands` of `n_orbitals`.

    Parameters
    ----------
    method : {"auto", "dense", "superlu", "pardiso", "ldl"}
        Anything but "auto" is only checked.
    counted : bool
        Whether absolute band indices are needed.
    fill : callable, optional
        Gives the share (0 to 1) of the full triangle that a sparse factor would store.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    if method == "pardiso" and not pardiso.available():
        raise ValueError("method='pardiso' needs MKL: pip install mkl")
    if method != "auto":
        return method
    # A Krylov space needs some 3 n_bands + 60 vectors: no gain over LAPACK when that is a large part of all.
    if n_orbitals <= DENSE_LIMIT + DENSE_PER_BAND * n_bands or 3 * n_bands + 60 > n_orbitals // 4:
        return "dense"
    sparse = "pardiso" if pardiso.available() else "superlu"
    full = fill is not None and fill() > FULL_FACTOR
    return "ldl" if full and (counted or sparse == "superlu") else sparse


def dense_bands(matrix, lo, hi, vectors=True):
    """Bands `lo` to `hi` - 1 by LAPACK (all of them: divide and conquer, a part: MRRR)."""
    full = matrix.toarray()
    n = len(full)
    subset = None if (lo, hi) == (0, n) else (lo, hi - 1)
    out = eigh(
        full,
        eigvals_only=not vectors,
        subset_by_index=subset,
        overwrite_a=True,
        check_finite=False,
        driver=("evd" if vectors else "ev") if subset is None else "evr",
    )
    energies, states = out if vectors else (out, None)
    return Eigenpairs(energies, lo, states, info={"method": "dense"})


def nearest_bands(matrix, sigma, n_bands, method="auto", vectors=True, threads=1):
    """The `n_bands` eigenpairs nearest `sigma` (eV), ascending, none missed in a cluster.

    Parameters
    ----------
    matrix : csr_matrix (n, n), Hermitian or real symmetric, eV

    Raises
    ------
    ValueError
        When no shift near `sigma` can be factored.
    """
    method = choose_method(matrix.shape[0], n_bands, method)
    if method == "dense":
        pairs = dense_bands(matrix, 0, matrix.shape[0], vectors)
        chosen = np.sort(np.argsort(np.abs(pairs.energies - sigma), kind="stable")[:n_bands])
        states = pairs.vectors[:, chosen] if vectors else None
        return Eigenpairs(pairs.energies[chosen], int(chosen[0]), states, info=pairs.info)

    def solve(backend):
        factor, shift = factorise(matrix, sigma, backend, threads, count=False)
        return _solve(matrix, factor, shift, nearest(n_bands), vectors)

    return _with_fallback(solve, method)


def window_bands(matrix, lo, hi, sigma=None, method="auto", vectors=True, threads=1, verify=False):
    """Bands with absolute indices `lo` to `hi` - 1.

    The shift is moved by inertia counts until it lies inside the window, then both sides of it are solved.

    Parameters
    ----------
    sigma : float, optional
        A guess of an energy inside the window, eV.
    verify : bool
        Factor twice more and compare the bands found with the inertias near both ends of the window (Sylvester);
        otherwise only a fresh Krylov space looks for missed ones.

    Raises
    ------
    ValueError
        When bands were missed.
    """
    n = matrix.shape[0]
    method = choose_method(n, hi - lo, method)
    if method == "dense":
        return dense_bands(matrix, lo, hi, vectors)

    def solve(backend):
        factor, shift = locate(matrix, lo, hi, sigma, backend, threads)
        below = factor.n_below
        # Bands beyond the shift's far side come along when the shift lies outside the window.
        return _solve(matrix, factor, shift, both_sides(max(below - lo, 0), max(hi - below, 0)), vectors)

    pairs = _with_fallback(solve, method)
    keep = slice(lo - pairs.first, hi - pairs.first)
    pairs.energies, pairs.first = pairs.energies[keep], lo
    pairs.vectors = pairs.vectors[:, keep] if vectors else None
    if verify:
        verify_window(matrix, pairs, pairs.info["method"], threads)
    return pairs


def _with_fallback(solve, method):
    """solve(method); where pivots break down or cannot be counted, the dense LDL^H, which is stable."""
    try:
        return solve(method)
    except (SingularShift, NotCounted):
        if method == "ldl":
            raise
        return solve("ldl")


def locate(matrix, lo, hi, sigma, method, threads=1, attempts=40):
    """A factorisation whose shift has between `lo` and `hi` bands below it (or nearly so).

    It starts from `sigma` or a stochastic estimate. The inertia says by how many bands the shift is wrong, the bands
    nearest to it how far that is in energy; between shifts on both sides regula falsi on the count, which is monotonic.
    """
    if sigma is None:
        sigma = estimate_filling_energy(matrix, (lo + hi) / 2)
    # Some bands more from this factor cost less than another one.
    middle, slack = (lo + hi) / 2, max(hi - lo, SLACK)
    left, right = None, None
    for _ in range(attempts):
        factor, shift = factorise(matrix, sigma, method, threads)
        count = factor.n_below
        if count is None:
            raise NotCounted(f"{method} cannot count the bands below {shift:g} eV: its pivots left the diagonal")
        if lo - slack <= count <= hi + slack:
            return factor, shift
        density = None if (left and count > middle) or (right and count < middle) else _density(matrix, factor, shift)
        del factor
        if count < middle:
            left = (shift, count)
        else:
            right = (shift, count)
        if left and right:
            t = (middle - left[1]) / (right[1] - left[1])
            sigma = left[0] + np.clip(t, 0.1, 0.9) * (right[0] - left[0])
        else:
            sigma = shift + np.clip((middle - count) / density, -FARTHEST, FARTHEST)
    raise ValueError(f"no shift found inside bands {lo} to {hi - 1}")


def _density(matrix, factor, shift, n_bands=16):
    """Bands per eV near the shift, from those nearest to it."""
    n_bands = min(n_bands, matrix.shape[0])
    theta, _ = invert_lanczos(factor.solve, matrix.shape[0], matrix.dtype, nearest(n_bands), factor.block)
    return n_bands * np.abs(theta).min() / 2


def verify_window(matrix, pairs, method, threads=1, opening=1e-5):
    """Compare the bands found with inertia counts in the lowest and highest opening between them.

    Every band between these two energies is accounted for; those beyond are degenerate (within `opening`, eV)
    with the outermost one, so that a missed copy would not change the energies.

    Raises
    ------
    ValueError
        When the numbers differ.
    """
    energies = pairs.energies
    gaps = np.flatnonzero(np.diff(energies) > opening)
    for gap in sorted({*gaps[:1].tolist(), *gaps[-1:].tolist()}):
        energy = (energies[gap] + energies[gap + 1]) / 2
        factor, shift = factorise(matrix, energy, method, threads)
        if factor.n_below is None or not energies[gap] < shift < energies[gap + 1]:
            raise NotCounted(f"{method} cannot count the bands below {energy:.6f} eV; use method='ldl'")
        if factor.n_below != pairs.first + gap + 1:
            raise ValueError(
                f"bands were missed near {energy:.6f} eV: inertia counts {factor.n_below} below, "
                f"the bands found say {pairs.first + gap + 1}"
            )
        pairs.info.setdefault("verified", []).append((float(energy), factor.n_below))


def _solve(matrix, factor, shift, wanted, vectors):
    _, states = invert_lanczos(factor.solve, matrix.shape[0], matrix.dtype, wanted, factor.block)
    # Rayleigh-Ritz with H itself: energies to second order in the vectors' error, orthonormal clusters.
    states, _ = np.linalg.qr(states)
    applied = matrix @ states
    small = states.conj().T @ applied
    energies, rotation = np.linalg.eigh((small + small.conj().T) / 2)
    states, applied = states @ rotation, applied @ rotation
    residual = float(np.linalg.norm(applied - states * energies, axis=0).max())
    if residual > 1e-5:
        raise SingularShift(f"shift {shift:g} eV: eigenpairs wrong by {residual:.1e} eV")
    below = factor.n_below
    first = None if below is None else below - int((energies < shift).sum())
    return Eigenpairs(
        energies,
        first,
        states if vectors else None,
        residual,
        {"method": factor.name, "shift": shift, "nnz": factor.nnz, "n_below": below},
    )
