"""Small things that several tests share."""

import numpy as np
import torch


def random_orthogonal(seed, determinant=1):
    """A random orthogonal 3 x 3 tensor of the given determinant, float64."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return torch.from_numpy(q * np.sign(np.linalg.det(q)) * determinant)


def displaced(atoms, sigma=0.05, seed=0):
    """A copy with Gaussian random displacements (Å)."""
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=sigma, size=atoms.positions.shape)
    return atoms
