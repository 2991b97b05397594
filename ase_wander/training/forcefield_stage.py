"""Training of the force field: energies, forces, stress and the net force on every layer."""

from __future__ import annotations

import numpy as np
import torch

from ..data.dataset import SIGMA_MILD
from ..graphs import build_graph
from ..nn.forcefield import energy_and_gradients
from ..nn.graph import collate


class ForceFieldSamples:
    """Graphs and labels of configurations, ready to batch.

    Labels: energy minus reference energies (eV), forces (n, 3) eV/Å, virial dE/d(strain) (3, 3) eV = stress x volume.
    """

    def __init__(self, configurations, model, dtype=torch.float32):
        self.model = model
        self.samples = []
        for c in configurations:
            graph = build_graph(c.atoms, c.layers, model.species, model.force_field.cutoff,
                                model.force_field.tail_cutoff).to(dtype=dtype)
            volume = c.atoms.get_volume()
            stress = c.atoms.get_stress(voigt=False) if "stress" in c.results else np.full((3, 3), np.nan)
            self.samples.append(dict(
                graph=graph, name=c.name, sigma=c.assumed_sigma,
                energy=torch.tensor(c.label("energy"), dtype=torch.float64),
                forces=torch.tensor(c.label("forces"), dtype=dtype),
                virial=torch.tensor(volume * stress, dtype=dtype),
                layer=torch.tensor(c.layers)))

    def __len__(self):
        return len(self.samples)

    def fit_reference(self):
        """Reference energies per species (eV), the least-norm solution of counts . reference = energies in the mean square.

        What is left of the energies is for the network: cohesion that the composition does not fix.
        """
        n_species = len(self.model.species)
        counts = torch.stack([torch.bincount(s["graph"].species, minlength=n_species) for s in self.samples]).double()
        energies = torch.stack([s["energy"] for s in self.samples])
        solution = torch.linalg.pinv(counts, rtol=1e-8) @ energies
        self.model.force_field.reference_energy.copy_(solution)

    @torch.no_grad()
    def fit_contacts(self, margin=0.95):
        """Walls of the repulsion at `margin` of the shortest distance of every class of pairs; none for a class that does not come."""
        ff = self.model.force_field
        shortest = torch.full_like(ff.contact, torch.inf)
        for s in self.samples:
            g = s["graph"]
            r = g.vector.norm(dim=-1)
            index = (g.species.unsqueeze(1).expand_as(g.neighbour), g.species[g.neighbour], g.across)
            flat = torch.stack([i.flatten() for i in index])[:, g.mask.flatten() > 0]
            place = (flat[0] * len(shortest) + flat[1]) * 2 + flat[2]
            shortest.view(-1).scatter_reduce_(0, place, r.flatten()[g.mask.flatten() > 0].to(shortest), "amin")
        ff.contact.copy_(torch.where(shortest.isfinite(), margin * shortest, 0.0))

    @torch.no_grad()
    def fit_normalisation(self):
        """Mean and spread of the invariants per species over all atoms."""
        ff = self.model.force_field
        from ..nn.environment import Density, Geometry
        rows, species = [], []
        for s in self.samples:
            geometry = Geometry(s["graph"], ff.cutoff, ff.n_radial, ff.l_max, ff.n_species)
            rows.append(ff.invariants(Density.raw(geometry), s["graph"].species))
            species.append(s["graph"].species)
        rows, species = torch.cat(rows), torch.cat(species)
        for z in range(ff.n_species):
            ff.mean[z] = rows[species == z].mean(0)
            ff.inverse_std[z] = 1 / rows[species == z].std(0).clamp(min=1e-4)

    def predict(self, indices, create_graph=False):
        """Energies (c,), forces (n, 3), virials (c, 3, 3) without reference energies."""
        graph = collate([self.samples[k]["graph"] for k in indices])
        energies, forces, virial, _ = energy_and_gradients(self.model.force_field, graph, create_graph)
        energies = energies - self.model.force_field.reference_energy[graph.species]
        total = torch.zeros(graph.n_configs, dtype=energies.dtype).index_add(0, graph.config, energies)
        return graph, total, forces, virial

    def errors(self, indices, create_graph=False):
        """Differences to the labels: energy per atom (c,), forces (n, 3), virial per atom (c, 3, 3), layer forces."""
        graph, energy, forces, virial = self.predict(indices, create_graph)
        chosen = [self.samples[k] for k in indices]
        n_atoms = torch.bincount(graph.config, minlength=graph.n_configs).to(energy)
        reference = self.model.force_field.reference_energy.double()
        label = torch.stack([s["energy"] - reference[s["graph"].species].sum() for s in chosen]).to(energy)
        d_energy = (energy - label) / n_atoms
        d_forces = forces - torch.cat([s["forces"] for s in chosen])
        d_virial = (virial - torch.stack([s["virial"] for s in chosen])) / n_atoms[:, None, None]
        n_layers = 1 + max(int(s["layer"].max()) for s in chosen)
        layer = torch.cat([s["layer"] for s in chosen]) + n_layers * graph.config
        d_layer = torch.zeros(n_layers * graph.n_configs, 3, dtype=forces.dtype).index_add(0, layer, d_forces)
        atoms_in_layer = torch.bincount(layer, minlength=len(d_layer)).clamp(min=1)
        d_layer = d_layer / (atoms_in_layer[:, None] / 3)
        several = torch.tensor([int(s["layer"].max()) > 0 for s in chosen])
        return graph, d_energy, d_forces, torch.nan_to_num(d_virial), d_layer.reshape(graph.n_configs, n_layers, 3), several

    def loss(self, indices, weights, batch=None):
        """Weighted robust errors; strongly displaced configurations (sigma) count less, as their errors are larger.

        `batch` holds the samples of all processes, of which `indices` are the share of this one: losses and terms of all
        shares add up to those of the batch.
        """
        graph, d_energy, d_forces, d_virial, d_layer, several = self.errors(indices, create_graph=True)
        batch = indices if batch is None else batch
        weight = {k: 0.03 / (0.03 + self.samples[k]["sigma"]) for k in batch}
        total = sum(weight.values())
        total_atoms = sum(w * len(self.samples[k]["graph"]) for k, w in weight.items())
        weight = torch.tensor([weight[k] for k in indices], dtype=d_energy.dtype)

        def robust(x, scale, dims):  # quadratic below `scale`, linear above
            return (x.square().sum(dims) + scale ** 2).sqrt() - scale

        energy = (weight * robust(d_energy[:, None], 2e-4, 1)).sum() / total
        force = (weight[graph.config] * robust(d_forces, 2e-3, 1)).sum() / total_atoms
        virial = (weight * robust(d_virial, 2e-3, (1, 2))).sum() / total
        layer = (weight * robust(d_layer[:, 0, :2], 1e-3, 1) * several).sum() / total
        loss = (weights["energy"] * energy + weights["forces"] * force + weights["stress"] * virial
                + weights["layer"] * layer) * 100
        n_components = 3 * sum(len(self.samples[k]["graph"]) for k in batch)
        return loss, {"energy_meV": 1e3 * d_energy.detach().abs().sum().item() / len(batch),
                      "force_meV": 1e3 * d_forces.detach().abs().sum().item() / n_components}

    def report(self, sigma_max=SIGMA_MILD):
        """Errors in meV over the configurations with sigma up to `sigma_max` and over all; what has no configuration is left out."""
        rows = []
        for k, s in enumerate(self.samples):
            _, e, f, v, layer, several = self.errors([k])
            rows.append((s["sigma"], e.abs().item(), f.detach().abs().mean().item(), len(f), v.abs().mean().item(),
                         layer[0, 0, :2].abs().mean().item() if several[0] else np.nan))
        rows = 1e3 * np.array(rows)
        mild, rigid = rows[:, 0] <= 1e3 * sigma_max + 1e-6, rows[:, 0] == 0
        weighted = lambda m: float((rows[m, 2] * rows[m, 3]).sum() / rows[m, 3].sum())
        out = {"force": weighted(mild)} if mild.any() else {}
        out["force_all"] = weighted(rows[:, 0] >= 0)
        if mild.any():
            out |= {"energy": float(rows[mild, 1].mean()), "virial": float(rows[mild, 4].mean())}
        if np.isfinite(rows[rigid, 5]).any():
            out["layer_force"] = float(np.nanmean(rows[rigid, 5]))
        return out
