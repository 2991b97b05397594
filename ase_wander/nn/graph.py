"""The tensors that describe one structure, or several, to the networks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from .paths import Paths, collate_paths


@dataclass
class Graph:
    """Neighbourhoods (padded) and orbital pairs of a batch of structures.

    Index legend: n atoms, k neighbour slots, p pairs, c configurations.

    Attributes
    ----------
    species : tensor of int, shape (n,)
        Index into the model's species.
    config : tensor of int, shape (n,)
        Configuration of every atom.
    n_configs : int
    neighbour : tensor of int, shape (n, k)
        Index of the neighbour; padding points to the atom itself.
    vector : tensor, shape (n, k, 3)
        From the atom to its neighbour, Å; padding lies beyond every cutoff.
    mask : tensor, shape (n, k)
        1 for a neighbour, 0 for padding.
    across : tensor of int, shape (n, k)
        0 for a neighbour in the same layer, 1 for one in another layer.
    tail_i, tail_j, tail_vector : tensor, shape (p,), (p,), (p, 3)
        One of every pair and its reverse, for the dispersion tail; Å.
    pair_i, pair_j : tensor of int, shape (p,)
        One of every pair and its reverse, for the Hamiltonian.
    pair_vector : tensor, shape (p, 3)
        From i to j, Å.
    pair_across : tensor of int, shape (p,)
        As `across`.
    normal : tensor, shape (n, 3)
        Unit normal of the layer at every atom, see `nn.axial`.
    position : tensor, shape (n, 3)
        Of one slab with the vacuum outside, Å.
    cell : tensor, shape (c, 3, 3)
        Å.
    layer : tensor of int, shape (n,)
        Layer of every atom within its configuration.
    paths : Paths, optional
        Products of short hoppings between layers, see `nn.paths.Paths`, where the heads ask for them.
    neighbour_species : tensor of int, shape (n, k), optional
        Species of the neighbours, in a part of a graph: `neighbour` points into the whole.
    """

    species: torch.Tensor
    config: torch.Tensor
    n_configs: int
    neighbour: torch.Tensor
    vector: torch.Tensor
    mask: torch.Tensor
    across: torch.Tensor
    tail_i: torch.Tensor
    tail_j: torch.Tensor
    tail_vector: torch.Tensor
    pair_i: torch.Tensor | None = None
    pair_j: torch.Tensor | None = None
    pair_vector: torch.Tensor | None = None
    pair_across: torch.Tensor | None = None
    normal: torch.Tensor | None = None
    position: torch.Tensor | None = None
    cell: torch.Tensor | None = None
    layer: torch.Tensor | None = None
    neighbour_species: torch.Tensor | None = None
    paths: Paths | None = None

    def __len__(self):
        return len(self.species)

    def species_around(self) -> torch.Tensor:
        """Species (n, k) of the neighbours; of padding, that of the atom itself."""
        return self.species[self.neighbour] if self.neighbour_species is None else self.neighbour_species

    def part(self, atoms: slice) -> Graph:
        """The neighbourhoods of some atoms: what densities, networks and repulsion look at, no pairs."""
        rows = {
            name: getattr(self, name)[atoms] for name in ("species", "config", "neighbour", "vector", "mask", "across")
        }
        none = {
            name: None
            for name in (
                "pair_i",
                "pair_j",
                "pair_vector",
                "pair_across",
                "normal",
                "position",
                "cell",
                "layer",
                "paths",
            )
        }
        none |= {name: getattr(self, name)[:0] for name in ("tail_i", "tail_j", "tail_vector")}
        return replace(self, **rows, **none, neighbour_species=self.species[rows["neighbour"]])

    def to(self, device=None, dtype=None):
        """Copy with float tensors in `dtype`, all on `device`."""

        def move(t):
            if isinstance(t, Paths):
                return t.to(device, dtype)
            if not torch.is_tensor(t):
                return t
            return t.to(device=device, dtype=dtype if t.is_floating_point() else None)

        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self)})


#: Where padding is put: farther than any cutoff, so that every basis function vanishes there.
FAR_AWAY = 1e3


def pad_neighbours(n_atoms: int, i, j, vector, across):
    """Turn an edge list sorted by i into padded slots: neighbour, vector, mask, across of `Graph`."""
    count = torch.bincount(i, minlength=n_atoms)
    width = max(int(count.max()) if len(i) else 0, 1)
    start = torch.cumsum(count, 0) - count
    slot = torch.arange(len(i)) - start[i]
    neighbour = torch.arange(n_atoms).unsqueeze(1).repeat(1, width)
    padded = torch.zeros(n_atoms, width, 3, dtype=vector.dtype)
    padded[..., 0] = FAR_AWAY
    mask = torch.zeros(n_atoms, width, dtype=vector.dtype)
    other = torch.zeros(n_atoms, width, dtype=torch.long)
    neighbour[i, slot], padded[i, slot], mask[i, slot], other[i, slot] = j, vector, 1.0, across
    return neighbour, padded, mask, other


def collate(graphs: list[Graph]) -> Graph:
    """One graph of several: atoms stacked, neighbour slots padded to the widest."""
    if len(graphs) == 1:
        return graphs[0]
    width = max(g.neighbour.shape[1] for g in graphs)
    offsets = torch.tensor([0] + [len(g) for g in graphs]).cumsum(0)[:-1].tolist()

    def widen(g, name, offset):
        t = getattr(g, name)
        missing = width - t.shape[1]
        if name == "neighbour":
            own = torch.arange(len(g)).unsqueeze(1).expand(-1, missing)
            return torch.cat([t, own], 1) + offset
        fill = torch.zeros((len(g), missing) + t.shape[2:], dtype=t.dtype)
        if name == "vector":
            fill[..., 0] = FAR_AWAY
        return torch.cat([t, fill], 1)

    out = {"n_configs": sum(g.n_configs for g in graphs)}
    out["species"] = torch.cat([g.species for g in graphs])
    config_offset = torch.tensor([0] + [g.n_configs for g in graphs]).cumsum(0)[:-1].tolist()
    out["config"] = torch.cat([g.config + c for g, c in zip(graphs, config_offset)])
    for name in ("neighbour", "vector", "mask", "across"):
        out[name] = torch.cat([widen(g, name, o) for g, o in zip(graphs, offsets)])
    for name in ("tail_i", "tail_j", "pair_i", "pair_j"):
        if getattr(graphs[0], name) is not None:
            out[name] = torch.cat([getattr(g, name) + o for g, o in zip(graphs, offsets)])
    for name in ("tail_vector", "pair_vector", "pair_across", "normal", "position", "cell", "layer"):
        if getattr(graphs[0], name) is not None:
            out[name] = torch.cat([getattr(g, name) for g in graphs])
    if graphs[0].paths is not None:
        counts = [len(g) for g in graphs], [len(g.pair_i) for g in graphs]
        out["paths"] = collate_paths([g.paths for g in graphs], *counts)
    return Graph(**out)
