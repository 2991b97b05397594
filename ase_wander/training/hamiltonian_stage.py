"""Training of the Hamiltonian heads on elements and on eigenvalues, with the force field frozen."""

from __future__ import annotations

import numpy as np
import torch

from ..data.dataset import SIGMA_MILD
from ..nn.alignment import BondFrames
from ..nn.environment import Geometry
from ..nn.forcefield import Environment
from ..nn.graph import collate
from .hamiltonian_samples import fit_hopping_scale, fit_onsite_scale, make_sample

MEV = 1e-3  # eV


class HamiltonianSamples:
    """Samples (see `make_sample`) of the configurations that have a Hamiltonian, with their losses and errors."""

    def __init__(self, configurations, model, dtype=torch.float32):
        self.model = model
        self.samples = [make_sample(c, model, dtype) for c in configurations if c.hamiltonian is not None]
        self.mean_size = np.mean([len(s["graph"]) for s in self.samples]) if self.samples else 1.0

    def __len__(self):
        return len(self.samples)

    def fit_normalisation(self):
        """Spread of the elements against distance per class, of the on-site tensors, and of the node invariants."""
        heads = self.model.heads
        fit_hopping_scale(heads, self.samples)
        fit_onsite_scale(heads, self.samples)
        graphs = [s["graph"] for s in self.samples]
        heads.dressing.fit(graphs, [self.environment(g, [s]) for g, s in zip(graphs, self.samples)])

    # ------------------------------------------------------------------ prediction
    def environment(self, graph, chosen):
        """Environment of collated samples from what the frozen force field said of each."""
        ff = self.model.force_field
        geometry = Geometry(graph, ff.cutoff, ff.n_radial, ff.l_max, ff.n_species)
        return Environment(geometry, torch.cat([s["raw"] for s in chosen]), torch.cat([s["raer"] for s in chosen]))

    def predict(self, indices):
        """Blocks of several samples in one pass: a list of (on-site blocks by species, dict of hopping blocks,
        vacuum step in eV)."""
        heads, chosen = self.model.heads, [self.samples[k] for k in indices]
        graph = collate([s["graph"] for s in chosen])
        environment = self.environment(graph, chosen)
        frames = {}
        for name in heads.hopping:
            found = [s["frames"][name] for s in chosen if name in s["frames"]]
            if found:
                frames[name] = BondFrames.concatenate(found)
        potential, charges = None, []
        if heads.smearing:
            counts = [len(s["graph"]) for s in chosen]

            def potential(q):
                charges.extend(q.split(counts))
                return torch.cat([s["potential"] @ part for s, part in zip(chosen, charges)])

        onsite, hopping = heads(graph, environment, frames, potential)
        onsite = [blocks.split([len(s["onsite"][z]) for s in chosen]) for z, (_, blocks) in enumerate(onsite)]
        hopping = {name: blocks.split([len(s["r"].get(name, ())) for s in chosen]) for name, (_, blocks) in hopping.items()}
        steps = [s["slab"].vacuum_step(q) for s, q in zip(chosen, charges)]
        return [([o[k] for o in onsite], {name: b[k] for name, b in hopping.items() if len(b[k])},
                 steps[k] if steps else None) for k in range(len(chosen))]

    def eigenvalues(self, k, onsite, hopping):
        """Eigenvalues (n_k, n_orbitals) in eV at the k-points of sample k: H(k) = sum_R e^(2 pi i k.R) H(R)."""
        s = self.samples[k]
        n = s["n_orbitals"]
        flat = torch.zeros(s["n_shifts"] * n * n, dtype=s["cos"].dtype)
        for name, blocks in hopping.items():
            forward, backward = s["places"][name]
            flat = flat.index_add(0, forward.flatten(), blocks.flatten()).index_add(0, backward.flatten(), blocks.flatten())
        for place, blocks in zip(s["onsite_places"], onsite):
            flat = flat.index_add(0, place.flatten(), blocks.flatten())
        real_space = flat.reshape(s["n_shifts"], n * n)
        h_k = torch.complex(s["cos"] @ real_space, s["sin"] @ real_space).reshape(-1, n, n)
        return torch.linalg.eigh(h_k)[0]

    def band_weights(self, s, window=1.0):
        """Weight of every reference eigenvalue: 1 within `window` eV of the gap, 0.2 elsewhere, times the k weight."""
        e = s["eigenvalues"]
        top, bottom = e[:, s["n_occupied"] - 1].max(), e[:, s["n_occupied"]].min()
        near = (e > top - window) & (e < bottom + window)
        return near, (0.2 + 0.8 * near) * s["kweights"][:, None]

    def loss(self, indices, weights, batch=None):
        """Mean robust error of the elements, scaled by a power of their class's spread, plus eigenvalue errors in meV.

        `batch` holds the samples of all processes, of which `indices` are the share of this one: losses and terms of all
        shares add up to those of the batch.
        """
        n_batch = len(indices if batch is None else batch)
        total, terms = 0.0, {"H_meV": 0.0, "onsite_meV": 0.0, "eig_meV": 0.0, "step_meV": 0.0}
        for k, (onsite, hopping, step) in zip(indices, self.predict(indices)):
            s = self.samples[k]
            # a large cell holds more information, a strongly displaced one larger errors
            weight = 2 * 0.03 / (0.03 + s["sigma"]) * len(s["graph"]) / self.mean_size / n_batch
            sums, count, plain = 0.0, 0, 0.0
            for name, blocks in hopping.items():
                e = blocks - s["targets"][name]
                scale = self.model.heads.hopping[name].scale(s["r"][name])[:, None, None]
                x = e / MEV * (MEV / scale) ** weights["spread"]  # 0: absolute errors, 1: relative to the spread
                sums = sums + ((x.square() + 0.03 ** 2).sqrt() - 0.03).sum()
                plain += e.detach().abs().sum().item()
                count += e.numel()
            loss = sums / count
            d_on = torch.cat([(b - t).flatten() for b, t in zip(onsite, s["onsite"])]) / MEV
            loss = loss + weights["onsite"] * ((d_on.square() + 4.0).sqrt() - 2).mean()
            if step is not None and np.isfinite(s["step"]) and weights["vacuum_step"]:
                d_step = (step - s["step"]) / MEV
                loss = loss + weights["vacuum_step"] * ((d_step.square() + 4.0).sqrt() - 2).to(loss.dtype)
                terms["step_meV"] += abs(d_step.item()) / n_batch
            if weights["eigenvalues"] and len(s["eigenvalues"]):
                d_eig = (self.eigenvalues(k, onsite, hopping) - s["eigenvalues"]) / MEV
                near, w = self.band_weights(s)
                loss = loss + weights["eigenvalues"] * (w * ((d_eig.square() + 4.0).sqrt() - 2)).sum() / w.sum()
                terms["eig_meV"] += d_eig.detach().abs()[near].mean().item() / n_batch
            total = total + weight * loss
            terms["H_meV"] += 1e3 * plain / count / n_batch
            terms["onsite_meV"] += d_on.detach().abs().mean().item() / n_batch
        return total, terms

    @torch.no_grad()
    def report(self, sigma_max=SIGMA_MILD, r_max=12.0):
        """Errors in meV over configurations with sigma up to `sigma_max`: elements within `r_max`, classes, eigenvalues.

        What no configuration has is left out.
        """
        total, eig, by_class, inter, steps = [0.0, 0], [0.0, 0.0], {}, [], []
        for k, s in enumerate(self.samples):
            if s["sigma"] > sigma_max + 1e-9:
                continue
            (onsite, hopping, step), = self.predict([k])
            if step is not None and np.isfinite(s["step"]):
                steps.append(abs(step.item() - s["step"]))
            for name, blocks in hopping.items():
                e, t = (blocks - s["targets"][name])[s["r"][name] < r_max], s["targets"][name][s["r"][name] < r_max]
                total[0] += 2 * e.abs().sum().item()
                total[1] += 2 * e.numel()
                entry = by_class.setdefault(name, [0.0, 0])
                entry[0] += e.abs().sum().item()
                entry[1] += e.numel()
                if name.endswith("inter"):
                    inter.append((e.flatten(), t.flatten()))
            on = by_class.setdefault("onsite", [0.0, 0])
            for b, t in zip(onsite, s["onsite"]):
                for pool in (total, on):
                    pool[0] += (b - t).abs().sum().item()
                    pool[1] += t.numel()
            if len(s["eigenvalues"]):
                near, _ = self.band_weights(s)
                d = (self.eigenvalues(k, onsite, hopping) - s["eigenvalues"]).abs()
                w = near * s["kweights"][:, None]
                eig[0] += (d * w).sum().item() / w.sum().item()
                eig[1] += 1
        out = {"elements": 1e3 * total[0] / total[1]} if total[1] else {}
        if eig[1]:
            out["eigenvalues"] = 1e3 * eig[0] / eig[1]
        if steps:
            out["vacuum_step"] = 1e3 * float(np.mean(steps))
        if inter:
            e, t = torch.cat([x[0] for x in inter]), torch.cat([x[1] for x in inter])
            out["inter_R2"] = 1 - (e.square().sum() / (t - t.mean()).square().sum()).item()
        out.update({name: 1e3 * v[0] / v[1] for name, v in sorted(by_class.items()) if v[1]})
        return out
