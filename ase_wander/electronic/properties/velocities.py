"""Velocities and effective masses from the exact derivative of H(k)."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ...structure import plane_axes
from ..solvers.kpoints import solve_kpoints

#: hbar in eV fs; hbar^2 / m_e in eV Å^2 (CODATA 2018).
HBAR = 0.6582119569
HBAR2_PER_MASS = 7.619964231

#: States closer than this (eV) count as degenerate.
DEGENERATE = 1e-6


def velocity_operators(h, k):
    """hbar v = dH/dk along x, y, z in eV Å, three CSR matrices, for states of the lattice gauge.

    hbar v_ij = i sum_R (R + r_j - r_i) e^{2 pi i k.R} H_ij(R), with the orbital centres r: the position operator is
    taken as diagonal, as in any tight-binding model (T. G. Pedersen et al., PRB 63, 201101).
    """
    cell = h.require_atoms("velocities").cell.complete().array
    bloch = h.bloch_sum
    # d/dk_a counts 2 pi i R_a per reciprocal vector; i R = that times cell / 2 pi
    gradient = bloch.derivative(k) @ cell / (2 * np.pi)
    gradient += 1j * bloch.data(k)[:, None] * (h.centres[bloch.indices] - h.centres[bloch.rows])
    return [bloch.matrix(np.ascontiguousarray(gradient[:, axis])) for axis in range(3)]


def velocities(h, kpts, n_bands=None, sigma=None, **options):
    """Band energies and velocities dE/dk / hbar at k-points or along a path (see `WannierHamiltonian.kpoints`).

    Returns
    -------
    energies : ndarray (n_k, n_bands), eV
    velocity : ndarray (n_k, n_bands, 3), Å/fs (1 Å/fs = 10^5 m/s)
        Of degenerate bands, along each axis, the slopes of the bands that leave the crossing, ascending.
    """
    data = solve_kpoints(h, h.kpoints(kpts), n_bands, sigma, vectors=True, **options)
    velocity = np.empty((*data.energies.shape, 3))
    for number, (k, energies, states) in enumerate(zip(data.kpts, data.energies, data.states)):
        clusters = np.split(np.arange(len(energies)), np.flatnonzero(np.diff(energies) > DEGENERATE) + 1)
        for axis, operator in enumerate(velocity_operators(h, k)):
            applied = operator @ states
            for cluster in clusters:
                small = states[:, cluster].conj().T @ applied[:, cluster]
                velocity[number, cluster, axis] = np.linalg.eigvalsh((small + small.conj().T) / 2) / HBAR
    return data.energies, velocity


def effective_mass(h, k, band, step=2e-3, **options):
    """Effective masses of one band in the plane of the layers, in electron masses.

    Parameters
    ----------
    k : array_like (3,)
    band : int
        Absolute band index.
    step : float
        Displacement in 1/Å of the central difference of exact velocities; one derivative of two is analytic.

    Returns
    -------
    masses : ndarray (2,)
        Principal masses, ascending in 1/m: negative for a hole-like band.
    axes : ndarray (2, 2)
        Columns: their directions along x and y; for layers in another plane than xy along the two vectors of
        `ase_wander.structure.plane_axes`.

    Raises
    ------
    ValueError
        When the band is degenerate at k: its masses depend on direction.
    """
    k = np.asarray(k, float)
    if not isinstance(band, Integral) or not 0 <= band < h.n_orbitals:
        raise ValueError(f"band is {band}; it must be an integer, and there are {h.n_orbitals}")
    atoms = h.require_atoms("an effective mass")
    cell, plane = atoms.cell.complete().array, plane_axes(atoms)
    shifts = np.concatenate([np.zeros((1, 3)), *([s * step * plane[a : a + 1] for a in (0, 1) for s in (1, -1)])])
    # k_fractional = cell k / 2 pi
    kpts = k + shifts @ cell.T / (2 * np.pi)
    n_bands, first = _around(h, band)
    energies, velocity = velocities(h, kpts, n_bands, **options)
    column = band - first
    others = np.delete(energies[0], column)
    if len(others) and np.abs(others - energies[0, column]).min() < DEGENERATE:
        raise ValueError(f"band {band} is degenerate at k = {k.tolist()}: its effective mass depends on direction")
    v = velocity[:, column] @ plane.T
    inverse = HBAR * np.array([v[1] - v[2], v[3] - v[4]]) / (2 * step) / HBAR2_PER_MASS
    curvature, axes = np.linalg.eigh((inverse + inverse.T) / 2)
    with np.errstate(divide="ignore"):
        return 1 / curvature, axes


def _around(h, band):
    """Smallest window around the gap that holds the band and its neighbours, or all bands."""
    if h.n_orbitals <= 64:
        return None, 0
    for n_bands in range(4, h.n_orbitals):
        window = h.band_window(n_bands)
        if window.start < band < window.stop - 1 or n_bands > 400:
            break
    if band not in window:
        raise ValueError(f"band {band} lies too far from the gap for a window of {n_bands} bands")
    return n_bands, window.start
