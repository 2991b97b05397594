"""Berry curvature, Chern numbers and Z2 of an isolated group of bands.

The periodic part of a Bloch state is u_k(r) = e^{-ik.r} psi_k(r). In an orthonormal basis of local orbitals its
elements are C_j e^{-ik.r_j}, C being the eigenvector in the lattice gauge and r_j the centres (the atomic gauge): that
is what curvatures and Wannier centres are made of. In the lattice gauge the sum over the zone stays the same, the
curvature at a point does not and has not even the crystal's symmetry (see the appendix of D. Vanderbilt, Berry Phases
in Electronic Structure Theory, 2018, and T. G. Pedersen et al., PRB 63, 201101).
"""

from __future__ import annotations

import itertools

import numpy as np

from ...structure import plane_axes, plane_normal, upward
from .velocities import velocity_operators


def group_states(h, group, shape):
    """States (n1, n2, n_orbitals, n_group) of bands `group` (absolute, contiguous) on a grid of the plane.

    Raises
    ------
    ValueError
        When the group touches its neighbours on the grid.
    """
    group = _band_range(h, group)
    states = np.empty((*shape, h.n_orbitals, len(group)), complex)
    for a, b in np.ndindex(*shape):
        energies, vectors = h.eigenstates([a / shape[0], b / shape[1], 0])
        for low in (group[0], group[-1] + 1):
            if 0 < low < h.n_orbitals and energies[0, low] - energies[0, low - 1] < 1e-6:
                raise ValueError(
                    f"bands {low - 1} and {low} touch at k = ({a / shape[0]:.4f}, {b / shape[1]:.4f}, 0): "
                    f"bands {group[0]} to {group[-1]} are not isolated"
                )
        states[a, b] = vectors[0][:, group]
    return states


def _band_range(h, group):
    """The group as ascending band indices; ValueError for bands that do not exist or leave one between them out."""
    bands = np.unique(np.asarray(list(group)))
    if not len(bands) or not np.issubdtype(bands.dtype, np.integer):
        raise ValueError(f"a group of bands takes at least one integer, not {list(group)}")
    if bands[0] < 0 or bands[-1] >= h.n_orbitals:
        raise ValueError(f"bands {bands[0]} to {bands[-1]}: there are {h.n_orbitals}")
    if len(bands) != bands[-1] - bands[0] + 1:
        raise ValueError(f"bands {bands.tolist()} are not next to each other: give every group on its own")
    return bands


def berry_flux(h, group, shape=(24, 24)):
    """Berry flux through every plaquette of the grid, shape (n1, n2), radians.

    Divided by the plaquette's area in reciprocal space, (2 pi)^2 / (A n1 n2) with the cell's area A, it is the Berry
    curvature about the upward normal in Å^2, as `berry_curvature` gives it at a point; its sum is 2 pi times the Chern
    number exactly. Plaquette (a, b) has its corner at k = (a / n1, b / n2).
    T. Fukui, Y. Hatsugai, H. Suzuki, J. Phys. Soc. Jpn. 74, 1674 (2005), Eq. 7-9, with determinants for a group.

    Raises
    ------
    ValueError
        Without atoms: the curvature needs the orbitals' centres.
    """
    atoms = h.require_atoms("a Berry flux")
    flux = _plaquettes(h, group, shape, h.scaled_centres)
    return flux if plane_normal(atoms) @ upward(atoms) > 0 else -flux


def berry_curvature(h, kpts, group):
    """Berry curvature (n_k,) of a group of bands about the upward normal, Å^2, by the sum over the other bands.

    Omega = -2 Im sum_{n in group, m not in group} <n|dH/dk_1|m><m|dH/dk_2|n> / (E_n - E_m)^2, with axes 1, 2 of the
    plane right-handed about the normal (x and y in the xy plane). D. Xiao, M.-C. Chang, Q. Niu, RMP 82, 1959 (2010),
    Eq. 1.13.

    Raises
    ------
    ValueError
        Where the group touches another band.
    """
    atoms = h.require_atoms("a Berry curvature")
    axes = plane_axes(atoms)
    sign = np.sign(np.cross(*axes) @ upward(atoms))
    inside = np.zeros(h.n_orbitals, bool)
    inside[_band_range(h, group)] = True
    kpts = h.kpoints(kpts)
    curvature = np.empty(len(kpts))
    for number, k in enumerate(kpts):
        energies, states = (x[0] for x in h.eigenstates(k))
        gap = energies[inside][:, None] - energies[~inside][None]
        if gap.size and np.abs(gap).min() < 1e-6:
            raise ValueError(f"bands {min(group)} to {max(group)} touch another band at k = {k.tolist()}")
        operators = velocity_operators(h, k)
        first, second = (
            states[:, inside].conj().T @ sum(c * (v @ states[:, ~inside]) for c, v in zip(axis, operators))
            for axis in axes
        )
        curvature[number] = -2 * sign * (first * second.conj() / gap**2).imag.sum()
    return curvature


