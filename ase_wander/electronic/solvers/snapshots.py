"""Bands along a path from a few k-points (snapshots) that are solved exactly and counted.

The states of the snapshots span a small space in which H(k) is projected (`reduced`). Every band of every k-point
carries a bound on its error (`counting.error_bounds`); where it exceeds the tolerance, or where bands could not be
followed, one more snapshot is taken. In the worst case every point becomes one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .counting import Counted, count_on, error_bounds, genuine
from .lines import model_lines
from .onepoint import good_shift
from .reduced import ReducedLine, Ritz, harmonic_ritz

#: Largest error (eV) that a band may have.
TOLERANCE = 5e-5

#: Fewest orbitals for which a model of 40 bands is cheaper than LAPACK at every k.
SMALLEST = 800

#: Fewest k-points on lines.
FEWEST_KPTS = 16

#: Largest difference (eV) between a snapshot and the bands that are followed there: the wrong indices differ by more.
ARRIVAL = 1e-4

#: How often a step between two k-points is halved to follow the bands.
HALVINGS = 6


def margin(n_bands):
    """Bands that a snapshot has beyond the window on either side: what the bounds and the count rest on."""
    return max(10, n_bands // 2)


def worthwhile(h, kpts, n_bands):
    """Whether snapshots are the faster way to `n_bands` around the gap at these k-points."""
    if n_bands is None or h.n_orbitals < SMALLEST or len(kpts) < FEWEST_KPTS or h.atoms is None or not h.is_hermitian:
        return False
    if 4 * (n_bands + 2 * margin(n_bands)) > h.n_orbitals:
        return False
    lines = model_lines(h, np.asarray(kpts, float))
    inside = sum(last - first - 1 for first, last, _ in lines)
    return inside > 3 * sum(len(start) for *_, start in lines)


def path_method(h, kpts, n_bands, sigma=None, method="auto"):
    """ "snapshots" in place of "auto" where they are the faster way; any other method as it is."""
    return "snapshots" if method == "auto" and sigma is None and worthwhile(h, kpts, n_bands) else method


class PathModel:
    """Bands lo to hi - 1 along a path.

    Parameters
    ----------
    h : WannierHamiltonian
    kpts : ndarray (n_k, 3)
    lo, hi : int
    solve : callable
        List of positions -> {position: `Eigenpairs`} with states in the lattice gauge and more bands than the window.
    tolerance : float
        eV.
    vectors : bool
        Also the states.
    advance : callable
        Called with the number of points that are finished.

    Attributes
    ----------
    energies, bounds : ndarray (n_k, hi - lo), eV
    states : ndarray (n_k, n_orbitals, hi - lo), lattice gauge, or None
    snapshots : set of positions
    """

    def __init__(self, h, kpts, lo, hi, solve, tolerance=TOLERANCE, vectors=False, advance=lambda n: None):
        self.h, self.kpts, self.lo, self.hi = h, kpts, lo, hi
        self.tolerance, self._solve, self._advance = tolerance, solve, advance
        self.energies = np.full((len(kpts), hi - lo), np.nan)
        self.bounds = np.full((len(kpts), hi - lo), np.inf)
        self.states = np.zeros((len(kpts), h.n_orbitals, hi - lo), complex) if vectors else None
        self.snapshots = set()

    def run(self):
        """Solve all points."""
        lines = model_lines(self.h, self.kpts)
        inside = {k for first, last, _ in lines for k in range(first, last + 1)}
        single = [k for k in range(len(self.kpts)) if k not in inside]
        first = sorted({*single, *(k for *_, start in lines for k in start)})
        exact = self._take(first)
        for start, stop, chosen in lines:
            self._line(start, stop, {k: exact[k] for k in chosen})

    def _take(self, positions):
        """Exact `Eigenpairs` at some positions; the bands wanted are filed at once."""
        found = self._solve(positions)
        for k in positions:
            pairs = found[k]
            window = slice(self.lo - pairs.first, self.hi - pairs.first)
            self.energies[k], self.bounds[k] = pairs.energies[window], 0.0
            if self.states is not None:
                self.states[k] = pairs.vectors[:, window]
            self.snapshots.add(k)
        self._advance(len(positions))
        return found

    def _line(self, start, stop, exact):
        """Points of one line; `exact` holds its first snapshots."""
        some = next(iter(exact.values()))
        line = ReducedLine(self.h, self.kpts[start], self.kpts[stop], good_shift(some.energies))
        line.extend(np.concatenate([self._atomic(k, pairs.vectors) for k, pairs in exact.items()], axis=1))
        while True:
            worst = self._follow(line, exact)
            if worst is None:
                return
            new = self._take([worst])
            exact[worst] = new[worst]
            line.extend(self._atomic(worst, new[worst].vectors))

    def _atomic(self, k, states):
        return states * np.exp(-2j * np.pi * (self.h.scaled_centres @ self.kpts[k]))[:, None]

    def _follow(self, line, exact):
        """Fill what the model gives; position where it most needs another snapshot, None when all is done."""
        order, needs = sorted(exact), []
        for a, b in pairwise(order):
            inside = slice(a + 1, b)
            if (self.bounds[inside] <= self.tolerance).all():
                continue
            if self._interval(line, a, b, self._counted(line, a, exact[a]), self._counted(line, b, exact[b])):
                self._advance(b - a - 1)
                continue
            self.bounds[inside] = np.inf
            needs.append((b - a, (a + b) // 2))
        return max(needs)[1] if needs else None

    def _counted(self, line, k, pairs):
        """A snapshot in the line's basis."""
        coefficients = line.basis.conj().T @ self._atomic(k, pairs.vectors)
        n = len(pairs.energies)
        return Counted(Ritz(pairs.energies, coefficients, np.zeros((n, n), complex)), pairs.first)

    def _interval(self, line, a, b, left, right):
        """Fill the points between two snapshots; False as soon as one does not meet the tolerance.

        The bands must arrive with the indices that were counted there, and none may have been out of sight.
        """
        here, t = left, line.position(self.kpts[a])
        for k in range(a + 1, b):
            there = line.position(self.kpts[k])
            here, t = self._step(line, here, t, there, left), there
            if here is None:
                return False
            window = here.window(self.lo, self.hi)
            self.energies[k] = here.ritz.energies[window]
            self.bounds[k] = error_bounds(here, self.lo, self.hi, self.h.n_orbitals) + line.error
            if not (self.bounds[k] <= self.tolerance).all():
                return False
            if self.states is not None:
                states = line.basis @ here.ritz.coefficients[:, window]
                self.states[k] = self._atomic(k, states.conj()).conj()
        end = self._step(line, here, t, line.position(self.kpts[b]), left)
        if end is None:
            return False
        arrived = end.ritz.energies[end.window(self.lo, self.hi)]
        return np.abs(arrived - self.energies[b]).max() < ARRIVAL and self._all_seen(line, a, b, left, right)

    def _step(self, line, here, t, there, left, depth=0):
        """`Counted` at position `there` from the one at t, by halved steps where the bands turn fast."""
        sigma = good_shift(here.ritz.energies)
        below = here.first + int(np.searchsorted(here.ritz.energies, sigma))
        b, a = line.pencil(there, sigma)
        n_below, n_above = below - left.first, left.first + len(left.ritz.energies) - below
        try:
            after = genuine(harmonic_ritz(b, a, sigma, max(n_below, 1), max(n_above, 1)))
        except np.linalg.LinAlgError:  # sigma lies on a band
            after = None
        counted = None if after is None else count_on(here, after, self.lo, self.hi)
        if counted is not None or depth == HALVINGS:
            return counted
        middle = (t + there) / 2
        half = self._step(line, here, t, middle, left, depth + 1)
        return None if half is None else self._step(line, half, middle, there, left, depth + 1)

    def _all_seen(self, line, a, b, left, right):
        """Whether no band can have entered and left the window between two snapshots that both do not hold it.

        It lies beyond what either snapshot has, and must be fast enough to come from there and to go back: faster than
        any mixture of the snapshots' states on that side of the window's middle.
        """
        t = np.array([line.position(self.kpts[k]) for k in range(a, b + 1)])
        unseen = False
        for sign, whole in ((1, left.first + len(left.ritz.energies) == self.h.n_orbitals), (-1, left.first == 0)):
            edge = (sign * self.energies[a : b + 1]).max(axis=1)
            speed, reach = 0.0, []
            for end, side in ((t[0], left), (t[-1], right)):
                n = len(side.ritz.energies)
                half = slice(n // 2, n) if sign > 0 else slice(0, n // 2)
                speed = max(speed, line.speed(end, side.ritz.coefficients[:, half]))
                reach.append((sign * side.ritz.energies).max() - edge)
            come, go = speed * (t - t[0]) >= reach[0], speed * (t[-1] - t) >= reach[1]
            unseen |= not whole and bool((come & go).any())
        return not unseen
