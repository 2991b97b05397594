"""Input of the Hamiltonian heads from each atom: equivariant tensors after two rounds of message passing, and scalars.

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
    """Node tensors (n, n_channels, (l_max + 1)^2) and node scalars (n, n_scalars) from the force field's Environment.

    `n_kinds` is 2 for neighbours of the same and of another layer, 1 for those of the same layer alone.
    Buffers `invariant_*`, `raer_*`, `first_scale` and `second_scale` bring every input to order one; `fit` sets them.
    """

    def __init__(self, n_species, n_radial, n_raer, l_max=4, n_channels=16, n_carried=8, n_scalars=32, n_kinds=2):
        super().__init__()
        self.l_max, self.n_carried, self.n_scalars = l_max, n_carried, n_scalars
        c = n_channels
        self.left = Density(n_species, n_radial, c, l_max, 0.5, n_kinds)
        self.right = Density(n_species, n_radial, c, l_max, 0.5, n_kinds)
        self.product = ChannelProduct(n_species, c, c, l_max, l_max)
        n_first, n_last = c + (l_max + 1) * c + l_max * c, 3 * c + n_carried
        self.extra_sizes = {"raer": n_raer, "environment": n_first}
        for name, size in (("invariant", n_first), ("raer", n_raer)):
            self.register_buffer(f"{name}_mean", torch.zeros(n_species, size))
            self.register_buffer(f"{name}_scale", torch.ones(n_species, size))
        self.register_buffer("first_scale", torch.ones(n_species, l_max + 1, 2))
        self.register_buffer("second_scale", torch.ones(n_species, l_max + 1, 2))
        self.first = SpeciesMLP(n_species, [n_first + n_raer, 64, n_scalars])
        self.gate = SpeciesLinear(n_species, n_scalars, c)
        self.message = SpeciesLinear(n_species, n_kinds * n_species * n_radial, c + n_carried)
        self.carried = nn.ModuleList(SpeciesLinear(n_species, 2 * c, n_carried) for _ in range(l_max + 1))
        self.mix = nn.ModuleList(SpeciesLinear(n_species, n_last, c) for _ in range(l_max + 1))
        self.last = SpeciesMLP(n_species, [n_scalars + n_raer + n_last, 64, n_scalars])

    def first_round(self, raw, species):
        """Densities, their products (lists by l, scaled) and the unscaled invariants (n, n_first)."""
        a, b = self.left(raw, species), self.right(raw, species)
        products, scalars = self.product(a, b, species)
        invariants = [a[0].squeeze(-1), scalars] + [(products[l] * a[l]).sum(-1) for l in range(1, self.l_max + 1)]
        scale = self.first_scale[species]
        a = [t * scale[:, l, 0, None, None] for l, t in enumerate(a)]
        products = [t * scale[:, l, 1, None, None] for l, t in enumerate(products)]
        return a, products, torch.cat(invariants, 1)

    def second_round(self, graph, geometry, a, products, scalars):
        """Messages of the neighbours: densities weighted by their scalars, and their tensors (n, c, q), (n, carried,
        q)."""
        species = graph.species
        weight = (geometry.one_hot.unsqueeze(-1) * geometry.radial.unsqueeze(-2)).flatten(2)  # (n, k, s r)
        weight = self.message(weight.transpose(1, 2), species).transpose(1, 2)  # (n, k, c)
        gate = self.gate(scalars, species)
        direct, carried = weight.split([gate.shape[1], self.n_carried], 2)
        tensors = torch.cat(
            [mix(torch.cat([a[l], products[l]], 1), species) for l, mix in enumerate(self.carried)], 2
        )  # (n, carried, q)
        density = geometry.density(direct * gate[graph.neighbour])
        brought = torch.einsum("nkc,nkcq->ncq", carried, tensors[graph.neighbour])
        return density, brought

    def forward(self, graph: Graph, environment: Environment, extra=()):
        """Tensors (n, c, q) and scalars (n, s); `extra` of "raer", "environment" (the invariants) go after the
        scalars, standardised."""
        environment = environment.up_to(self.l_max)
        species, geometry = graph.species, environment.geometry
        raer = (environment.raer - self.raer_mean[species]) * self.raer_scale[species]
        a, products, invariants = self.first_round(environment.raw, species)
        invariants = (invariants - self.invariant_mean[species]) * self.invariant_scale[species]
        _, scalars = self.first(torch.cat([invariants, raer], 1), species)
        density, brought = self.second_round(graph, geometry, a, products, scalars)
        scale = self.second_scale[species]
        out = [
            torch.cat(
                [
                    a[l],
                    products[l],
                    density[:, :, l_slice(l)] * scale[:, l, 0, None, None],
                    brought[:, :, l_slice(l)] * scale[:, l, 1, None, None],
                ],
                1,
            )
            for l in range(self.l_max + 1)
        ]
        _, last = self.last(torch.cat([scalars, raer, out[0].squeeze(-1)], 1), species)
        last = torch.cat([last] + [{"raer": raer, "environment": invariants}[name] for name in extra], 1)
        return torch.cat([mix(t, species) for mix, t in zip(self.mix, out)], 2), last

    @torch.no_grad()
    def fit(self, graphs, environments):
        """Set the scales from sample structures (lists of Graph and Environment)."""
        species = torch.cat([g.species for g in graphs])
        environments = [e.up_to(self.l_max) for e in environments]

        def standardise(name, rows):
            for z in range(len(self.first_scale)):
                own = rows[species == z]
                if len(own) < 2:  # a species of another material, known from the model that training started from
                    continue
                getattr(self, f"{name}_mean")[z] = own.mean(0)
                getattr(self, f"{name}_scale")[z] = 1 / own.std(0).clamp(min=1e-4)

        def level(buffer, k, rows):
            for z in range(len(buffer)):
                for l in range(self.l_max + 1):
                    t = rows[species == z][:, :, l_slice(l)]
                    if not len(t):
                        continue
                    buffer[z, l, k] = 1 / t.square().mean().sqrt().clamp(min=1e-6)

        self.first_scale.fill_(1.0)
        first = [self.first_round(e.raw, g.species) for g, e in zip(graphs, environments)]
        standardise("invariant", torch.cat([f[2] for f in first]))
        if self.raer_scale.shape[1]:
            standardise("raer", torch.cat([e.raer for e in environments]))
        level(self.first_scale, 0, torch.cat([torch.cat(f[0], 2) for f in first]))
        level(self.first_scale, 1, torch.cat([torch.cat(f[1], 2) for f in first]))
        second = []
        for g, e in zip(graphs, environments):
            a, products, invariants = self.first_round(e.raw, g.species)
            x = torch.cat(
                [
                    (invariants - self.invariant_mean[g.species]) * self.invariant_scale[g.species],
                    (e.raer - self.raer_mean[g.species]) * self.raer_scale[g.species],
                ],
                1,
            )
            second.append(self.second_round(g, e.geometry, a, products, self.first(x, g.species)[1]))
        level(self.second_scale, 0, torch.cat([s[0] for s in second]))
        level(self.second_scale, 1, torch.cat([s[1] for s in second]))
