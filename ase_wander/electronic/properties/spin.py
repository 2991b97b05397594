"""Spin of Bloch states of a spinor Hamiltonian, and its texture over k-points or along a path."""

from __future__ import annotations

import numpy as np

from ..orbitals import spin_pairs
from ..solvers.kpoints import solve_kpoints

#: States closer than this (eV) count as degenerate.
DEGENERATE = 1e-6


def spin_expectation(h, states):
    """<sigma_x>, <sigma_y>, <sigma_z> of states (n_orbitals, n_states), shape (n_states, 3), each between -1 and 1.

    In units of hbar / 2. The two spins of an orbital are found by atom and angular momentum, in whatever order they
    stand; the quantisation axis of the orbitals is z.
    """
    up, down = _halves(h, states)
    flip = (up.conj() * down).sum(axis=0)  # <up|down>: sigma_x + i sigma_y
    return np.column_stack([2 * flip.real, 2 * flip.imag, (np.abs(up) ** 2 - np.abs(down) ** 2).sum(axis=0)])


def spin_texture(h, kpts, n_bands=None, sigma=None, axis=(0, 0, 1), **options):
    """Energies (n_k, n_bands), eV, and spins (n_k, n_bands, 3) in hbar / 2 at k-points or along a path.

    Parameters
    ----------
    kpts : array_like (n_k, 3), BandPath or str
        See `WannierHamiltonian.kpoints`.
    n_bands, sigma
        As in `WannierHamiltonian.eigenvalues`.
    axis : (3,)
        Degenerate states have no spin of their own: inside such a group those are taken in which the spin along this
        axis is diagonal, ascending. A group must not be cut by the window of bands.

    Raises
    ------
    ValueError
        For a Hamiltonian without spin, or whose file does not say which orbital has which.
    """
    if h.spin_degeneracy != 1:
        raise ValueError("a spin texture needs spinors: add spin-orbit coupling first (with_spin_orbit)")
    axis = np.asarray(axis, float)
    if axis.shape != (3,) or not np.isfinite(axis).all() or not axis.any():
        raise ValueError(f"axis is {axis.tolist()}; it must be three finite numbers, not all zero")
    data = solve_kpoints(h, h.kpoints(kpts), n_bands, sigma, vectors=True, **options)
    spins = np.empty((*data.energies.shape, 3))
    for number, (energies, states) in enumerate(zip(data.energies, data.states)):
        groups = np.split(np.arange(len(energies)), np.flatnonzero(np.diff(energies) > DEGENERATE) + 1)
        turned = np.array(states, complex)
        for group in groups:
            if len(group) > 1:
                matrix = _spin_matrix(h, turned[:, group], axis / np.linalg.norm(axis))
                turned[:, group] = turned[:, group] @ np.linalg.eigh(matrix)[1]
        spins[number] = spin_expectation(h, turned)
    return data.energies, spins


def plot_spin_texture(path, energies, spins, component=2, ax=None, **options):
    """`ase_wander.plotting.plot_spin_texture`."""
    from ... import plotting  # matplotlib is imported when a figure is drawn

    return plotting.plot_spin_texture(path, energies, spins, component, ax=ax, **options)


def _halves(h, states):
    """Elements (n_orbitals / 2, n_states) on orbitals with spin up and on their partners with spin down."""
    pairs = spin_pairs(h.orbitals)
    states = np.asarray(states).reshape(h.n_orbitals, -1)
    return states[pairs[:, 0]], states[pairs[:, 1]]


def _spin_matrix(h, states, axis):
    """<m| sigma.axis |n>, shape (n_states, n_states)."""
    up, down = _halves(h, states)
    raising = up.conj().T @ down
    z = up.conj().T @ up - down.conj().T @ down
    x, y = raising + raising.conj().T, -1j * (raising - raising.conj().T)
    return axis[0] * x + axis[1] * y + axis[2] * z
