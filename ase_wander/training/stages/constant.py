"""Predictions of a force field for batches of samples whose geometry is kept ready, see `nn.constant`."""

from __future__ import annotations

import torch

from ...nn.constant import bytes_needed, constant_parts, has_constant_parts, tail_coefficients
from ...nn.sorted import energies_of_densities


def fits(force_field, samples, megabytes) -> bool:
    """Whether the constant parts of all samples need no more than that, of a force field that has such."""
    if not megabytes or not has_constant_parts(force_field):
        return False
    needed = sum(bytes_needed(force_field, len(s.graph), s.graph.vector.dtype) for s in samples)
    return needed <= 1e6 * megabytes


def predict(force_field, samples, create_graph=False):
    """Energies (c,) without reference energies, forces (n, 3), virials (c, 3, 3) of samples one after the other."""
    for s in samples:
        if s.constant is None:
            s.constant = constant_parts(force_field, s.graph)
    parts, sizes = [s.constant for s in samples], [len(s.graph) for s in samples]
    species, config = torch.cat([s.graph.species for s in samples]), configs(samples)
    order = torch.sort(species, stable=True)[1]
    counts = torch.bincount(species, minlength=force_field.n_species).tolist()
    raw = torch.cat([p.raw for p in parts])[order].requires_grad_(True)
    noise = None
    if force_field.training and force_field.noise > 0:
        like = force_field.mean
        drawn = torch.randn(len(raw), like.shape[1], dtype=raw.dtype, device=like.device)
        noise = (force_field.noise * drawn)[order]
    with torch.enable_grad():
        energies = energies_of_densities(force_field, raw, counts, noise)
        by_raw = torch.autograd.grad(energies.sum(), raw, create_graph=create_graph)[0]
    place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))
    by_raw = by_raw.index_select(0, place).flatten(1).split(sizes)
    rows = torch.cat([p.by_raw @ g.flatten() for p, g in zip(parts, by_raw)])
    tail = tail_coefficients(force_field)
    rows = rows + torch.cat([p.by_tail for p in parts]) @ tail + torch.cat([p.by_repulsion for p in parts])
    forces, virial = zip(*(r.split([3 * n, 9]) for n, r in zip(sizes, rows.split([3 * n + 9 for n in sizes]))))
    constant = torch.stack([p.tail for p in parts]) @ tail + torch.stack([p.repulsion for p in parts])
    total = constant.index_add(0, config[order], energies)
    return total, torch.cat(forces).reshape(-1, 3), torch.stack(virial).reshape(-1, 3, 3)


def configs(samples) -> torch.Tensor:
    """Number of the sample (n,) of every atom."""
    sizes = torch.tensor([len(s.graph) for s in samples])
    return torch.repeat_interleave(torch.arange(len(samples)), sizes)
