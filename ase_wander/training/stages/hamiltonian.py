"""Training of the Hamiltonian heads on elements, eigenvalues and band projections, with the force field frozen."""

from __future__ import annotations

import numpy as np
import torch

from ...data.dataset import SIGMA_MILD
from ...nn.bond_frame import BondFrames
from ...nn.environment import Geometry
from ...nn.forcefield import Environment
from ...nn.graph import collate
from .. import losses
from ..terms import with_defaults
from .samples import make_sample, thin
from .scales import fit_hopping_scale, fit_onsite_scale

#: Errors that a step reports, and the label that each needs.
LABEL_OF = {
    "H_meV": "hamiltonian",
    "onsite_meV": "hamiltonian",
    "eig_meV": "eigenvalues",
    "proj_meV": "states",
    "step_meV": "step",
}


class HamiltonianSamples:
    """Samples (see `make_sample`) of the configurations that have a Hamiltonian or bands, with their losses and errors.

    Parameters
    ----------
    weights : dict, optional
        Of the stage: with one on `projections` the reference states are computed.
    frozen : bool
        Whether the force field stays what it is, so that its descriptors are computed once.

    Attributes
    ----------
    pairs : float
        Share of the pairs whose hoppings `loss` looks at, see `loop.LoopSettings`.
    """

    pairs = 1.0

    def __init__(self, configurations, model, dtype=torch.float32, weights=None, frozen=True):
        self.model, self.frozen, weights = model, frozen, weights or {}
        self.samples = [
            make_sample(c, model, dtype, bool(weights.get("projections")))
            for c in configurations
            if c.has("hamiltonian") or c.has("eigenvalues")
        ]
        self.mean_size = np.mean([len(s.graph) for s in self.samples]) if self.samples else 1.0
        there = {
            "states": lambda s: s.states is not None,
            "step": lambda s: np.isfinite(s.step),
            "hamiltonian": lambda s: s.has["hamiltonian"],
            "eigenvalues": lambda s: s.has["eigenvalues"],
        }
        #: Share of the samples that have what an error needs.
        self.shares = {label: sum(map(has, self.samples)) / max(len(self.samples), 1) for label, has in there.items()}

    def __len__(self):
        return len(self.samples)

    def fit_normalisation(self, classes=None, parts=None):
        """Spread of the elements against distance per class, of the on-site tensors, and of the node invariants.

        `classes` names the classes of hoppings that need it, `parts` the dressings and on-site blocks ("onsite.0"),
        where everything else was taken from a trained model; None: all.
        """
        heads = self.model.heads
        fit_hopping_scale(heads, self.samples, classes)
        fit_onsite_scale(heads, self.samples, parts)
        if parts is None or parts & heads.dressings().keys():
            graphs = [s.graph for s in self.samples]
            heads.fit(graphs, [self.environment(g, [s]) for g, s in zip(graphs, self.samples)], parts)

    # ------------------------------------------------------------------ prediction
    def environment(self, graph, chosen):
        """Environment of collated samples, from what the force field said of each where it is frozen."""
        ff = self.model.force_field
        if not self.frozen:
            return ff.environment(graph)[0]
        geometry = Geometry(graph, ff.cutoff, ff.n_radial, max(ff.l_max, self.model.heads.l_max), ff.n_species)
        return Environment(geometry, torch.cat([s.raw for s in chosen]), torch.cat([s.raer for s in chosen]))

    def predict(self, chosen):
        """Blocks of several samples in one pass: (on-site blocks by species, hopping blocks, vacuum step in eV) of
        each.
        """
        heads = self.model.heads
        graph = collate([s.graph for s in chosen])
        environment = self.environment(graph, chosen)
        frames = {}
        for name in heads.hopping:
            found = [s.frames[name] for s in chosen if name in s.frames]
            if found:
                frames[name] = BondFrames.concatenate(found)
        potential, charges = None, []
        if heads.smearing:
            counts = [len(s.graph) for s in chosen]

            def potential(q):
                charges.extend(q.split(counts))
                return torch.cat([s.potential @ part for s, part in zip(chosen, charges)])

        onsite, hopping = heads(graph, environment, frames, potential)
        onsite = [blocks.split([len(s.onsite_places[z]) for s in chosen]) for z, (_, blocks) in enumerate(onsite)]
        hopping = {
            name: blocks.split([len(s.r.get(name, ())) for s in chosen]) for name, (_, blocks) in hopping.items()
        }
        steps = [s.slab.vacuum_step(q) for s, q in zip(chosen, charges)]
        return [
            (
                [o[k] for o in onsite],
                {name: b[k] for name, b in hopping.items() if len(b[k])},
                steps[k] if steps else None,
            )
            for k in range(len(chosen))
        ]

    @staticmethod
    def at_k(s, onsite, hopping):
        """H(k) (n_k, n_orbitals, n_orbitals) in eV at the k-points of a sample: sum_R e^(2 pi i k.R) H(R)."""
        n = s.n_orbitals
        flat = torch.zeros(s.n_shifts * n * n, dtype=s.cos.dtype)
        for name, blocks in hopping.items():
            forward, backward = s.places[name]
            flat = flat.index_add(0, forward.flatten(), blocks.flatten()).index_add(
                0, backward.flatten(), blocks.flatten()
            )
        for place, blocks in zip(s.onsite_places, onsite):
            flat = flat.index_add(0, place.flatten(), blocks.flatten())
        return losses.bloch_sum(flat.reshape(s.n_shifts, n, n), s.cos, s.sin)

    def eigenvalues(self, s, onsite, hopping):
        """Eigenvalues (n_k, n_orbitals) in eV at the k-points of a sample."""
        return torch.linalg.eigh(self.at_k(s, onsite, hopping))[0]

    def loss(self, indices, weights, batch=None):
        """Weighted mean over configurations of the terms of `losses` that they have labels for.

        `batch` holds the samples of all processes, of which `indices` are the share of this one: losses and terms of
        all shares add up to those of the batch.
        """
        weights = with_defaults("hamiltonian", weights)
        n_batch = len(indices if batch is None else batch)
        total, terms = 0.0, dict.fromkeys(LABEL_OF, 0.0)
        chosen = [self.samples[k] for k in indices]
        if self.pairs < 1:
            chosen = [thin(s, self.model.heads.classes(s.graph), self.pairs) for s in chosen]
        for s, (onsite, hopping, step) in zip(chosen, self.predict(chosen)):
            # a large cell holds more information, a strongly displaced one larger errors
            weight = s.weight * 2 * 0.03 / (0.03 + s.sigma) * len(s.graph) / self.mean_size / n_batch
            loss, errors = self._terms(s, onsite, hopping, step, weights)
            total = total + weight * loss
            for key, value in errors.items():
                # divided by the share that has the label, so that the mean over an epoch is that over all labels
                terms[key] += value / n_batch / self.shares[LABEL_OF[key]]
        return total, terms

    def _terms(self, s, onsite, hopping, step, weights):
        """Loss of one sample, and its errors in meV."""
        errors = {}
        loss = 0.0 * onsite[0].sum()
        if s.has["hamiltonian"]:
            sums, count, plain = 0.0, 0, 0.0
            for name, blocks in hopping.items():
                if name not in s.targets:
                    continue
                known = s.known.get(name, slice(None))
                e = blocks[known] - s.targets[name]
                scale = self.model.heads.hopping[name].scale(s.r[name][known])
                sums = sums + weights[name.split("_")[1]] * losses.element_loss(e, scale, weights["spread"])
                plain += e.detach().abs().sum().item()
                count += e.numel()
            d_on = torch.cat([(b - t).flatten() for b, t in zip(onsite, s.onsite)])
            loss = loss + sums / max(count, 1) + weights["onsite"] * losses.onsite_loss(d_on)
            errors["H_meV"], errors["onsite_meV"] = 1e3 * plain / max(count, 1), 1e3 * d_on.detach().abs().mean().item()
        if step is not None and np.isfinite(s.step) and weights["vacuum_step"]:
            loss = loss + weights["vacuum_step"] * losses.vacuum_step_loss(step - s.step).to(loss.dtype)
            errors["step_meV"] = 1e3 * abs(step.item() - s.step)
        bands = weights["eigenvalues"] and s.has["eigenvalues"]
        projections = weights["projections"] and s.states is not None
        if bands or projections:
            h = self.at_k(s, onsite, hopping)
            near, w = self.band_weights(s)
        if bands:
            d_eig = torch.linalg.eigh(h)[0] - s.eigenvalues
            loss = loss + losses.eigenvalue_loss(d_eig, w, weights["eigenvalues"])
            errors["eig_meV"] = 1e3 * d_eig.detach().abs()[near].mean().item()
        if projections:
            arguments = h, s.states, s.eigenvalues
            loss = loss + weights["projections"] * losses.projection_loss(
                *arguments, losses.band_importance(near), s.kweights
            )
            errors["proj_meV"] = self._projection_error(s, h.detach(), near)
        return loss, errors

    @staticmethod
    def _projection_error(s, h, near):
        """Root-mean-square error (meV) of the projections of the bands near the gap."""
        square = losses.projection_errors(h, s.states, s.eigenvalues, near.to(s.kweights))
        w = s.kweights * near.sum(1)
        return ((torch.nan_to_num(square) * w).sum() / w.sum()).sqrt().item() * 1e3

    def band_weights(self, s, window=1.0):
        """Which eigenvalues lie within `window` eV of the gap, and their weights: 1 there, else 0.2, times the k
        weight.
        """
        near = losses.band_window(s.eigenvalues, s.n_occupied, window)
        return near, losses.band_importance(near) * s.kweights[:, None]

    @torch.no_grad()
    def report(self, sigma_max=SIGMA_MILD, r_max=12.0):
        """Errors in meV over configurations with sigma up to `sigma_max`: elements within `r_max`, classes,
        eigenvalues, projections.

        What no configuration has is left out.
        """
        total, eig, by_class, inter, steps, projections = [0.0, 0], [0.0, 0.0], {}, [], [], []
        for s in self.samples:
            if s.sigma > sigma_max + 1e-9:
                continue
            ((onsite, hopping, step),) = self.predict([s])
            if step is not None and np.isfinite(s.step):
                steps.append(abs(step.item() - s.step))
            for name in [name for name in hopping if name in s.targets]:
                known = s.known.get(name, slice(None))
                near = s.r[name][known] < r_max
                e, t = (hopping[name][known] - s.targets[name])[near], s.targets[name][near]
                total[0] += 2 * e.abs().sum().item()
                total[1] += 2 * e.numel()
                entry = by_class.setdefault(name, [0.0, 0])
                entry[0] += e.abs().sum().item()
                entry[1] += e.numel()
                if name.endswith("inter"):
                    inter.append((e.flatten(), t.flatten()))
            on = by_class.setdefault("onsite", [0.0, 0]) if s.onsite else None
            for b, t in zip(onsite, s.onsite):
                for pool in (total, on):
                    pool[0] += (b - t).abs().sum().item()
                    pool[1] += t.numel()
            if len(s.eigenvalues):
                near, _ = self.band_weights(s)
                h = self.at_k(s, onsite, hopping)
                d = (torch.linalg.eigh(h)[0] - s.eigenvalues).abs()
                w = near * s.kweights[:, None]
                eig[0] += (d * w).sum().item() / w.sum().item()
                eig[1] += 1
                if s.states is not None:
                    projections.append(self._projection_error(s, h, near))
        out = {"elements": 1e3 * total[0] / total[1]} if total[1] else {}
        if eig[1]:
            out["eigenvalues"] = 1e3 * eig[0] / eig[1]
        if projections:
            out["projections"] = float(np.mean(projections))
        if steps:
            out["vacuum_step"] = 1e3 * float(np.mean(steps))
        if inter:
            e, t = torch.cat([x[0] for x in inter]), torch.cat([x[1] for x in inter])
            out["inter_R2"] = 1 - (e.square().sum() / (t - t.mean()).square().sum()).item()
        out.update({name: 1e3 * v[0] / v[1] for name, v in sorted(by_class.items()) if v[1]})
        return out
