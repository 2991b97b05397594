"""Typical sizes of hoppings and on-site blocks, fitted to the reference before the heads are trained."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from ...nn.angular import clebsch_gordan

#: Without a reference Hamiltonian: size (eV) of an element at a distance (Å), and its decay (1/Å).
TAIL = (0.4, 2.5, 0.62)
#: Without a reference Hamiltonian: spread of the on-site energies, eV.
ONSITE_SPREAD = 0.3


@torch.no_grad()
def fit_hopping_scale(heads, samples, only=None) -> None:
    """Set each class's typical size of an element as a function of distance: a parabola in its logarithm.

    A class that no reference has gets an exponential, as Slater-Koster integrals have (see `TAIL`). `only` names the
    classes that count, by default all.
    """
    for name, head in heads.hopping.items():
        if only is not None and name not in only:
            continue
        found = [(s.r[name][s.known.get(name, slice(None))], s.targets[name]) for s in samples if name in s.targets]
        if not found:
            size, at, decay = TAIL
            low, high = at, heads.cutoff
            head.scale_polynomial.zero_()
            head.scale_polynomial[-2:] = torch.tensor(
                [-decay * (high - low) / 2, np.log(size) - decay * (high - low) / 2]
            )
            head.scale_range.copy_(torch.tensor([low, high]))
            continue
        r = torch.cat([f[0] for f in found]).double().numpy()
        square = torch.cat([f[1] for f in found]).double().square().mean((1, 2)).numpy()
        edges = np.linspace(r.min(), heads.cutoff, 40)
        bins = [(r >= a) & (r < b) for a, b in itertools.pairwise(edges)]
        bins = [inside for inside in bins if inside.any()]
        centre = np.array([r[inside].mean() for inside in bins])
        value = np.array([0.5 * np.log(square[inside].mean()) for inside in bins])
        weight = np.array([np.sqrt(min(inside.sum(), 200)) for inside in bins])
        low, high = centre.min(), centre.max()
        degree = min(2, len(centre) - 1)  # low: between two shells of neighbours there are no data to hold it
        polynomial = np.polyfit((2 * centre - low - high) / max(high - low, 1e-6), value, degree, w=weight)
        head.scale_polynomial.zero_()
        head.scale_polynomial[-(degree + 1) :] = torch.tensor(polynomial)
        head.scale_range.copy_(torch.tensor([low, high]))


@torch.no_grad()
def fit_onsite_scale(heads, samples, only=None) -> None:
    """Set mean and spread of the on-site trace, and the size of the crystal field of every degree, per species.

    `only` names those that count ("onsite.0"), by default all.

    Where no reference has on-site blocks the means come from the eigenvalues: sum_k w_k sum_m E_km = tr H(R = 0), in
    the least squares over compositions.
    """
    known = [s for s in samples if s.onsite]
    means = None if known else _means_of_traces(heads.sizes, [s for s in samples if len(s.eigenvalues)])
    for z, head in enumerate(heads.onsite):
        if only is not None and f"onsite.{z}" not in only:
            continue
        if means is not None:
            head.mean[0], head.scale[:] = means[z], ONSITE_SPREAD
        blocks = torch.cat([s.onsite[z] for s in known]).double() if known else ()
        if not len(blocks):
            continue
        d = blocks.shape[1]
        trace = torch.diagonal(blocks, dim1=1, dim2=2).mean(1)
        head.mean[0], head.scale[0] = trace.mean(), trace.std().clamp(min=1e-3)
        for k, L in enumerate(head.degrees):
            cg = clebsch_gordan(head.l, head.l, L).reshape(d * d, -1)
            head.scale[k + 1] = (
                (blocks.reshape(-1, d * d) @ cg / cg.square().sum() * (2 * L + 1)).square().mean().sqrt()
            )


def _means_of_traces(sizes, samples):
    """Mean on-site energy (eV) of the species of `sizes` orbitals from eigenvalues alone; None without any."""
    if not samples:
        return None
    orbitals = torch.stack(
        [torch.bincount(s.graph.species, minlength=len(sizes)) for s in samples]
    ).double() * torch.tensor(sizes)
    trace = torch.stack(
        [(s.kweights.double() @ s.eigenvalues.double()).sum() / s.kweights.double().sum() for s in samples]
    )
    middle = (
        trace.sum() / orbitals.sum()
    )  # the least-norm solution about the mean: what the compositions leave open is that
    return middle + torch.linalg.pinv(orbitals, rtol=1e-8) @ (trace - orbitals.sum(1) * middle)
