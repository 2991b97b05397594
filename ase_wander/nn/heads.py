"""The three Hamiltonian heads together: on-site, intra-layer and inter-layer blocks of all pairs of a Graph."""

from __future__ import annotations

import torch
from torch import nn

from .additive import AdditiveHopping
from .axial import AxialOnsite, axis_harmonics, contract, shell_degree
from .bond_frame import BondFrames
from .electrostatics import neutralised
from .environment import SpeciesLinear
from .forcefield import Environment
from .graph import Graph
from .hopping import HoppingHead
from .messages import Dressing
from .onsite import OnsiteHead
from .own_layer import LayerDressing
from .paths import Steps
from .radial import smooth_cutoff
from .two_center import AxialHopping, ConstantOnsite, Undressed

#: What a head may look at besides the distance. Hoppings: equivariant tensors and scalars of both atoms; their RAERs;
#: the raw invariants of their environments; nothing; inter-layer ones either end's own layer, additively, so that they
#: hold at every twist, and on top of that products along the paths through the facing atoms. On-site blocks: tensors
#: and scalars; nothing.
INPUTS = {
    "onsite_input": ("tensors", "constant"),
    "intra_input": ("tensors", "raer", "environment", "distance"),
    "inter_input": ("tensors", "paths", "additive", "raer", "environment", "distance"),
    "neutral": ("cell", "layer"),
}

#: Short pairs of paths per pass of their networks, see `model.wander.PAIRS_PER_PASS`.
STEPS_PER_PASS = 1024


