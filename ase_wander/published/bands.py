"""Bands of a Hamiltonian that is not Hermitian, as the published example computes them."""

from __future__ import annotations

import itertools

import numpy as np

from ..electronic.solvers.nonhermitian import real_parts

#: Corners of the example's path in reciprocal lattice vectors, with the five decimals of its file.
EXAMPLE_CORNERS = ((0, 0, 0), (0, 0.5, 0), (0.33333, 0.33333, 0), (0, 0, 0))

#: Added to the example's eigenvalues (eV).
EXAMPLE_SHIFT = 0.3783


def published_path(corners=EXAMPLE_CORNERS, n=50):
    """k-points of the published path: `n` per segment without its end, then the end of the path; shape (n_k, 3)."""
    corners = np.asarray(corners, float)
    points = [a + k / n * (b - a) for a, b in itertools.pairwise(corners) for k in range(n)]
    return np.array(points + [corners[-1]])


def general_eigenvalues(h, kpts, progress=False):
    """Real parts of the eigenvalues of H(k), taken as a general matrix, ascending, shape (n_k, n_orbitals), eV.

    `h.eigenvalues` does the same where H is not Hermitian. For a Hermitian H these are its bands. Where it is not,
    solvers that read only one triangle take another matrix: for the example they differ from this by 20 meV, and from
    each other by 40.

    Parameters
    ----------
    h : WannierHamiltonian
    kpts : array_like, shape (n_k, 3)
        In reciprocal lattice vectors.
    progress : bool
        Show a progress bar.
    """
    kpts = np.asarray(kpts, float).reshape(-1, 3)
    if progress:
        from rich.progress import track

        kpts = track(kpts, description="bands")
    return np.array([real_parts(h.at_k(k)) for k in kpts])
