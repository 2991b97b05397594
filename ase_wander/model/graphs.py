"""From ASE's Atoms to the networks' Graph: the only place where the two meet."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers

from ..nn.axial import local_normals
from ..nn.graph import Graph, pad_neighbours
from ..structure import neighbour_pairs, plane_normal, standing_positions


def species_index(atoms: Atoms, species) -> np.ndarray:
    """Index of every atom into `species` (chemical symbols); ValueError naming an atom that is not among them."""
    lookup = np.full(120, -1)
    lookup[[atomic_numbers[s] for s in species]] = np.arange(len(species))
    index = lookup[atoms.numbers]
    unknown = np.flatnonzero(index < 0)
    if len(unknown):
        k = unknown[0]
        raise ValueError(f"atom {k} is {atoms.symbols[k]}, but this model knows only {', '.join(species)}")
    return index


def build_graph(atoms: Atoms, layers: np.ndarray, species, cutoff: float, tail_cutoff: float) -> Graph:
    """Neighbourhoods of one structure for the force field (float64, CPU), without Hamiltonian pairs."""
    pairs = neighbour_pairs(atoms, max(cutoff, tail_cutoff))
    near = pairs.select(pairs.distance < cutoff)
    far = pairs.select(pairs.distance < tail_cutoff).half()
    t = torch.from_numpy
    across = t((layers[near.i] != layers[near.j]).astype(np.int64))
    padded = pad_neighbours(len(atoms), t(near.i), t(near.j), t(near.vector), across)
    return Graph(
        t(species_index(atoms, species)),
        torch.zeros(len(atoms), dtype=torch.long),
        1,
        *padded,
        t(far.i),
        t(far.j),
        t(far.vector),
        normal=local_normals(*padded[1:], t(plane_normal(atoms))),
        position=t(standing_positions(atoms).copy()),
        cell=t(atoms.cell.array.copy()).unsqueeze(0),
        layer=t(np.array(layers, np.int64)),
    )
