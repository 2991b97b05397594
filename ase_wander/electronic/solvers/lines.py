"""Straight lines in a list of k-points, short enough for one reduced model each."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .interpolation import LONGEST, phases

#: A line of fewer points is not worth a model: its points are solved one by one.
FEWEST_POINTS = 6

#: Phase (radians, of the longest element) that two neighbouring first snapshots may lie apart.
FIRST_SPACING = 0.8


def straight_lines(kpts):
    """Positions (first, last) of the maximal runs of points on a line, in the order given; neighbours share a corner.

    Repeated points end a run, as breaks of a path do.
    """
    steps = np.diff(kpts, axis=0)
    size = np.linalg.norm(steps, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = steps / size[:, None]
    runs, first = [], 0
    for i in range(len(steps)):
        if size[i] < 1e-9:
            runs, first = [*runs, (first, i)], i + 1
        elif i > first and direction[i] @ direction[i - 1] < 1 - 1e-9:
            runs, first = [*runs, (first, i)], i
    runs.append((first, len(kpts) - 1))
    return [(a, b) for a, b in runs if b > a]


def model_lines(h, kpts):
    """The lines that get a model, as (first, last, snapshots): positions of the points that are solved at first."""
    lines = []
    for a, b in straight_lines(kpts):
        if b - a + 1 < FEWEST_POINTS:
            continue
        phase = phases(h, (kpts[b] - kpts[a]) / 2).max()
        pieces = max(1, int(np.ceil(phase / LONGEST)))
        corners = np.unique(np.linspace(a, b, pieces + 1).round().astype(int))
        for start, stop in pairwise(corners):
            if stop - start + 1 < FEWEST_POINTS:
                continue
            intervals = max(1, int(2 * phase / pieces / FIRST_SPACING))
            first = np.unique(np.linspace(start, stop, intervals + 1).round().astype(int))
            lines.append((int(start), int(stop), first.tolist()))
    return lines


def representatives(kpts):
    """For every point the first position in the list with the same k, shape (n_k,)."""
    _, first, inverse = np.unique(np.round(kpts, 9) + 0.0, axis=0, return_index=True, return_inverse=True)
    return first[inverse.ravel()]
