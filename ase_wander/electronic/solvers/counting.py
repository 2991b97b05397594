"""Absolute band indices and error bounds of the Ritz pairs between two k-points where all bands are counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reduced import Ritz, lehmann

#: Pairs of a larger residual (eV) are none: neither bands nor part of a bound.
SPURIOUS = 0.1

#: Largest distance of the number of states that cross a cut from an integer.
CLEAR = 0.25

#: Smallest share of every state of the window that the next k-point must hold again.
KEPT = 0.5


@dataclass
class Counted:
    """Ritz pairs of one k-point with the absolute index of the lowest."""

    ritz: Ritz
    first: int

    def window(self, lo, hi):
        """Positions of bands lo to hi - 1 among the pairs, None where some are missing."""
        if self.first > lo or self.first + len(self.ritz.energies) < hi:
            return None
        return slice(lo - self.first, hi - self.first)


def genuine(ritz):
    """The pairs that stand for bands."""
    return ritz.take(np.flatnonzero(ritz.residuals < SPURIOUS))


def count_on(before, after, lo, hi):
    """Absolute indices of the `Ritz` pairs of the next k-point, from the overlaps with those of this one.

    States that lie below a cut at one k-point and above it at the next have crossed it: their number is a sum of
    overlaps |<x|x'>|^2, an integer up to what the step rotates. Every state of the window must be found again.

    Parameters
    ----------
    before : Counted
    after : Ritz
    lo, hi : int
        Bands of the window.

    Returns
    -------
    Counted, or None when the step is too large to tell
    """
    window = before.window(lo, hi)
    if window is None or not len(after.energies):
        return None
    overlap = before.ritz.coefficients.conj().T @ after.coefficients
    # Smallest share of any mixture of the window's states, so that no direction of a degenerate group is lost.
    if np.linalg.svd(overlap[window], compute_uv=False)[-1] ** 2 < KEPT:
        return None
    here = _cut(before.ritz.energies, window)
    there = _nearest_cut(after.energies, _middle(before.ritz.energies, here))
    share = np.abs(overlap) ** 2
    flow = share[:here, there:].sum() - share[here:, :there].sum()
    if abs(flow - round(flow)) > CLEAR:
        return None
    counted = Counted(after, before.first + here - round(flow) - there)
    window = counted.window(lo, hi)
    if window is None or np.linalg.svd(overlap[:, window], compute_uv=False)[-1] ** 2 < KEPT:
        return None
    return counted


def _cut(energies, window):
    """Position of the widest opening in or near the middle half of the window: so many pairs lie below."""
    quarter = (window.stop - window.start) // 4
    # At most its outer edges: pairs beyond may be lost from one k-point to the next, those inside are all found again.
    first = max(window.start + quarter - 3, window.start - 1, 0)
    last = min(window.stop - quarter + 3, window.stop + 1, len(energies))
    if last - first < 2:
        return first
    return first + 1 + int(np.argmax(np.diff(energies[first:last])))


def _middle(energies, position):
    """Energy of an opening (eV)."""
    if not 0 < position < len(energies):
        return energies[min(position, len(energies) - 1)]
    return (energies[position - 1] + energies[position]) / 2


def _nearest_cut(energies, energy, reach=3):
    """Position of the widest opening among the few next to an energy."""
    at = int(np.searchsorted(energies, energy))
    first, last = max(at - reach, 0), min(at + reach, len(energies))
    if last - first < 2:
        return at
    return first + 1 + int(np.argmax(np.diff(energies[first:last])))


def error_bounds(counted, lo, hi, n_orbitals):
    """Bound (eV) on the error of each Ritz value of bands lo to hi - 1, shape (hi - lo,); inf where there is none.

    Lehmann's bounds from an energy above the window and from one below, in openings of the bands: each says that so
    many eigenvalues lie this side of it, and the count says which they are. At the bottom of the spectrum of
    `n_orbitals` bands a Ritz value is never below its band, at the top never above.
    """
    window = counted.window(lo, hi)
    if window is None:
        return np.full(hi - lo, np.inf)
    energies = counted.ritz.energies[window]
    upper, lower = np.full((2, hi - lo), np.inf)
    if hi == n_orbitals:
        lower[:] = 0
    if lo == 0:
        upper[:] = 0
    n_above = _opening(counted.ritz, window)
    if n_above is not None:
        below, _ = lehmann(counted.ritz, _middle(counted.ritz.energies, window.stop + n_above))
        found = below[n_above : n_above + hi - lo][::-1]
        lower[hi - lo - len(found) :] = energies[hi - lo - len(found) :] - found
    mirrored = Ritz(-counted.ritz.energies[::-1], counted.ritz.coefficients, counted.ritz.gram[::-1, ::-1])
    n = len(counted.ritz.energies)
    n_below = _opening(mirrored, slice(n - window.stop, n - window.start))
    if n_below is not None:
        _, above = lehmann(counted.ritz, _middle(counted.ritz.energies, window.start - n_below))
        found = above[n_below : n_below + hi - lo]
        upper[: len(found)] = found - energies[: len(found)]
    return np.maximum(np.maximum(upper, lower), 0)


def _opening(ritz, window):
    """How many pairs above the window the best place for Lehmann's bound leaves below itself; None without any.

    A pair of residual r is bounded by r^2 / (rho - E) from rho; a bad one just below rho comes out so low that it
    counts among the window's, so every place is tried with these estimates.
    """
    e, r2 = ritz.energies, ritz.residuals**2
    best, chosen = np.inf, None
    for n_above in range(len(e) - window.stop):
        rho = _middle(e, window.stop + n_above)
        d = rho - e[: window.stop + n_above]
        if d[-1] < 1e-6:
            continue
        estimate = np.sort(e[: window.stop + n_above] - r2[: window.stop + n_above] / d)[window]
        worst = float((e[window] - estimate).max())
        if worst < best:
            best, chosen = worst, n_above
    return chosen
