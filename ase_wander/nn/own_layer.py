"""What an atom tells the inter-layer heads: its own layer in full, of the other layer no more than densities.

Tensors of the own layer come from messages inside that layer, so that whatever a network makes of them knows nothing
of how the other layer is turned. The other layer enters as densities without products, for terms of lowest order
(`additive.BothEnds`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import torch
from torch import nn

from .angular import l_slice
from .environment import Density
from .forcefield import Environment
from .graph import Graph
from .messages import Dressing


class LayerDressing(nn.Module):
    """Node tensors (n, n_own + n_other, (l_max + 1)^2) and scalars (n, n_scalars + n_other) from the force field's
    Environment.

    First those of the own layer, then densities of the other one; of these the scalars are the parts of l = 0, which
    stay as they are when the other layer turns about the atom.
    """

    def __init__(self, n_species, n_radial, l_max=4, n_own=12, n_other=4, n_scalars=32):
        super().__init__()
        self.n_species, self.n_radial, self.l_max = n_species, n_radial, l_max
        self.n_own, self.n_other, self.n_scalars = n_own, n_other, n_scalars + n_other
        self.own = Dressing(n_species, n_radial, 0, l_max, n_own, n_scalars=n_scalars, n_kinds=1)
        self.other = Density(n_species, n_radial, n_other, l_max, 0.5, n_kinds=1)
        self.register_buffer("other_scale", torch.ones(n_species, l_max + 1))
        self.register_buffer("scalar_mean", torch.zeros(n_species, n_other))
        self.register_buffer("scalar_scale", torch.ones(n_species, n_other))

    def of_own_layer(self, environment: Environment) -> Environment:
        """The Environment without neighbours in other layers and without the RAER, which knows them."""
        geometry = copy(environment.geometry)
        geometry.one_hot = geometry.one_hot[
            ..., : self.n_species
        ]  # the others' channels come after those of the own layer
        raw = environment.raw[:, : self.n_species * self.n_radial]
        return replace(environment, geometry=geometry, raw=raw, raer=environment.raer[:, :0])

    def of_other_layer(self, environment: Environment, species) -> list[torch.Tensor]:
        """Unscaled densities (n, n_other, 2 l + 1) of the neighbours in other layers, by l."""
        return self.other(environment.raw[:, self.n_species * self.n_radial :], species)

    def forward(self, graph: Graph, environment: Environment):
        environment = environment.up_to(self.l_max)
        tensors, scalars = self.own(graph, self.of_own_layer(environment))
        if not self.n_other:
            return tensors, scalars
        scale = self.other_scale[graph.species]
        other = self.of_other_layer(environment, graph.species)
        seen = (other[0].squeeze(-1) - self.scalar_mean[graph.species]) * self.scalar_scale[graph.species]
        other = torch.cat([t * scale[:, l, None, None] for l, t in enumerate(other)], 2)
        return torch.cat([tensors, other], 1), torch.cat([scalars, seen], 1)

    @torch.no_grad()
    def fit(self, graphs, environments):
        """Set the scales from sample structures (lists of Graph and Environment)."""
        environments = [e.up_to(self.l_max) for e in environments]
        self.own.fit(graphs, [self.of_own_layer(e) for e in environments])
        if not self.n_other:
            return
        species = torch.cat([g.species for g in graphs])
        found = torch.cat([torch.cat(self.of_other_layer(e, g.species), 2) for g, e in zip(graphs, environments)])
        for z in range(self.n_species):
            if (species == z).sum() < 2:
                continue
            self.scalar_mean[z] = found[species == z][:, :, 0].mean(0)
            self.scalar_scale[z] = 1 / found[species == z][:, :, 0].std(0).clamp(min=1e-4)
            for l in range(self.l_max + 1):
                rows = found[species == z][:, :, l_slice(l)]
                self.other_scale[z, l] = 1 / rows.square().mean().sqrt().clamp(min=1e-6)
