"""From a reference configuration to the tensors that the Hamiltonian stage trains on, and the scales fitted to them."""

from __future__ import annotations

import numpy as np
import torch

from ..graphs import build_graph
from ..nn.alignment import BondFrames
from ..nn.angular import clebsch_gordan


def make_sample(configuration, model, dtype=torch.float32) -> dict:
    """Graph with pairs, reference blocks by class, places of their elements in H(R), eigenvalues, slab potential.

    Only half of the ordered pairs is kept (the other half is the transpose); the atom of the lower species index
    comes first. What the frozen force field says (`raw`, `raer`) and the bond frames are computed once.

    Returns
    -------
    dict with

    name, sigma : of the configuration; sigma in Å
    graph : Graph with pairs; raw, raer : see `nn.forcefield.Environment`
    frames, r : by class, BondFrames and lengths (p,), Å; targets : by class, blocks (p, d1, d2), eV
    places : by class, places of these elements and of their transposes in the raveled H(R), (2, p, d1, d2)
    onsite, onsite_places : by species, blocks (n_z, d, d), eV, and their places
    slab : SlabPotential and potential : its matrix (n, n), V/e, both None without an electrostatic part
    step : vacuum level above minus below, eV, nan where unknown
    n_orbitals, n_shifts, n_occupied : numbers of orbitals, of cells R, and of occupied bands
    cos, sin : of 2 pi k.R, (n_k, n_shifts); eigenvalues (n_k, n_orbitals), eV; kweights (n_k,); n_k = 0 where unknown
    """
    heads, atoms, layers = model.heads, configuration.atoms, configuration.layers
    graph = build_graph(atoms, layers, model.species, model.force_field.cutoff, model.force_field.tail_cutoff)
    species = graph.species.numpy()
    dims = np.array(heads.sizes)[species]
    data = configuration.load_blocks(dims)
    n_occupied = round(model.count_electrons(atoms) / 2)
    if not 0 < n_occupied < dims.sum():
        raise ValueError(f"{configuration.source or configuration.name}: the electrons of the configuration fill {n_occupied} "
                         f"of {dims.sum()} bands, there is no gap")
    i, j, shift = (data[k].astype(int) for k in ("pair_i", "pair_j", "pair_shift"))
    vector = atoms.positions[j] + shift @ atoms.cell.array - atoms.positions[i]
    distance = np.linalg.norm(vector, axis=1)
    half = half_of_pairs(species, i, j, shift) & (distance > 1e-6) & (distance < heads.cutoff)
    keep, onsite = np.flatnonzero(half), np.flatnonzero(distance < 1e-6)
    t = torch.from_numpy
    graph.pair_i, graph.pair_j, graph.pair_vector = t(i[keep]), t(j[keep]), t(vector[keep])
    graph.pair_across = t((layers[i[keep]] != layers[j[keep]]).astype(np.int64))
    classes = {name: index.numpy() for name, index in heads.classes(graph)}

    first = np.concatenate([[0], np.cumsum(dims)])  # first orbital of every atom
    n_orbitals = int(first[-1])
    cells, cell_of = np.unique(np.vstack([shift[keep], -shift[keep], np.zeros((1, 3), int)]), axis=0, return_inverse=True)
    cell_of = cell_of.ravel()
    forward, backward, home = cell_of[:len(keep)], cell_of[len(keep):-1], cell_of[-1]
    block, ptr = data["block"].astype(np.float64), data["block_ptr"]
    targets, places = {}, {}
    for name, index in classes.items():
        p = keep[index]
        d1, d2 = (heads.sizes[int(z)] for z in name[:2])
        targets[name] = t(block[ptr[p][:, None] + np.arange(d1 * d2)].reshape(-1, d1, d2)).to(dtype)
        rows, columns = first[i[p]][:, None, None] + np.arange(d1)[:, None], first[j[p]][:, None, None] + np.arange(d2)
        places[name] = t(np.stack([(forward[index][:, None, None] * n_orbitals + rows) * n_orbitals + columns,
                                   (backward[index][:, None, None] * n_orbitals + columns) * n_orbitals + rows]))
    onsite_targets, onsite_places = _onsite(heads.sizes, species, first, home, {int(i[p]): p for p in onsite}, block, ptr)

    graph = graph.to(dtype=dtype)
    with torch.no_grad():
        _, environment = model.force_field(graph)
    frames = {name: BondFrames(graph.pair_vector[t(index)], heads.l_max) for name, index in classes.items()}
    slab = model.slab(model.positions(atoms), atoms.cell.array)
    step = [configuration.info.get(k, np.nan) for k in ("vacuum_top", "vacuum_bottom")]
    angle = 2 * np.pi * data.get("kpts", np.zeros((0, 3))) @ cells.T
    return dict(name=configuration.name, sigma=configuration.assumed_sigma,
                graph=graph, raw=environment.raw, raer=environment.raer, frames=frames, r={n: f.r for n, f in frames.items()},
                potential=slab.matrix().to(dtype) if slab else None, slab=slab, step=float(step[0] - step[1]),
                targets=targets, places=places, onsite=[b.to(dtype) for b in onsite_targets], onsite_places=onsite_places,
                n_orbitals=n_orbitals, n_shifts=len(cells), cos=t(np.cos(angle)).to(dtype), sin=t(np.sin(angle)).to(dtype),
                eigenvalues=t(np.asarray(data.get("eigenvalues", np.zeros((0, n_orbitals))))).to(dtype),
                kweights=t(np.asarray(data.get("kweights", np.zeros(0)))).to(dtype),
                n_occupied=n_occupied)