def _plaquettes(h, group, shape, centres):
    """Flux (n1, n2) through the plaquettes spanned by the first and the second reciprocal vector, in this order."""
    states = group_states(h, group, shape)

    def link(axis):
        ahead = np.roll(states, -1, axis=axis)
        # <u_k|u_k+q> = sum_j C_j(k)* C_j(k + q) e^{-iq.r_j}; C repeats with the reciprocal lattice, so this holds
        # across the border of the grid too
        phase = 1.0 if centres is None else np.exp(-2j * np.pi * centres[:, axis] / shape[axis])[:, None]
        u = np.linalg.det(np.einsum("abim,abin->abmn", states.conj(), phase * ahead))
        return u / np.abs(u)

    u1, u2 = link(0), link(1)
    # F = Im ln U1(k) U2(k+1) U1(k+2)^-1 U2(k)^-1, and the curvature's sign is that of A = i <u|du>
    return -np.angle(u1 * np.roll(u2, -1, axis=0) / (np.roll(u1, -1, axis=1) * u2))


def chern_number(h, group, shape=(24, 24)):
    """Chern number of an isolated group of bands, an integer: the flux about the upward normal over 2 pi.

    A Hamiltonian without atoms counts as right-handed.
    """
    flux = berry_flux(h, group, shape) if h.atoms is not None else _plaquettes(h, group, shape, None)
    return round(flux.sum() / (2 * np.pi))


def wilson_loops(h, group, n_loops=41, n_points=40):
    """Hybrid Wannier centres in [0, 1): phases / 2 pi of Wilson loops along k1 for k2 from 0 to 1/2.

    They are fractions of the first lattice vector, positions of the orbitals included; of a Hamiltonian without atoms
    all orbitals count as sitting at the origin. A. A. Soluyanov and D. Vanderbilt, PRB 83, 235401 (2011).
    """
    group = _band_range(h, group)
    step = 1.0 if h.atoms is None else np.exp(-2j * np.pi * h.scaled_centres[:, 0] / n_points)[:, None]
    phases = np.empty((n_loops, len(group)))
    for number, k2 in enumerate(np.linspace(0, 0.5, n_loops)):
        kpts = np.column_stack([np.arange(n_points) / n_points, np.full(n_points, k2), np.zeros(n_points)])
        states = h.eigenstates(kpts)[1][:, :, group]
        loop = np.eye(len(group), dtype=complex)
        for here, ahead in zip(states, np.roll(states, -1, axis=0)):
            # The unitary part of the overlap: parallel transport.
            v, _, w = np.linalg.svd(here.conj().T @ (step * ahead))
            loop = loop @ (v @ w)
        phases[number] = np.sort(-np.angle(np.linalg.eigvals(loop)) / (2 * np.pi) % 1)
    return phases


def z2_invariant(h, group, n_loops=41, n_points=40):
    """Z2 index (0 or 1) of an isolated, time-reversal symmetric, even group of spinor bands.

    Parity of the number of hybrid Wannier centres that the middle of the largest opening jumps over from k2 = 0 to 1/2
    (Soluyanov and Vanderbilt, section IV).
    """
    if h.spin_degeneracy != 1:
        raise ValueError("Z2 needs spinors: add spin-orbit coupling first")
    phases = wilson_loops(h, group, n_loops, n_points)
    if phases.shape[1] % 2:
        raise ValueError(f"{phases.shape[1]} bands: time reversal pairs them, the number must be even")
    opening = []
    for centres in phases:
        around = np.append(centres, centres[0] + 1)
        widest = int(np.argmax(np.diff(around)))
        opening.append((around[widest] + around[widest + 1]) / 2 % 1)
    crossings = 0
    for (z, z_next), centres in zip(itertools.pairwise(opening), phases[1:]):
        low, high = sorted((z, z_next))
        crossings += int(((centres > low) & (centres < high)).sum())
    return crossings % 2
