"""The three Hamiltonian heads together: on-site, intra-layer and inter-layer blocks of all pairs of a Graph."""

from __future__ import annotations

import torch
from torch import nn

from .axial import AxialOnsite, shell_degree, axis_harmonics, contract
from .bond_frame import BondFrames
from .electrostatics import neutralised
from .environment import SpeciesLinear
from .forcefield import Environment
from .graph import Graph
from .hopping import HoppingHead
from .messages import Dressing
from .onsite import OnsiteHead
from .two_center import AxialHopping, ConstantOnsite, Undressed

#: What a head may look at besides the distance. Hoppings: equivariant tensors and scalars of both atoms; their RAERs; the raw
#: invariants of their environments; nothing. On-site blocks: tensors and scalars; nothing.
INPUTS = {
    "onsite_input": ("tensors", "constant"),
    "intra_input": ("tensors", "raer", "environment", "distance"),
    "inter_input": ("tensors", "raer", "environment", "distance"),
    "neutral": ("cell", "layer"),
}


class HamiltonianHeads(nn.Module):
    """Dressed atoms -> blocks.

    Parameters
    ----------
    shells : list of int or str, l of the one shell of every species, or "pz", "dz2": one orbital along the local normal.
    cutoff, taper : Å; hopping elements go smoothly to zero between taper and cutoff.
    smearing : Å, total width of the effective charges' interaction; 0 leaves the electrostatic part out.
    onsite_input, intra_input, inter_input : see INPUTS.
    neutral : what is neutral as a whole, "cell" or each "layer" of it, see `electrostatics.neutralised`.
    """

    def __init__(
        self,
        shells,
        n_radial,
        n_raer,
        cutoff=12.8,
        taper=12.0,
        l_max=4,
        n_channels=16,
        n_scalars=32,
        hidden=96,
        n_gated=24,
        smearing=2.0,
        onsite_input="tensors",
        intra_input="tensors",
        inter_input="tensors",
        neutral="cell",
    ):
        super().__init__()
        self.axial = [isinstance(shell, str) for shell in shells]
        self.shells = shells = [shell_degree(shell) for shell in shells]
        #: Orbitals of an atom of every species.
        self.sizes = [1 if axial else 2 * l + 1 for l, axial in zip(shells, self.axial)]
        self.cutoff, self.l_max, self.noise = cutoff, l_max, 0.0
        n_species = len(shells)
        self.inputs = {"onsite": onsite_input, "intra": intra_input, "inter": inter_input}
        #: What follows the scalars of the dressing, in this order.
        self.extra = [name for name in ("raer", "environment") if name in self.inputs.values()]
        #: No head looks at more than the distance.
        self.bare = not smearing and list(self.inputs.values()) == ["constant", "distance", "distance"]
        self.dressing = (
            Undressed(l_max)
            if self.bare
            else Dressing(n_species, n_radial, n_raer, l_max, n_channels, n_scalars=n_scalars)
        )
        self.n_scalars = n_scalars
        self.smearing, self.neutral = smearing, neutral
        self.charge = SpeciesLinear(n_species, n_scalars, 1) if smearing else None
        if smearing:
            nn.init.zeros_(self.charge.weight)

        def onsite(l, axial):
            if onsite_input == "constant":
                return ConstantOnsite(l, axial)
            return AxialOnsite(l, n_channels, n_scalars, l_max) if axial else OnsiteHead(l, n_channels, n_scalars)

        def hopping(kind, *pair):
            if self.inputs[kind] == "tensors":
                return HoppingHead(*pair, n_channels, n_scalars, cutoff, taper, l_max, hidden=hidden, n_gated=n_gated)
            return AxialHopping(
                *pair, self.dressing.extra_sizes.get(self.inputs[kind], 0), cutoff, taper, hidden=hidden
            )

        self.onsite = nn.ModuleList(onsite(l, axial) for l, axial in zip(shells, self.axial))
        self.hopping = nn.ModuleDict(
            {
                f"{a}{b}_{kind}": hopping(kind, shells[a], shells[b], a == b)
                for a in range(n_species)
                for b in range(a, n_species)
                for kind in ("intra", "inter")
            }
        )

    def classes(self, graph: Graph):
        """(name, pair indices) of every class present; pairs must be ordered with species_i <= species_j."""
        n_species = len(self.shells)
        key = (graph.species[graph.pair_i] * n_species + graph.species[graph.pair_j]) * 2 + graph.pair_across
        for a in range(n_species):
            for b in range(a, n_species):
                for x, kind in enumerate(("intra", "inter")):
                    index = torch.nonzero(key == (a * n_species + b) * 2 + x).squeeze(1)
                    if len(index):
                        yield f"{a}{b}_{kind}", index

    def dress(self, graph: Graph, environment: Environment):
        """Node tensors (n, c, q) and node scalars (n, s), the RAERs and invariants that some head asks for after them."""
        return self.dressing(graph, environment, self.extra)

    def scalars_for(self, kind, scalars):
        """Those of the scalars that the heads of `kind` "intra", "inter" look at."""
        sizes = [self.n_scalars] + [self.dressing.extra_sizes[name] for name in self.extra]
        parts = dict(zip(["tensors", *self.extra], scalars.split(sizes, 1))) if scalars.shape[1] else {}
        return parts.get(self.inputs[kind], scalars[:, :0])

    def charges(self, graph, scalars):
        """Effective charges (n,) in e that move the potential of the slab, neutral in every configuration or layer."""
        raw = 0.1 * self.charge(scalars[:, : self.n_scalars], graph.species).squeeze(-1)
        return neutralised(raw, graph, self.neutral)

    def onsite_blocks(self, graph, tensors, scalars, potential=None):
        """Per species (atom indices, blocks (n_z, d, d)), d the number of orbitals.

        `potential` maps charges (n,) to the electrostatic potential (n,) in V; an electron's energy is minus that.
        """
        shift = None if potential is None or self.charge is None else -potential(self.charges(graph, scalars))
        out = []
        for z, head in enumerate(self.onsite):
            index = torch.nonzero(graph.species == z).squeeze(1)
            along = (graph.normal[index],) if getattr(head, "takes_normal", False) else ()
            blocks = head(tensors[index], scalars[index, : self.n_scalars], *along)
            if shift is not None:
                blocks = blocks + shift[index, None, None] * torch.eye(
                    blocks.shape[1], dtype=blocks.dtype, device=blocks.device
                )
            out.append((index, blocks))
        return out

    def hopping_blocks(self, graph, tensors, scalars, name, index, frames=None):
        """Blocks of one class for pairs `index`; `frames` of these bonds where they are known already."""
        i, j = graph.pair_i[index], graph.pair_j[index]
        if frames is None:
            frames = BondFrames(graph.pair_vector[index], self.l_max)
        take = lambda t, k: t.index_select(0, k)  # its backward is an index_add, far cheaper than that of t[k]
        scalars = self.scalars_for(name.split("_")[1], scalars)
        if self.inputs[name.split("_")[1]] != "tensors":
            tensors = tensors[:, :0]
        rows = tensors.transpose(1, 2).contiguous()  # (n, q, c): channels side by side in memory
        blocks = self.hopping[name](frames, take(rows, i), take(rows, j), take(scalars, i), take(scalars, j))
        axes = [
            axis_harmonics(graph.normal[k], self.shells[int(z)]) if self.axial[int(z)] else None
            for z, k in zip(name, (i, j))
        ]
        return contract(blocks, *axes)

    def forward(self, graph: Graph, environment: Environment, frames=None, potential=None):
        """On-site list and dict name -> (pair indices, blocks); `frames` optionally per class name.

        `potential` maps charges to the slab's potential (see `onsite_blocks`).

        In training mode `noise` times a unit normal is added to every atom's tensors and scalars: most cells of the data
        hold equal atoms only, which leaves the response to differing neighbours open; noise asks for the least one.
        """
        tensors, scalars = self.dress(graph, environment)
        if self.training and self.noise > 0:
            tensors = tensors + self.noise * torch.randn_like(tensors)
            scalars = scalars + self.noise * torch.randn_like(scalars)
        hopping = {
            name: (index, self.hopping_blocks(graph, tensors, scalars, name, index, frames and frames[name]))
            for name, index in self.classes(graph)
        }
        return self.onsite_blocks(graph, tensors, scalars, potential), hopping