def half_of_pairs(species, i, j, shift) -> np.ndarray:
    """Which ordered pairs to keep, (p,) bool: each unordered pair once, the atom of the lower species index first."""
    positive = (shift[:, 0] > 0) | ((shift[:, 0] == 0) & (shift[:, 1] > 0))
    return (species[i] < species[j]) | ((species[i] == species[j]) & ((i < j) | ((i == j) & positive)))


def _onsite(sizes, species, first, home, pair_of, block, ptr):
    """Per species the symmetric on-site blocks (n_z, d, d) and the places of their elements in H(R = 0)."""
    targets, places = [], []
    for z, d in enumerate(sizes):
        atoms = np.flatnonzero(species == z)
        blocks = np.array([block[ptr[pair_of[a]] + np.arange(d * d)].reshape(d, d) for a in atoms]).reshape(-1, d, d)
        targets.append(torch.from_numpy(0.5 * (blocks + blocks.transpose(0, 2, 1))))
        rows = first[atoms][:, None] + np.arange(d)
        places.append(torch.from_numpy((home * first[-1] + rows[:, :, None]) * first[-1] + rows[:, None, :]))
    return targets, places


@torch.no_grad()
def fit_hopping_scale(heads, samples) -> None:
    """Set each class's typical size of an element as a function of distance: a parabola in its logarithm."""
    for name, head in heads.hopping.items():
        found = [(s["r"][name], s["targets"][name]) for s in samples if name in s["targets"]]
        if not found:
            continue
        r = torch.cat([f[0] for f in found]).double().numpy()
        square = torch.cat([f[1] for f in found]).double().square().mean((1, 2)).numpy()
        edges = np.linspace(r.min(), heads.cutoff, 40)
        bins = [(r >= a) & (r < b) for a, b in zip(edges[:-1], edges[1:])]
        bins = [inside for inside in bins if inside.any()]
        centre = np.array([r[inside].mean() for inside in bins])
        value = np.array([0.5 * np.log(square[inside].mean()) for inside in bins])
        weight = np.array([np.sqrt(min(inside.sum(), 200)) for inside in bins])
        low, high = centre.min(), centre.max()
        degree = min(2, len(centre) - 1)  # low: between two shells of neighbours there are no data to hold it
        polynomial = np.polyfit((2 * centre - low - high) / max(high - low, 1e-6), value, degree, w=weight)
        head.scale_polynomial.zero_()
        head.scale_polynomial[-(degree + 1):] = torch.tensor(polynomial)
        head.scale_range.copy_(torch.tensor([low, high]))


@torch.no_grad()
def fit_onsite_scale(heads, samples) -> None:
    """Set mean and spread of the on-site trace, and the size of the crystal field of every degree, per species."""
    for z, head in enumerate(heads.onsite):
        blocks = torch.cat([s["onsite"][z] for s in samples]).double()
        if not len(blocks):
            continue
        d = blocks.shape[1]
        trace = torch.diagonal(blocks, dim1=1, dim2=2).mean(1)
        head.mean[0], head.scale[0] = trace.mean(), trace.std().clamp(min=1e-3)
        for k, L in enumerate(head.degrees):
            cg = clebsch_gordan(head.l, head.l, L).reshape(d * d, -1)
            head.scale[k + 1] = (blocks.reshape(-1, d * d) @ cg / cg.square().sum() * (2 * L + 1)).square().mean().sqrt()
