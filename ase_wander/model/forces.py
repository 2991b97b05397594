"""Energy, forces and virial of one structure by the fastest way that its model and machine allow.

Own force field on a CPU: the compiled loops. Otherwise torch: in parts where the force field is local, whole where
messages pass from atom to atom, or where the model is being trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..nn.forcefield import energy_and_gradients
from ..nn.fused import ATOMS_PER_PART, FusedForceField, library
from ..nn.parts import coulomb_gradients, gradients_by_parts
from ..nn.rows import PlacedRows
from ..nn.uncertainty import features, nearest_distances, neighbour_distances
from ..structure import slab_cell, standing_positions
from .graphs import species_index
from .neighbours import SkinList


@dataclass
class Found:
    """What one pass finds.

    energies : (n,) eV; forces : (n, 3) eV/Å; virial : (3, 3) eV
    outside : bool (n,), atoms outside the training data; None for a model that cannot tell
    """

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    outside: np.ndarray | None = None


class ForcePass:
    """Forces of a model, structure after structure: keeps the prepared weights and the last list of neighbours.

    Both are replaced whole, never changed, so that threads may share a model.
    """

    def __init__(self):
        self._fused = (None, None)  # (state of the weights, FusedForceField)
        self._list = None

    def __call__(self, model, atoms, layers) -> Found:
        if model.training or library(model.force_field) is None:
            return by_torch(model, atoms, layers)
        return by_loops(model, atoms, np.asarray(layers), self)

    def neighbours(self, lib, atoms, cutoff) -> SkinList:
        """The last list, where it still serves; otherwise a new one."""
        last = self._list
        if last is None or not last.serves(atoms, cutoff):
            self._list = last = SkinList(lib, atoms, cutoff)
        return last

    def prepared(self, force_field) -> FusedForceField:
        """The weights as they are now."""
        tensors = [*force_field.parameters(), *force_field.buffers()]
        state = [(t.data_ptr(), t._version, t.dtype) for t in tensors]
        last = self._fused
        if last[0] != state:
            with torch.no_grad():
                self._fused = last = (state, FusedForceField(force_field))
        return last[1]

    def __reduce__(self):
        return ForcePass, ()  # copies and pickles begin again


@torch.no_grad()
def by_loops(model, atoms, layers, kept: ForcePass | None = None) -> Found:
    """Forces by the compiled loops; `kept` is where a list of neighbours and weights may be from."""
    kept, ff, lib = kept or ForcePass(), model.force_field, library(model.force_field)
    fused, species = kept.prepared(ff), species_index(atoms, model.species)
    rows = kept.neighbours(lib, atoms, max(ff.cutoff, ff.tail_cutoff)).rows
    rows = PlacedRows(rows, atoms.positions, slab_cell(atoms), species, layers)
    energies, forces, virial, nearest = fused.pair_energies(lib, rows)
    parts = [
        (z, part)
        for z in range(ff.n_species)
        for part in torch.from_numpy(np.flatnonzero(species == z)).split(ATOMS_PER_PART)
        if len(part)
    ]
    pull = None
    if ff.smearing:
        raer = torch.empty(len(atoms), ff.n_raer, dtype=fused.dtype)
        for z, part in parts:
            raer[part] = fused.forward(lib, rows, z, part)["raer"]
        with torch.enable_grad():
            *more, pull = coulomb_gradients(ff, _charged_graph(model, atoms, layers, species), raer)
        energies, forces, virial = energies + more[0].double(), forces + more[1].double(), virial + more[2][0].double()
    far = np.empty(len(atoms))
    for z, part in parts:
        found = fused.forward(lib, rows, z, part)
        energies[part] += fused.scale * found["energy"].double()
        fused.backward(lib, rows, z, part, found, forces, virial, None if pull is None else pull[part])
        if model.trust is not None:
            far[part.numpy()] = model.trust.blunt_distances(species[part.numpy()], fused.features(found))
    outside = None if model.trust is None else model.trust.outside(species, far, nearest.numpy())
    return Found(energies.numpy(), forces.numpy(), 0.5 * (virial + virial.T).numpy(), outside)


def by_torch(model, atoms, layers) -> Found:
    """Forces by torch, on any device and of any force field."""
    ff = model.force_field
    # forces are gradients, even if the caller has switched them off
    with torch.inference_mode(False), torch.enable_grad():
        graph = model.graph(atoms, layers)
        gradients = gradients_by_parts if ff.local and not model.training else energy_and_gradients
        energies, forces, virial, environment = gradients(ff, graph)
    to_numpy = lambda t: t.detach().cpu().numpy().astype(float)
    outside = None
    if model.trust is not None:
        species = graph.species.cpu().numpy()
        blunt = model.trust.blunt_distances(species, features(environment))
        nearest = nearest_distances(graph, neighbour_distances(graph), ff.n_species)
        outside = model.trust.outside(species, blunt, nearest)
    return Found(to_numpy(energies), to_numpy(forces), to_numpy(virial[0]), outside)


def _charged_graph(model, atoms, layers, species):
    """A graph with what the electrostatic energy looks at, and no neighbours."""
    from ..nn.graph import Graph

    none, long = torch.zeros(0), torch.zeros(len(atoms), 0, dtype=torch.long)
    return Graph(
        torch.from_numpy(species),
        torch.zeros(len(atoms), dtype=torch.long),
        1,
        *(long, none, none, long, long, long, none),
        position=torch.from_numpy(standing_positions(atoms).copy()),
        cell=torch.from_numpy(atoms.cell.array.copy()).unsqueeze(0),
        layer=torch.from_numpy(np.array(layers, np.int64)),
    ).to(dtype=model.dtype)
