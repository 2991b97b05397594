"""Berry curvature, Chern numbers and Z2 of an isolated group of bands on a grid, by link variables."""

from __future__ import annotations

import numpy as np


def group_states(h, group, shape):
    """States (n1, n2, n_orbitals, n_group) of bands `group` (absolute, contiguous) on a grid of the plane.

    Raises
    ------
    ValueError
        When the group touches its neighbours on the grid.
    """
    group = np.arange(min(group), max(group) + 1)
    if group[0] < 0 or group[-1] >= h.n_orbitals:
        raise ValueError(f"bands {group[0]} to {group[-1]}: there are {h.n_orbitals}")
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


def berry_flux(h, group, shape=(24, 24)):
    """Berry flux through every plaquette of the grid, shape (n1, n2), radians.

    Divided by the plaquette's area it is the Berry curvature; its sum is 2 pi times the Chern number exactly.
    T. Fukui, Y. Hatsugai, H. Suzuki, J. Phys. Soc. Jpn. 74, 1674 (2005), Eq. 7-9, with determinants for a group.
    """
    states = group_states(h, group, shape)

    def link(axis):
        ahead = np.roll(states, -1, axis=axis)
        u = np.linalg.det(np.einsum("abim,abin->abmn", states.conj(), ahead))
        return u / np.abs(u)

    u1, u2 = link(0), link(1)
    # F = Im ln U1(k) U2(k+1) U1(k+2)^-1 U2(k)^-1, and the curvature's sign is that of A = i <u|du>
    return -np.angle(u1 * np.roll(u2, -1, axis=0) / (np.roll(u1, -1, axis=1) * u2))


def chern_number(h, group, shape=(24, 24)):
    """Chern number of an isolated group of bands, an integer."""
    return int(round(berry_flux(h, group, shape).sum() / (2 * np.pi)))


def wilson_loops(h, group, n_loops=41, n_points=40):
    """Phases (n_loops, n_group) / 2 pi of Wilson loops along k1, for k2 from 0 to 1/2: hybrid Wannier centres in [0, 1).

    A. A. Soluyanov and D. Vanderbilt, PRB 83, 235401 (2011).
    """
    group = np.arange(min(group), max(group) + 1)
    phases = np.empty((n_loops, len(group)))
    for number, k2 in enumerate(np.linspace(0, 0.5, n_loops)):
        kpts = np.column_stack([np.arange(n_points) / n_points, np.full(n_points, k2), np.zeros(n_points)])
        states = h.eigenstates(kpts)[1][:, :, group]
        loop = np.eye(len(group), dtype=complex)
        for here, ahead in zip(states, np.roll(states, -1, axis=0)):
            # The unitary part of the overlap: parallel transport.
            v, _, w = np.linalg.svd(here.conj().T @ ahead)
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
    for (z, z_next), centres in zip(zip(opening, opening[1:]), phases[1:]):
        low, high = sorted((z, z_next))
        crossings += int(((centres > low) & (centres < high)).sum())
    return crossings % 2
