"""Optical conductivity of the sheet in the independent-particle, velocity-gauge form."""

from __future__ import annotations

import numpy as np

from ..filling import normalised_points
from .velocities import velocity_operators


def optical_conductivity(h, frequencies, kpts=None, weights=None, fermi_level=None, width=0.05, axes=(0, 0)):
    """Re sigma_ab of interband transitions at zero temperature, in units of e^2 / (4 hbar), shape (n_frequencies,).

    sigma_ab(w) = g_s pi e^2 / (hbar A) sum_k w_k sum_{n occ, m empty} Re[p_nm^a p_mn^b] / (E_m - E_n)
    delta(hbar w - (E_m - E_n)), p = dH/dk (velocity gauge).

    Parameters
    ----------
    frequencies : array_like
        hbar w in eV, positive.
    fermi_level : float, optional
        From the electron count by default.
    width : float
        Standard deviation (eV) of the Gaussian in place of the delta function.
    axes : (int, int)
        a and b: 0 x, 1 y, 2 z.
    """
    frequencies = np.asarray(frequencies, float)
    if frequencies.ndim != 1 or not (frequencies > 0).all():
        raise ValueError("frequencies must be a one-dimensional array of positive energies (eV)")
    if not np.isfinite(width) or width <= 0:
        raise ValueError(f"width is {width} eV; it must be positive")
    if len(axes) != 2 or any(axis not in (0, 1, 2) for axis in axes):
        raise ValueError(f"axes are {axes!r}; they must be two of 0 (x), 1 (y) and 2 (z)")
    kpts, weights = normalised_points(h, kpts, weights)
    level = h.fermi_level() if fermi_level is None else float(fermi_level)
    area = np.linalg.norm(np.cross(*h.require_atoms("a conductivity").cell.array[:2]))
    sigma = np.zeros(len(frequencies))
    # Transitions far from every frequency are left out, those at a crossing of bands (gap 0) with them.
    lowest, highest = max(frequencies.min() - 6 * width, 1e-6), frequencies.max() + 6 * width
    for k, weight in zip(kpts, weights):
        energies, states = h.eigenstates(k)
        energies, states = energies[0], states[0]
        occupied, empty = energies <= level, energies > level
        operators = velocity_operators(h, k)
        elements = [states[:, occupied].conj().T @ (operators[a] @ states[:, empty]) for a in axes]
        gaps = energies[empty][None] - energies[occupied][:, None]
        near = (gaps > lowest) & (gaps < highest)
        strength = (elements[0] * elements[1].conj()).real[near] / gaps[near]
        gauss = np.exp(-(((frequencies[:, None] - gaps[near]) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        sigma += weight * gauss @ strength
    return 4 * np.pi * h.spin_degeneracy / area * sigma
