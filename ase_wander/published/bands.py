"""The path and the zero of the published example's bands.

Its Hamiltonian is not Hermitian: `WannierHamiltonian.eigenvalues` takes the real parts of general eigenvalues then.
Solvers that read only one triangle take another matrix: for the example they differ from this by 20 meV, and from each
other by 40.
"""

from __future__ import annotations

import itertools

import numpy as np

#: Corners of the example's path in reciprocal lattice vectors, with the five decimals of its file.
EXAMPLE_CORNERS = ((0, 0, 0), (0, 0.5, 0), (0.33333, 0.33333, 0), (0, 0, 0))

#: Added to the example's eigenvalues (eV).
EXAMPLE_SHIFT = 0.3783


def published_path(corners=EXAMPLE_CORNERS, n=50):
    """k-points of the published path: `n` per segment without its end, then the end of the path; shape (n_k, 3)."""
    corners = np.asarray(corners, float)
    points = [a + k / n * (b - a) for a, b in itertools.pairwise(corners) for k in range(n)]
    return np.array(points + [corners[-1]])
