"""What an atom tells the Hamiltonian heads: equivariant tensors after two rounds of message passing, and scalars.

First round: densities within the cutoff and their channel products (three-body). Second round: densities weighted by
the neighbours' scalars, and the neighbours' own tensors carried along, so that the path i - k - l is seen.
"""

from __future__ import annotations

import torch
from torch import nn

from .angular import l_slice
from .environment import ChannelProduct, Density, SpeciesLinear, SpeciesMLP
from .forcefield import Environment
from .graph import Graph


class Dressing(nn.Module):
    """Node tensors (n, n_channels, (l_max + 1)^2) and node scalars (n, n_scalars) from the force field's Environment."""

    def __init__(self, n_species, n_radial, n_raer, l_max=4, n_channels=16, n_carried=8, n_scalars=32):
        super().__init__()
        self.l_max, self.n_carried = l_max, n_carried
        c = n_channels
        self.left = Density(n_species, n_radial, c, l_max, 0.5)
        self.right = Density(n_species, n_radial, c, l_max, 0.5)
        self.product = ChannelProduct(n_species, c, c, l_max, l_max)
        n_first = c + 5 * c + l_max * c
        self.register_buffer("mean", torch.zeros(n_species, n_first))
        self.register_buffer("inverse_std", torch.ones(n_species, n_first))
        self.first = SpeciesMLP(n_species, [n_first + n_raer, 64, n_scalars])
        self.gate = SpeciesLinear(n_species, n_scalars, c)
        self.message = SpeciesLinear(n_species, 2 * n_species * n_radial, c + n_carried)
        self.carried = nn.ModuleList(SpeciesLinear(n_species, 2 * c, n_carried) for _ in range(l_max + 1))
        n_last = 3 * c + n_carried
        self.mix = nn.ModuleList(SpeciesLinear(n_species, n_last, c) for _ in range(l_max + 1))
        self.last = SpeciesMLP(n_species, [n_scalars + n_raer + n_last, 64, n_scalars])

    def first_round(self, raw, species):
        a, b = self.left(raw, species), self.right(raw, species)
        products, scalars = self.product(a, b, species)
        invariants = [a[0].squeeze(-1), scalars] + [(products[l] * a[l]).sum(-1) for l in range(1, self.l_max + 1)]
        return a, products, torch.cat(invariants, 1)

    def forward(self, graph: Graph, environment: Environment):
        species, geometry = graph.species, environment.geometry
        a, products, invariants = self.first_round(environment.raw, species)
        invariants = (invariants - self.mean[species]) * self.inverse_std[species]
        _, scalars = self.first(torch.cat([invariants, environment.raer], 1), species)
        weight = (geometry.one_hot.unsqueeze(-1) * geometry.radial.unsqueeze(-2)).flatten(2)       # (n, k, s r)
        weight = self.message(weight.transpose(1, 2), species).transpose(1, 2)                     # (n, k, c)
        gate = self.gate(scalars, species)
        direct, carried = weight.split([gate.shape[1], self.n_carried], 2)
        density = geometry.density(direct * gate[graph.neighbour]) * 0.5                           # (n, c, q)
        tensors = torch.cat([mix(torch.cat([a[l], products[l]], 1), species)
                             for l, mix in enumerate(self.carried)], 2)                            # (n, carried, q)
        brought = torch.einsum("nkc,nkcq->ncq", carried, tensors[graph.neighbour]) * 0.5
        out = [torch.cat([a[l], products[l], density[:, :, l_slice(l)], brought[:, :, l_slice(l)]], 1)
               for l in range(self.l_max + 1)]
        _, last = self.last(torch.cat([scalars, environment.raer, out[0].squeeze(-1)], 1), species)
        return torch.cat([mix(t, species) for mix, t in zip(self.mix, out)], 2), last
