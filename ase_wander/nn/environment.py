"""Atomic densities and their products: the equivariant picture of an atom's surroundings.

Einsum legend: n atoms, k neighbour slots, s neighbour channels (species x same or other layer), r radial functions,
c mixed channels, m components of one degree l, q all components of l = 0 ... l_max.
"""

from __future__ import annotations

from copy import copy
from itertools import pairwise

import torch
from torch import nn

from .angular import clebsch_gordan, l_slice, spherical_harmonics
from .graph import Graph
from .radial import bessel_basis

#: Couplings (l1, l2) -> l3 of natural parity (l1 + l2 + l3 even), by l3.
PATHS = {
    0: [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)],
    1: [(0, 1), (1, 2), (2, 3), (3, 4)],
    2: [(0, 2), (1, 1), (2, 2), (1, 3), (2, 4), (3, 3)],
    3: [(0, 3), (1, 2), (1, 4), (2, 3)],
    4: [(0, 4), (2, 2), (1, 3), (3, 3)],
}


#: Keeps the variance of a unit normal through SiLU.
SILU_GAIN = 1.6765


class SpeciesLinear(nn.Module):
    """y_n = W[species_n] x_n along axis 1, one weight matrix per species of the centre."""

    def __init__(self, n_species: int, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_species, n_out, n_in) / n_in**0.5)

    def forward(self, x: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """x (n, n_in, ...) -> (n, n_out, ...)."""
        flat = x.reshape(len(x), x.shape[1], -1)
        out = flat.new_zeros(len(x), self.weight.shape[1], flat.shape[2])
        for z in range(len(self.weight)):
            members = torch.nonzero(species == z).squeeze(1)
            if len(members):
                out = out.index_copy(0, members, self.weight[z] @ flat[members])
        return out.reshape(x.shape[:1] + self.weight.shape[1:2] + x.shape[2:])


class SpeciesMLP(nn.Module):
    """A small SiLU network per species; returns (last hidden layer, output)."""

    def __init__(self, n_species: int, sizes: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(SpeciesLinear(n_species, a, b) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(n_species, b)) for b in sizes[1:])

    def forward(self, x, species):
        for layer, bias in zip(self.layers[:-1], self.biases[:-1]):
            x = nn.functional.silu(layer(x, species) + bias[species]) * SILU_GAIN
        return x, self.layers[-1](x, species) + self.biases[-1][species]


class Geometry:
    """Shared by all densities of one structure: radial functions, harmonics, channel masks."""

    def __init__(self, graph: Graph, cutoff: float, n_radial: int, l_max: int, n_species: int):
        r = graph.vector.pow(2).sum(-1).sqrt()
        self.r = r
        self.unit = graph.vector / r.unsqueeze(-1)  # (n, k, 3)
        self.radial = bessel_basis(r, cutoff, n_radial)  # (n, k, r)
        self.harmonics = spherical_harmonics(self.unit, l_max)  # (n, k, q)
        channel = graph.species_around() + n_species * graph.across
        self.one_hot = nn.functional.one_hot(channel, 2 * n_species).to(r.dtype) * graph.mask.unsqueeze(-1)

    def up_to(self, l_max: int) -> Geometry:
        """The same with harmonics of at least degree `l_max`."""
        if self.harmonics.shape[-1] >= (l_max + 1) ** 2:
            return self
        out = copy(self)
        out.harmonics = spherical_harmonics(self.unit, l_max)
        return out

    def density(self, weight: torch.Tensor) -> torch.Tensor:
        """sum_k weight_nkc Y_q(r_nk), shape (n, c, q)."""
        return weight.transpose(1, 2) @ self.harmonics


class Density(nn.Module):
    """A_i,c,lm = sum_j R_c,l(r_ij; species_i, channel_j) Y_lm(r_ij): two-body, one table of radial functions per l."""

    def __init__(self, n_species: int, n_radial: int, n_channels: int, l_max: int, scale: float, n_kinds: int = 2):
        super().__init__()
        self.l_max = l_max
        self.scale = scale
        n_raw = n_kinds * n_species * n_radial  # kinds of neighbours: of the same layer, of another one
        self.mix = nn.ModuleList(SpeciesLinear(n_species, n_raw, n_channels) for _ in range(l_max + 1))

    @staticmethod
    def raw(geometry: Geometry) -> torch.Tensor:
        """Unmixed densities A_i,(s r),lm, shape (n, s r, q)."""
        weight = (geometry.one_hot.unsqueeze(-1) * geometry.radial.unsqueeze(-2)).flatten(2)
        return geometry.density(weight)

    def forward(self, raw: torch.Tensor, species: torch.Tensor) -> list[torch.Tensor]:
        return [mix(raw[:, :, l_slice(l)], species) * self.scale for l, mix in enumerate(self.mix)]


class ChannelProduct(nn.Module):
    """B_l3 = W [A_l1 x A'_l2]_l3 channel by channel, then mixed over channels and paths: three-body tensors."""

    def __init__(self, n_species: int, n_channels: int, n_out: int, l_max: int, l_out: int):
        super().__init__()
        self.paths = [[p for p in PATHS[l3] if max(p) <= l_max] for l3 in range(l_out + 1)]
        self.mix = nn.ModuleList(SpeciesLinear(n_species, len(paths) * n_channels, n_out) for paths in self.paths)

    def coupled(self, a: list, b: list, l3: int) -> torch.Tensor:
        """All products of degree `l3` before mixing, shape (n, paths x channels, 2 l3 + 1)."""
        out = []
        for l1, l2 in self.paths[l3]:
            outer = (a[l1].unsqueeze(-1) * b[l2].unsqueeze(-2)).flatten(-2)
            cg = clebsch_gordan(l1, l2, l3).to(outer)  # kept in float64: a rounded table would break covariance
            out.append(outer @ cg.reshape(-1, 2 * l3 + 1))
        return torch.cat(out, 1)

    def forward(self, a, b, species):
        """Mixed tensors by degree, and the unmixed scalars (n, paths x channels)."""
        coupled = [self.coupled(a, b, l3) for l3 in range(len(self.paths))]
        return [mix(c, species) for mix, c in zip(self.mix, coupled)], coupled[0].squeeze(-1)
