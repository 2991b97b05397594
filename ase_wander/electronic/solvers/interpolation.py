"""H(k) on a straight line of k-points as a polynomial of its position, good to rounding.

In the atomic gauge every element is H_ij(R) e^{i k.d} with d = R + r_j - r_i, no longer than the cutoff. On the line
k(t) = k_c + t q, -1 <= t <= 1, that is e^{i k_c.d} e^{i b t} with b = q.d: the smaller the cell's Brillouin zone, the
smaller b. Interpolation in N Chebyshev nodes leaves at most 4 sum_{n >= N} |J_n(b)| of e^{ibt}, and |J_n(b)| <=
(b/2)^n / n! (L. N. Trefethen, Approximation Theory and Approximation Practice, chapter 4; DLMF 10.14.4).
"""

from __future__ import annotations

from math import factorial

import numpy as np

#: Largest error (eV) of the interpolated H(k), as an operator.
TOLERANCE = 1e-9

#: Largest phase b of a line; a longer one is cut into pieces.
LONGEST = 2.5


def chebyshev_nodes(n):
    """Zeros of T_n, shape (n,)."""
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)


def lagrange(nodes, t):
    """Weights l_i(t) of the values at Chebyshev `nodes`: f(t) = sum_i l_i(t) f(t_i), shape (n,)."""
    away = t - nodes
    at = np.flatnonzero(np.abs(away) < 1e-14)
    if len(at):
        return (np.arange(len(nodes)) == at[0]).astype(float)
    # barycentric weights of Chebyshev zeros: (-1)^i sin((2i + 1) pi / 2n)
    n = len(nodes)
    w = (-1.0) ** np.arange(n) * np.sin(np.pi * (np.arange(n) + 0.5) / n) / away
    return w / w.sum()


def phases(h, q):
    """|b| of every stored element of every H(R), in the order of ``h.bloch_sum.elements``."""
    bloch = h.bloch_sum
    along = 2 * np.pi * (h.scaled_centres @ q)
    between = along[bloch.indices] - along[bloch.rows]
    b = 2 * np.pi * (bloch.shifts @ q)[bloch.elements.indices]
    return np.abs(b + np.repeat(between, np.diff(bloch.elements.indptr)))


def phase_norms(h, q, n_bins=12):
    """How much of H turns how fast along q: upper ends of bins of |b| (n_bins,), and of each the norm in eV.

    The norm is the largest row sum of |H_ij(R)| in the bin, which bounds the operator's.
    """
    b, bloch = phases(h, q), h.bloch_sum
    top = max(b.max(), 1e-12)
    rows = np.repeat(bloch.rows, np.diff(bloch.elements.indptr))
    cell = rows * n_bins + np.minimum((b / top * n_bins).astype(int), n_bins - 1)
    sums = np.bincount(cell, np.abs(bloch.elements.data), minlength=h.n_orbitals * n_bins).reshape(-1, n_bins)
    return top * (np.arange(n_bins) + 1) / n_bins, sums.max(axis=0)


def node_count(b, norms, tolerance=TOLERANCE):
    """Fewest Chebyshev nodes that keep the error of H(k) below `tolerance` (eV), and the bound on that error."""
    for n in range(2, 200):
        # the sum over n' >= n is at most its first term / (1 - b / 2n)
        tail = (b / 2) ** n / factorial(n) / np.maximum(1 - b / (2 * n), 1e-3)
        error = float(4 * (norms * tail).sum())
        if error < tolerance:
            return n, error
    raise ValueError(f"a line of phase {b[-1]:.1f} is too long to interpolate")
