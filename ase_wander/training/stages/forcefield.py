"""Training of the force field: energies, forces, stress and the net force on every layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...data.dataset import SIGMA_MILD
from ...model.graphs import build_graph
from ...nn.constant import ConstantParts
from ...nn.forcefield import energy_and_gradients
from ...nn.graph import Graph, collate
from ..losses import energy_loss, force_loss, layer_loss, stress_loss
from ..settings import CACHE
from ..terms import with_defaults
from . import constant


@dataclass
class ForceFieldSample:
    """Graph and labels of one configuration; nan where it has no label, which the terms that need it leave out.

    Attributes
    ----------
    name : str
    sigma : float
        Random displacement of the configuration, Å.
    weight : float
        Factor in every loss.
    graph : Graph
    has : dict of str to bool
        By label: energy, forces, stress.
    energy : tensor
        eV, float64, with the reference energies in it.
    forces : tensor, shape (n, 3)
        eV/Å.
    virial : tensor, shape (3, 3)
        dE/d(strain) = stress x volume, eV.
    layer : tensor of int, shape (n,)
        Layer of every atom.
    constant : ConstantParts, optional
        What of the force field does not depend on its weights, once it was needed.
    """

    graph: Graph
    name: str
    sigma: float
    weight: float
    has: dict[str, bool]
    energy: torch.Tensor
    forces: torch.Tensor
    virial: torch.Tensor
    layer: torch.Tensor
    constant: ConstantParts | None = None


class ForceFieldSamples:
    """Graphs and labels of configurations, ready to batch.

    Attributes
    ----------
    cache : float
        Memory (MB) for what of all samples does not depend on weights, see `nn.constant`; where it does not suffice, or
        is 0, that is computed anew at every step.
    """

    cache = CACHE

    def __init__(self, configurations, model, dtype=torch.float32):
        self.model = model
        self.samples = []
        for c in configurations:
            graph = build_graph(
                c.atoms, c.layers, model.species, model.force_field.cutoff, model.force_field.tail_cutoff
            ).to(dtype=dtype)
            has = {label: c.has(label) for label in ("energy", "forces", "stress")}
            virial = (
                c.atoms.get_volume() * c.atoms.get_stress(voigt=False) if has["stress"] else np.full((3, 3), np.nan)
            )
            self.samples.append(
                ForceFieldSample(
                    graph=graph,
                    name=c.name,
                    sigma=c.assumed_sigma,
                    weight=c.weight,
                    has=has,
                    energy=torch.tensor(c.results.get("energy", np.nan), dtype=torch.float64),
                    forces=torch.tensor(
                        c.results["forces"] if has["forces"] else np.full((len(c.atoms), 3), np.nan), dtype=dtype
                    ),
                    virial=torch.tensor(virial, dtype=dtype),
                    layer=torch.tensor(c.layers),
                )
            )
        n_atoms = lambda label: sum(len(s.graph) for s in self.samples if s.has[label])
        #: Shares of the configurations that have an energy, and of the atoms that have a force.
        self.with_energy = sum(s.has["energy"] for s in self.samples) / max(len(self.samples), 1)
        self.with_forces = n_atoms("forces") / max(sum(len(s.graph) for s in self.samples), 1)

    def __len__(self):
        return len(self.samples)

    def fit_reference(self):
        """Reference energies per species (eV): least-norm least-squares solution of counts . reference = energies.

        What is left of the energies is for the network: cohesion that the composition does not fix.
        """
        n_species, known = len(self.model.species), [s for s in self.samples if s.has["energy"]]
        if not known:
            return
        counts = torch.stack([torch.bincount(s.graph.species, minlength=n_species) for s in known]).double()
        energies = torch.stack([s.energy for s in known])
        solution = torch.linalg.pinv(counts, rtol=1e-8) @ energies
        self.model.force_field.reference_energy.copy_(solution)

    @torch.no_grad()
    def fit_contacts(self, margin=0.95, keep=False):
        """Walls of the repulsion at `margin` of the shortest distance of every class of pairs.

        None for a class that does not come. With `keep` the walls that are there stay, or move to shorter distances:
        those of the data of the model that training started from.
        """
        ff = self.model.force_field
        shortest = torch.full_like(ff.contact, torch.inf)
        for s in self.samples:
            g = s.graph
            r = g.vector.norm(dim=-1)
            index = (g.species.unsqueeze(1).expand_as(g.neighbour), g.species[g.neighbour], g.across)
            flat = torch.stack([i.flatten() for i in index])[:, g.mask.flatten() > 0]
            place = (flat[0] * len(shortest) + flat[1]) * 2 + flat[2]
            shortest.view(-1).scatter_reduce_(0, place, r.flatten()[g.mask.flatten() > 0].to(shortest), "amin")
        walls = torch.where(shortest.isfinite(), margin * shortest, 0.0)
        if keep:
            there = ff.contact > 0
            walls = torch.where(
                there & (walls > 0), torch.minimum(ff.contact, walls), torch.where(there, ff.contact, walls)
            )
        ff.contact.copy_(walls)
        for s in self.samples:
            s.constant = None

    @torch.no_grad()
    def fit_normalisation(self):
        """Mean and spread of the invariants per species over all atoms."""
        ff = self.model.force_field
        from ...nn.environment import Density, Geometry

        rows, species = [], []
        for s in self.samples:
            geometry = Geometry(s.graph, ff.cutoff, ff.n_radial, ff.l_max, ff.n_species)
            rows.append(ff.invariants(Density.raw(geometry), s.graph.species))
            species.append(s.graph.species)
        rows, species = torch.cat(rows), torch.cat(species)
        for z in range(ff.n_species):
            if (species == z).sum() < 2:
                continue
            ff.mean[z] = rows[species == z].mean(0)
            ff.inverse_std[z] = 1 / rows[species == z].std(0).clamp(min=1e-4)

    def predict(self, indices, create_graph=False):
        """Energies (c,), forces (n, 3), virials (c, 3, 3) without reference energies."""
        ff, chosen = self.model.force_field, [self.samples[k] for k in indices]
        if constant.fits(ff, self.samples, self.cache):
            return constant.predict(ff, chosen, create_graph)
        graph = collate([s.graph for s in chosen])
        energies, forces, virial, _ = energy_and_gradients(ff, graph, create_graph)
        energies = energies - ff.reference_energy[graph.species]
        total = torch.zeros(graph.n_configs, dtype=energies.dtype).index_add(0, graph.config, energies)
        return total, forces, virial

    def errors(self, indices, create_graph=False):
        """Differences to the labels, zero where there is none.

        Returns
        -------
        config : tensor of int, shape (n,)
            Sample of every atom.
        errors : dict of str to tensor
            `energy` (c,) and `virial` (c, 3, 3), eV per atom; `forces` (n, 3), eV/Å; `layer` (c, layers, 3), the net
            force on every layer per three atoms, eV/Å; `has`, bool (c,) by label, where `layer` stands for forces on
            several layers.
        """
        energy, forces, virial = self.predict(indices, create_graph)
        chosen = [self.samples[k] for k in indices]
        config = constant.configs(chosen)
        has = {label: torch.tensor([s.has[label] for s in chosen]) for label in ("energy", "forces", "stress")}
        n_atoms = torch.bincount(config, minlength=len(chosen)).to(energy)
        reference = self.model.force_field.reference_energy.double()
        label = torch.stack([s.energy - reference[s.graph.species].sum() for s in chosen]).to(energy)
        known = lambda name, x: torch.where(has[name].reshape(-1, *[1] * (x.dim() - 1)), x, 0.0)
        d_energy = known("energy", (energy - label) / n_atoms)
        d_forces = torch.where(has["forces"][config, None], forces - torch.cat([s.forces for s in chosen]), 0.0)
        d_virial = known("stress", (virial - torch.stack([s.virial for s in chosen])) / n_atoms[:, None, None])
        n_layers = 1 + max(int(s.layer.max()) for s in chosen)
        layer = torch.cat([s.layer for s in chosen]) + n_layers * config
        d_layer = torch.zeros(n_layers * len(chosen), 3, dtype=forces.dtype).index_add(0, layer, d_forces)
        atoms_in_layer = torch.bincount(layer, minlength=len(d_layer)).clamp(min=1)
        d_layer = d_layer / (atoms_in_layer[:, None] / 3)
        has["layer"] = has["forces"] & torch.tensor([int(s.layer.max()) > 0 for s in chosen])
        return config, {
            "energy": d_energy,
            "forces": d_forces,
            "virial": d_virial,
            "has": has,
            "layer": d_layer.reshape(len(chosen), n_layers, 3),
        }

    def loss(self, indices, weights, batch=None):
        """Weighted robust errors; strongly displaced configurations (sigma) count less, as their errors are larger.

        `batch` holds the samples of all processes, of which `indices` are the share of this one: losses and terms of
        all shares add up to those of the batch. Every term is a mean over the samples of the batch that have its label.
        """
        weights = with_defaults("forcefield", weights)
        config, error = self.errors(indices, create_graph=True)
        batch = indices if batch is None else batch
        weight = {k: self.samples[k].weight * 0.03 / (0.03 + self.samples[k].sigma) for k in batch}
        # means over nothing are zero
        total = lambda label, size=lambda k: 1: (
            sum(w * size(k) for k, w in weight.items() if self.samples[k].has[label]) or 1.0
        )
        weight_of = lambda label: own * error["has"][label]
        own = torch.tensor([weight[k] for k in indices], dtype=error["energy"].dtype)
        energy = energy_loss(error["energy"], weight_of("energy")) / total("energy")
        force = force_loss(error["forces"], weight_of("forces")[config]) / total(
            "forces", lambda k: len(self.samples[k].graph)
        )
        virial = stress_loss(error["virial"], weight_of("stress")) / total("stress")
        layer = layer_loss(error["layer"], weight_of("layer")) / total("forces")
        loss = (
            weights["energy"] * energy
            + weights["forces"] * force
            + weights["stress"] * virial
            + weights["layer"] * layer
        ) * 100
        # Divided by what a batch holds on average, so that the mean over an epoch is that over all labels.
        terms = {}
        if self.with_energy:
            terms["energy_meV"] = 1e3 * error["energy"].detach().abs().sum().item() / (len(batch) * self.with_energy)
        if self.with_forces:
            n_components = 3 * sum(len(self.samples[k].graph) for k in batch) * self.with_forces
            terms["force_meV"] = 1e3 * error["forces"].detach().abs().sum().item() / n_components
        return loss, terms

    def report(self, sigma_max=SIGMA_MILD):
        """Errors in meV over the configurations with sigma up to `sigma_max` and over all.

        What has no configuration is left out.
        """
        rows = []
        for k, s in enumerate(self.samples):
            _, error = self.errors([k])
            known = lambda label, x: x.detach().abs().mean().item() if error["has"][label][0] else np.nan
            rows.append(
                (
                    s.sigma,
                    known("energy", error["energy"]),
                    known("forces", error["forces"]),
                    len(s.graph),
                    known("stress", error["virial"]),
                    known("layer", error["layer"][0, 0, :2]),
                )
            )
        rows = 1e3 * np.array(rows)
        mild, rigid = rows[:, 0] <= 1e3 * sigma_max + 1e-6, rows[:, 0] == 0
        forces = np.isfinite(rows[:, 2])
        out = {}
        for key, m in (("force", mild & forces), ("force_all", forces)):
            if m.any():
                out[key] = float((rows[m, 2] * rows[m, 3]).sum() / rows[m, 3].sum())
        for key, column, m in (("energy", 1, mild), ("virial", 4, mild), ("layer_force", 5, rigid)):
            if np.isfinite(rows[m, column]).any():
                out[key] = float(np.nanmean(rows[m, column]))
        return out