class HamiltonianHeads(nn.Module):
    """Dressed atoms -> blocks.

    Parameters
    ----------
    shells : list of int or str
        l of the one shell of every species, or "pz", "dz2": one orbital along the local normal.
    n_radial, n_raer : int
        Radial functions and components of the RAER of the force field.
    cutoff, taper : float
        Å; hopping elements go smoothly to zero between taper and cutoff.
    l_max : int
        Highest degree of the atoms' tensors.
    n_channels, n_scalars, hidden, n_gated : int
        Sizes of dressing and networks.
    smearing : float
        Å, total width of the effective charges' interaction; 0 leaves the electrostatic part out.
    onsite_input, intra_input, inter_input : str
        See INPUTS.
    neutral : str
        What is neutral as a whole, "cell" or each "layer" of it, see `electrostatics.neutralised`.
    facing : list of int, optional
        Species through whose atoms paths lead from layer to layer; all by default.
    step_reach, jump_reach : float
        Å, longest steps inside a layer, and from one to the other, see `nn.paths`.
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
        facing=None,
        step_reach=6.0,
        jump_reach=6.2,
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
        self.n_scalars, self.n_channels = n_scalars, n_channels
        #: Channels of the own layer's tensors, and of the other layer's, in what inter-layer heads are told.
        self.n_other = n_channels // 4 if inter_input == "additive" else 0
        self.n_own = n_channels - self.n_other
        self.smearing, self.neutral = smearing, neutral
        self._build_dressings(n_radial, n_raer)
        self.steps = None
        if inter_input == "paths":
            facing = range(n_species) if facing is None else facing
            sizes = {"hidden": hidden // 2, "n_gated": n_gated // 2, "step_reach": step_reach, "jump_reach": jump_reach}
            self.steps = Steps(shells, facing, self.n_own, n_scalars, l_max, **sizes)
        self.charge = SpeciesLinear(n_species, n_scalars, 1) if smearing else None
        if smearing:
            nn.init.zeros_(self.charge.weight)
        self.onsite = nn.ModuleList(self._onsite_head(l, axial) for l, axial in zip(shells, self.axial))
        sizes = {"cutoff": cutoff, "taper": taper, "hidden": hidden, "n_gated": n_gated}
        self.hopping = nn.ModuleDict(
            {
                f"{a}{b}_{kind}": self._hopping_head(kind, shells[a], shells[b], a == b, **sizes)
                for a in range(n_species)
                for b in range(a, n_species)
                for kind in ("intra", "inter")
            }
        )

    def _build_dressings(self, n_radial, n_raer):
        """`dressing`, and `layer_dressing`: what atoms tell inter-layer heads of their own layer, tensors and scalars
        after those of `dressing`."""
        n_species, l_max, n_scalars = len(self.shells), self.l_max, self.n_scalars
        self.dressing = (
            Undressed(l_max)
            if self.bare
            else Dressing(n_species, n_radial, n_raer, l_max, self.n_channels, n_scalars=n_scalars)
        )
        self.layer_dressing = None
        if self.inputs["inter"] in ("additive", "paths"):
            self.layer_dressing = LayerDressing(n_species, n_radial, l_max, self.n_own, self.n_other, n_scalars)

    def _onsite_head(self, l, axial):
        """Head of the on-site blocks of a species."""
        if self.inputs["onsite"] == "constant":
            return ConstantOnsite(l, axial)
        if axial:
            return AxialOnsite(l, self.n_channels, self.n_scalars, self.l_max)
        return OnsiteHead(l, self.n_channels, self.n_scalars)

    def _hopping_head(self, kind, l1, l2, symmetric, cutoff, taper, hidden, n_gated):
        """Head of one class of pairs, `kind` "intra" or "inter"; `symmetric`: of equal species."""
        pair, seen = (l1, l2, symmetric), self.inputs[kind]
        if seen in ("additive", "paths"):
            sizes = {"hidden": hidden, "n_gated": n_gated, "n_bilinear": 2 * self.n_other}
            n_scalars = self.n_scalars + self.n_other
            return AdditiveHopping(*pair, self.n_own, self.n_other, n_scalars, cutoff, taper, self.l_max, **sizes)
        if seen == "tensors":
            sizes = {"hidden": hidden, "n_gated": n_gated}
            return HoppingHead(*pair, self.n_channels, self.n_scalars, cutoff, taper, self.l_max, **sizes)
        return AxialHopping(*pair, self.dressing.extra_sizes.get(seen, 0), cutoff, taper, hidden=hidden)

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
        """Node tensors (n, c, q) and node scalars (n, s), then the RAERs and invariants that some head needs."""
        tensors, scalars = self.dressing(graph, environment, self.extra)
        if self.layer_dressing is not None:
            own_tensors, own_scalars = self.layer_dressing(graph, environment)
            tensors, scalars = torch.cat([tensors, own_tensors], 1), torch.cat([scalars, own_scalars], 1)
        return tensors, scalars

    def tensors_for(self, kind, tensors):
        """Those of the tensors that the heads of `kind` "onsite", "intra", "inter" look at."""
        if self.inputs[kind] in ("additive", "paths"):
            return tensors[:, -self.n_channels :]
        return tensors[:, : self.n_channels] if self.inputs[kind] == "tensors" else tensors[:, :0]

    def scalars_for(self, kind, scalars):
        """Those of the scalars that the heads of `kind` "intra", "inter" look at."""
        names, sizes = ["tensors", *self.extra], self.dressing.extra_sizes | {"tensors": self.n_scalars}
        if self.layer_dressing is not None:
            own = self.inputs["inter"]
            names, sizes = [*names, own], sizes | {own: self.layer_dressing.n_scalars}
        parts = dict(zip(names, scalars.split([sizes[name] for name in names], 1))) if scalars.shape[1] else {}
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
            blocks = head(tensors[index, : self.n_channels], scalars[index, : self.n_scalars], *along)
            if shift is not None:
                blocks = blocks + shift[index, None, None] * torch.eye(
                    blocks.shape[1], dtype=blocks.dtype, device=blocks.device
                )
            out.append((index, blocks))
        return out

    def rows_for(self, kind, tensors):
        """Tensors of the heads of `kind` as rows (n, q, c), channels side by side in memory; the same for all pairs."""
        return self.tensors_for(kind, tensors).transpose(1, 2).contiguous()

    def hopping_blocks(self, graph, tensors, scalars, name, index, frames=None, products=None, rows=None):
        """Blocks of one class for pairs `index`.

        `frames` of these bonds, `products` of paths and `rows` where known already.
        """
        i, j, kind = graph.pair_i[index], graph.pair_j[index], name.split("_")[1]
        if frames is None:
            frames = BondFrames(graph.pair_vector[index], self.l_max)
        rows = self.rows_for(kind, tensors) if rows is None else rows
        blocks = self.pair_blocks(graph, self.hopping[name], rows, self.scalars_for(kind, scalars), i, j, frames)
        if products is not None and kind == "inter":
            fade = smooth_cutoff(frames.r, self.hopping[name].cutoff, self.hopping[name].taper)
            blocks = blocks + fade[:, None, None] * products[index, : blocks.shape[1], : blocks.shape[2]]
        return blocks

    def pair_blocks(self, graph, head, rows, scalars, i, j, frames):
        """Blocks of `head` for atoms i, j of one pair of species, axial orbitals contracted along the normals of
        their sites.
        """
        take = lambda t, k: t.index_select(0, k)  # its backward is an index_add, far cheaper than that of t[k]
        blocks = head(frames, take(rows, i), take(rows, j), take(scalars, i), take(scalars, j))
        axes = [
            axis_harmonics(graph.normal[k], self.shells[z]) if self.axial[z] else None
            for z, k in ((int(graph.species[i[0]]), i), (int(graph.species[j[0]]), j))
        ]
        return contract(blocks, *axes)

    def products(self, graph, tensors, scalars):
        """Products along the paths between layers for all pairs of the graph, (p, d, d) in eV, without the cutoff.

        None of heads without paths.
        """
        if self.steps is None or graph.paths is None:
            return None
        paths, steps, n_species = graph.paths, self.steps, len(self.sizes)
        rows, scalars = self.rows_for("inter", tensors), self.scalars_for("inter", scalars)
        d, f = max(self.sizes), max(self.sizes[s] for s in steps.facing)

        def blocks_of(i, j, vector, heads, d):
            """Blocks padded to (p, d, f)."""
            out = rows.new_zeros(len(i), d, f)
            key = graph.species[i] * n_species + graph.species[j]
            for k in torch.unique(key).tolist():
                a, b = divmod(k, n_species)
                for part in torch.nonzero(key == k).squeeze(1).split(STEPS_PER_PASS):
                    frames = BondFrames(vector[part], self.l_max)
                    blocks = self.pair_blocks(graph, heads(a, b), rows, scalars, i[part], j[part], frames)
                    padded = nn.functional.pad(blocks, (0, f - blocks.shape[2], 0, d - blocks.shape[1]))
                    out = out.index_add(0, part, padded)
            return out

        inside = blocks_of(paths.step_i, paths.step_j, paths.step_vector, lambda a, b: steps.blocks[f"{a}{b}"], d)
        between = blocks_of(
            paths.jump_i, paths.jump_j, paths.jump_vector, lambda a, b: self.hopping[f"{a}{b}_inter"], f
        )
        between = between * steps.taper(paths.jump_vector.square().sum(1).sqrt())[:, None, None]
        return steps.products(paths, inside, between, len(graph.pair_i))

    def dressings(self):
        """Parts with scales to fit, by name."""
        return {name: part for name, part in self.named_children() if hasattr(part, "fit")}

    def fit(self, graphs, environments, only=None):
        """Set the scales of the dressings, or of those that `only` names, from sample structures (lists of Graph and
        Environment)."""
        for name, part in self.dressings().items():
            if only is None or name in only:
                part.fit(graphs, environments)

    def forward(self, graph: Graph, environment: Environment, frames=None, potential=None):
        """On-site list and dict name -> (pair indices, blocks); `frames` optionally per class name.

        `potential` maps charges to the slab's potential (see `onsite_blocks`).

        In training mode `noise` times a unit normal is added to every atom's tensors and scalars: most cells of the
        data hold equal atoms only, which leaves the response to differing neighbours open; noise asks for the least
        one.
        """
        tensors, scalars = self.dress(graph, environment)
        if self.training and self.noise > 0:
            tensors = tensors + self.noise * torch.randn_like(tensors)
            scalars = scalars + self.noise * torch.randn_like(scalars)
        products = self.products(graph, tensors, scalars)
        hopping = {
            name: (index, self.hopping_blocks(graph, tensors, scalars, name, index, frames and frames[name], products))
            for name, index in self.classes(graph)
        }
        return self.onsite_blocks(graph, tensors, scalars, potential), hopping
