"""The network of a force field for atoms sorted by species: densities in, energies out, few and large products.

The same sums as `forcefield.ForceField.environment`, for training: components stand before channels, so that mixing
is one product of matrices per species and degree, and nothing is picked out by index.
"""

from __future__ import annotations

import torch
from torch.nn.functional import linear, silu

from .coupling import couple
from .environment import SILU_GAIN
from .forcefield import ForceField


def by_species(x: torch.Tensor, weight: torch.Tensor, counts) -> torch.Tensor:
    """W[species] x along the last axis of x (n, m, n_in), atoms sorted by species; (n, m, n_out)."""
    parts = [linear(part, w) for part, w, k in zip(x.split(counts), weight, counts) if k]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def energies_of_densities(ff: ForceField, raw: torch.Tensor, counts: list[int], noise=None) -> torch.Tensor:
    """Atomic energies (n,) in eV of the networks alone.

    Parameters
    ----------
    ff : ForceField
        Whose networks are evaluated.
    raw : tensor, shape (n, q, s r)
        Unmixed densities of atoms sorted by species, components before channels.
    counts : list of int
        Atoms of every species.
    noise : tensor, shape (n, n_invariants), optional
        Added to the normalised invariants.
    """
    degrees = range(ff.l_max + 1)
    ab = []
    for l, x in zip(degrees, raw.split([2 * l + 1 for l in degrees], 1)):
        weight = torch.cat([ff.left.mix[l].weight * ff.left.scale, ff.right.mix[l].weight * ff.right.scale], 1)
        ab.append(by_species(x.contiguous(), weight, counts))
    n_channels = ab[0].shape[2] // 2
    products = couple(ff.product, ab)
    x = [ab[0][:, 0, :n_channels], products[0][:, 0]]
    for l in range(1, ff.l_product + 1):
        mixed = by_species(products[l], ff.product.mix[l].weight, counts)
        x += [(mixed * ab[l][..., :n_channels]).sum(1), mixed.square().sum(1)]
    # the mean and spread of every species, then its network
    x, energies = torch.cat(x, 1), []
    noise = [None] * len(counts) if noise is None else noise.split(counts)
    for z, (own, moved) in enumerate(zip(x.split(counts), noise)):
        own = (own - ff.mean[z]) * ff.inverse_std[z]
        own = own if moved is None else own + moved
        hidden = own
        for layer, bias in zip(ff.network.layers[:-1], ff.network.biases[:-1]):
            hidden = silu(linear(hidden, layer.weight[z], bias[z])) * SILU_GAIN
        last = linear(hidden, ff.network.layers[-1].weight[z], ff.network.biases[-1][z])[:, 0]
        energies.append(last + own @ ff.linear[z])
    return ff.energy_scale * torch.cat(energies)
