"""A twisted bilayer with a known field of displacements."""

import numpy as np

from ase_wander.moire import twisted_bilayer


def relaxed_by_hand(m=9):
    """A twist with vortex displacements that shrink the MM regions, opposite in the two layers, and the rigid cell."""
    rigid = twisted_bilayer("MoS2", m, 1)
    relaxed, g = rigid.copy(), 2 * np.pi * np.linalg.inv(rigid.cell[:2, :2])
    waves = np.array([g[:, 0], g[:, 1] - g[:, 0], -g[:, 1]])
    sign = np.where(rigid.arrays["layer"] == 1, 1, -1)
    for k in waves:
        wave = np.sin(rigid.positions[:, :2] @ k)[:, None] * np.array([-k[1], k[0]]) / np.linalg.norm(k)
        relaxed.positions[:, :2] += 0.15 * sign[:, None] * wave
    return relaxed, rigid, waves, 0.15
