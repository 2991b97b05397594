"""Electrons and the lattice: electron-phonon matrix elements and deformation potentials from a dH.

dH is the derivative of H along a displacement or a strain, from `ase_wander.model.derivatives.hamiltonian_derivative`
or from `transforms.difference`. The basis is orthonormal, so that the bands' first-order shifts are elements of dH
alone.
"""

from __future__ import annotations

import numpy as np

from .analysis import matrix_elements

#: hbar^2 in eV amu Å^2.
HBAR2 = 0.0041801592875


def zero_point_pattern(atoms, polarisation, phonon_energy):
    """Displacements (n_atoms, 3), Å, of a phonon's zero-point motion: u_i = sqrt(hbar / (2 M_i omega)) e_i.

    Parameters
    ----------
    polarisation : array_like, shape (n_atoms, 3)
        Eigenvector e of the mass-weighted dynamical matrix at q = 0 of this cell; it is normalised here.
    phonon_energy : float
        hbar omega in eV.
    """
    e = np.asarray(polarisation, float)
    if e.shape != (len(atoms), 3) or not np.isfinite(e).all() or not e.any():
        raise ValueError(f"polarisation must be finite, not zero and of shape {(len(atoms), 3)}, got shape {e.shape}")
    if not np.isfinite(phonon_energy) or phonon_energy <= 0:
        raise ValueError(f"the phonon energy is {phonon_energy} eV; zero-point motion needs a positive one")
    return np.sqrt(HBAR2 / (2 * atoms.get_masses()[:, None] * phonon_energy)) * e / np.linalg.norm(e)


def electron_phonon(dh, k, states, others=None):
    """`g_mn = <psi_m| dH |psi_n>` in eV, for dH along a `zero_point_pattern`; shape (n_m, n_n).

    F. Giustino, Rev. Mod. Phys. 89, 015003 (2017), Eq. 38, at q = 0 of the cell: both states at the same k.
    For dH along one atom's axis (eV/Å) it gives the bare elements `<psi_m| dH/dR |psi_n>`.
    """
    return matrix_elements(dh, k, states, others)


def deformation_potentials(dh, k, energies, states, tolerance=1e-6):
    """First-order shifts dE_n/dQ of bands at fixed fractional k, for dH along a strain: deformation potentials in eV.

    Parameters
    ----------
    energies : ndarray (n,), eV, ascending
    states : ndarray (n_orbitals, n)
        In the lattice gauge, as from `h.eigenstates`.
    tolerance : float
        Bands closer than this (eV) are treated by degenerate perturbation theory; a group must not be cut by the
        window.

    Returns
    -------
    slopes : ndarray (n,), ascending within every degenerate group
    states : ndarray (n_orbitals, n), turned inside degenerate groups so that dH is diagonal there
    """
    energies, turned = np.asarray(energies, float), np.array(states, complex)
    if energies.ndim != 1 or turned.shape[1:] != energies.shape:
        raise ValueError(
            f"energies {energies.shape} and states {turned.shape}: they must be (n,) and (n_orbitals, n) at one k"
        )
    elements = matrix_elements(dh, k, turned)
    slopes = np.empty(len(energies))
    for group in np.split(np.arange(len(energies)), np.flatnonzero(np.diff(energies) > tolerance) + 1):
        part = elements[np.ix_(group, group)]
        slopes[group], rotation = np.linalg.eigh((part + part.conj().T) / 2)
        turned[:, group] = turned[:, group] @ rotation
    return slopes, turned
