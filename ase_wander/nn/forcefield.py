"""The energy of an atom from its environment; its last hidden layer is the RAER.

E = sum_i [ E0(species_i) + MLP(invariants_i) ] + repulsion + dispersion tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from .electrostatics import neutralised, slab_energies
from .environment import ChannelProduct, Density, Geometry, SpeciesLinear, SpeciesMLP
from .graph import Graph
from .radial import dispersion_basis, zbl_energy

#: Stiffness of the wall in eV/Å^3: 0.3 Å inside it costs 2.7 eV.
WALL = 100.0


@dataclass
class Environment:
    """Output of the force field for the Hamiltonian heads.

    Attributes
    ----------
    geometry : tuple, optional
        Radial functions and harmonics of all neighbours; None where atoms were treated part by part.
    raw : tensor, shape (n, s r, q), optional
        Unmixed densities; None likewise.
    raer : tensor, shape (n, n_raer)
        Reduced atomic environment representation.
    invariants : tensor, shape (n, n_invariants), optional
        Normalised invariants, where they are kept.
    """

    geometry: Geometry | None
    raw: torch.Tensor | None
    raer: torch.Tensor
    invariants: torch.Tensor | None = None

    def up_to(self, l_max: int) -> Environment:
        """The same with harmonics and raw densities of degree `l_max` or more, which the heads may need."""
        geometry = self.geometry.up_to(l_max)
        raw = self.raw if self.raw.shape[-1] >= (l_max + 1) ** 2 else Density.raw(geometry)
        return self if geometry is self.geometry and raw is self.raw else replace(self, geometry=geometry, raw=raw)


class ForceField(nn.Module):
    """Layer-aware atomic-density force field of body order five, conservative by construction.

    Parameters
    ----------
    atomic_numbers : list of int
        One per species.
    cutoff, tail_cutoff : float
        Of the densities and of the dispersion tail, Å.
    n_radial, n_channels, n_raer, hidden : int
        Radial functions, channels of the densities, size of the RAER, and of the hidden layers.
    l_max : int
        Highest degree of the densities, 1 to 4.
    smearing : float
        Total width of the effective charges' interaction, Å; 0 leaves the electrostatic energy out.
    neutral : {"cell", "layer"}
        What is neutral as a whole, see `electrostatics.neutralised`.
    """

    #: Energy and RAER of an atom need its own neighbours only, so that atoms may be treated part by part.
    local = True

    def __init__(
        self,
        atomic_numbers,
        cutoff=6.0,
        tail_cutoff=10.0,
        n_radial=8,
        n_channels=16,
        l_max=4,
        n_raer=32,
        hidden=64,
        smearing=0.0,
        neutral="cell",
    ):
        super().__init__()
        n_species = len(atomic_numbers)
        self.noise = 0.0  # of the invariants while training; see training.loop
        self.cutoff, self.tail_cutoff, self.n_radial, self.l_max, self.n_species, self.n_raer = (
            cutoff,
            tail_cutoff,
            n_radial,
            l_max,
            n_species,
            n_raer,
        )
        self.atomic_numbers = tuple(atomic_numbers)
        self.register_buffer("repulsion_range", torch.zeros(n_species, n_species))
        #: Shortest distances (Å) that the training knows, by species and same or other layer; 0: no wall.
        self.register_buffer("contact", torch.zeros(n_species, n_species, 2))
        scale = 0.5
        self.left = Density(n_species, n_radial, n_channels, l_max, scale)
        self.right = Density(n_species, n_radial, n_channels, l_max, scale)
        self.l_product = min(l_max, 3)  # of the three-body tensors, which are contracted with the densities
        self.product = ChannelProduct(n_species, n_channels, n_channels, l_max, self.l_product)
        n_invariants = n_channels * (1 + (l_max + 1) + 2 * self.l_product)  # A_0, (A A')_0, then B.A and B.B by degree
        self.register_buffer("mean", torch.zeros(n_species, n_invariants))
        self.register_buffer("inverse_std", torch.ones(n_species, n_invariants))
        self.network = SpeciesMLP(n_species, [n_invariants, hidden, n_raer, 1])
        self.linear = nn.Parameter(torch.zeros(n_species, n_invariants))
        self.register_buffer("reference_energy", torch.zeros(n_species))
        self.register_buffer("energy_scale", torch.ones(()))
        self.smearing, self.neutral = smearing, neutral
        self.charge = SpeciesLinear(n_species, n_raer, 1) if smearing else None
        self.ion = nn.Parameter(0.3 * torch.randn(n_species)) if smearing else None
        self.dispersion = nn.Parameter(torch.full((n_species, n_species, 2, 2), 0.01))

    def environment(self, graph: Graph):
        """Environment and the normalised invariants (n, n_invariants)."""
        geometry = Geometry(graph, self.cutoff, self.n_radial, self.l_max, self.n_species)
        raw = Density.raw(geometry)
        invariants = self.invariants(raw, graph.species)
        invariants = (invariants - self.mean[graph.species]) * self.inverse_std[graph.species]
        if self.training and self.noise > 0:
            invariants = invariants + self.noise * torch.randn_like(invariants)
        raer, energy = self.network(invariants, graph.species)
        energy = energy.squeeze(-1) + (invariants * self.linear[graph.species]).sum(-1)
        return Environment(geometry, raw, raer, invariants), energy

    def invariants(self, raw, species):
        """Scalars of body order two to five: A_0, (A A')_0, B.A, B.B."""
        a, b = self.left(raw, species), self.right(raw, species)
        products, scalars = self.product(a, b, species)
        out = [a[0].squeeze(-1), scalars]
        for l in range(1, self.l_product + 1):
            out += [(products[l] * a[l]).sum(-1), products[l].square().sum(-1)]
        return torch.cat(out, 1)

    def forward(self, graph: Graph):
        """Atomic energies (n,) in eV and the Environment."""
        environment, energy = self.environment(graph)
        energy = self.reference_energy[graph.species] + self.energy_scale * energy
        return energy + self.repulsion(graph, environment.geometry.r) + self.tail(graph) + self.coulomb(
            graph, environment.raer
        ), environment

    def charges(self, graph, raer):
        """Effective charges (n,) in e, neutral in every configuration or layer."""
        raw = self.ion[graph.species] + 0.1 * self.charge(raer, graph.species).squeeze(-1)
        return neutralised(raw, graph, self.neutral)

    def coulomb(self, graph, raer):
        """Electrostatic energy of the effective charges, (n,) eV: what reaches beyond every cutoff."""
        if not self.smearing:
            return 0.0
        counts = torch.bincount(
            graph.config, minlength=graph.n_configs
        ).tolist()  # atoms of a configuration stand together
        return slab_energies(graph.position, graph.cell, self.charges(graph, raer), counts, self.smearing)

    def repulsion(self, graph, r):
        """Half of the repulsion of every neighbour pair, (n,) eV: ZBL, and a wall WALL (contact - r)^3 for pairs closer
        than any
        of the training, where the networks extrapolate; it is zero on the training data."""
        z_i, z_j = graph.species.unsqueeze(1).expand_as(graph.neighbour), graph.species_around()
        out = torch.zeros(len(graph), dtype=r.dtype, device=r.device)
        reach = self.repulsion_range[z_i, z_j]
        close = (r < reach).nonzero(as_tuple=True)
        charges = torch.tensor(self.atomic_numbers, dtype=r.dtype, device=r.device)
        pair = zbl_energy(r[close], charges[z_i[close]], charges[z_j[close]], reach[close])
        out = out.index_add(0, close[0], 0.5 * pair)
        reach = self.contact[z_i, z_j, graph.across]
        close = (r < reach).nonzero(as_tuple=True)
        return out.index_add(0, close[0], 0.5 * WALL * (reach[close] - r[close]) ** 3)

    def tail(self, graph):
        """Learned dispersion-like pair energies, half to each atom, (n,) eV."""
        out = torch.zeros(len(graph), dtype=graph.vector.dtype, device=graph.vector.device)
        if len(graph.tail_i) == 0:
            return out
        r = graph.tail_vector.square().sum(-1).sqrt()
        z_i, z_j = graph.species[graph.tail_i], graph.species[graph.tail_j]
        coefficient = (self.dispersion + self.dispersion.transpose(0, 1))[z_i, z_j, 0]
        pair = 0.25 * (dispersion_basis(r, self.tail_cutoff) * coefficient).sum(-1)
        return out.index_add(0, graph.tail_i, pair).index_add(0, graph.tail_j, pair)


def energy_and_gradients(force_field: ForceField, graph: Graph, create_graph=False):
    """Atomic energies, forces (n, 3) eV/Å, virial (c, 3, 3) eV = dE/d(strain), and the Environment.

    All bond vectors transform alike under strain, r -> (1 + eps) r, so with g = dE/dr of every vector
    F_i = sum over its vectors (+g outgoing, -g incoming) and dE/deps_ab = sum r_a g_b. The electrostatic part depends
    on positions and cell themselves: F = -dE/dr, and they enter the virial like vectors.
    """
    leaf = lambda t: t.detach().requires_grad_(True)
    graph.vector, graph.tail_vector = leaf(graph.vector), leaf(graph.tail_vector)
    inputs = {"vector": graph.vector}
    if len(graph.tail_i):
        inputs["tail_vector"] = graph.tail_vector
    if force_field.smearing:
        graph.position, graph.cell = leaf(graph.position), leaf(graph.cell)
        inputs |= {"position": graph.position, "cell": graph.cell}
    energies, environment = force_field(graph)
    found = torch.autograd.grad(energies.sum(), list(inputs.values()), create_graph=create_graph)
    g = dict(zip(inputs, found))
    n, k = graph.neighbour.shape
    outer = lambda r, t: r.detach().unsqueeze(-1) * t.unsqueeze(-2)
    along = g["vector"] * graph.mask.unsqueeze(-1)
    forces = along.sum(1).index_add(0, graph.neighbour.reshape(-1), -along.reshape(n * k, 3))
    virial = torch.zeros(graph.n_configs, 3, 3, dtype=along.dtype, device=along.device)
    masked = graph.vector.detach() * graph.mask.unsqueeze(-1)
    virial = virial.index_add(0, graph.config, torch.einsum("nka,nkb->nab", masked, along))
    if "tail_vector" in g:
        t = g["tail_vector"]
        forces = forces.index_add(0, graph.tail_i, t).index_add(0, graph.tail_j, -t)
        virial = virial.index_add(0, graph.config[graph.tail_i], outer(graph.tail_vector, t))
    if "position" in g:
        forces = forces - g["position"]
        virial = virial.index_add(0, graph.config, outer(graph.position, g["position"])) + outer(
            graph.cell, g["cell"]
        ).sum(1)
    return energies, forces, 0.5 * (virial + virial.transpose(1, 2)), environment
