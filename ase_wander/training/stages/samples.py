"""From a reference configuration to the tensors that the Hamiltonian stage trains on, and the scales fitted to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ...electronic.blocks import blocks_to_csr
from ...model.graphs import build_graph
from ...nn.angular import clebsch_gordan
from ...nn.bond_frame import BondFrames
from ...structure import neighbour_pairs

#: Where no Hamiltonian says more: size (eV) of an element at a distance (Å), and its decay (1/Å); spread (eV) of on-site energies.
TAIL = (0.4, 2.5, 0.62)
ONSITE_SPREAD = 0.3


def make_sample(configuration, model, dtype=torch.float32, states=False) -> dict:
    """Graph with pairs, reference blocks by class, places of their elements in H(R), eigenvalues, slab potential.

    Only half of the ordered pairs is kept (the other half is the transpose); the atom of the lower species index
    comes first. What the frozen force field says (`raw`, `raer`) and the bond frames are computed once. Pairs within the
    heads' cutoff that the reference does not have, all of them where its Hamiltonian is unknown, are predicted without a target.

    Parameters
    ----------
    states : bool
        Whether the reference states are wanted, for `losses.projection_loss`.

    Returns
    -------
    dict with

    name, sigma, weight : of the configuration; sigma in Å
    has : bool by label: hamiltonian, eigenvalues, vacuum_step
    graph : Graph with pairs; raw, raer : see `nn.forcefield.Environment`
    frames, r : by class, BondFrames and lengths (p,), Å
    targets : by class, blocks (q, d1, d2), eV; known : by class, which of the p pairs they are of, absent for all
    places : by class, places of the elements and of their transposes in the raveled H(R), (2, p, d1, d2)
    onsite, onsite_places : by species, blocks (n_z, d, d), eV (none where unknown), and their places
    slab : SlabPotential and potential : its matrix (n, n), V/e, both None without an electrostatic part
    step : vacuum level above minus below, eV, nan where unknown
    n_orbitals, n_shifts, n_occupied : numbers of orbitals, of cells R, and of occupied bands
    cos, sin : of 2 pi k.R, (n_k, n_shifts); eigenvalues (n_k, n_orbitals), eV; kweights (n_k,); n_k = 0 where unknown
    states : (n_k, n_orbitals, n_orbitals), complex, columns in ascending energy, or None
    """
    heads, atoms, layers = model.heads, configuration.atoms, configuration.layers
    graph = build_graph(atoms, layers, model.species, model.force_field.cutoff, model.force_field.tail_cutoff)
    species = graph.species.numpy()
    dims = np.array(heads.sizes)[species]
    has = {label: configuration.has(label) for label in ("hamiltonian", "eigenvalues", "vacuum_step")}
    data = configuration.load_reference(dims) if has["hamiltonian"] or has["eigenvalues"] else {}
    n_occupied = round(model.count_electrons(atoms) / 2)
    if not 0 < n_occupied < dims.sum():
        raise ValueError(
            f"{configuration.source or configuration.name}: the electrons of the configuration fill {n_occupied} "
            f"of {dims.sum()} bands, there is no gap"
        )
    i, j, shift, n_known = _all_pairs(data, atoms, heads.cutoff)
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
    cells, cell_of = np.unique(
        np.vstack([shift[keep], -shift[keep], np.zeros((1, 3), int)]), axis=0, return_inverse=True
    )
    cell_of = cell_of.ravel()
    forward, backward, home = cell_of[: len(keep)], cell_of[len(keep) : -1], cell_of[-1]
    block, ptr = data.get("block", np.zeros(0)).astype(np.float64), data.get("block_ptr")
    targets, known, places = {}, {}, {}
    for name, index in classes.items():
        p = keep[index]
        d1, d2 = (heads.sizes[int(z)] for z in name[:2])
        rows, columns = first[i[p]][:, None, None] + np.arange(d1)[:, None], first[j[p]][:, None, None] + np.arange(d2)
        places[name] = t(
            np.stack(
                [
                    (forward[index][:, None, None] * n_orbitals + rows) * n_orbitals + columns,
                    (backward[index][:, None, None] * n_orbitals + columns) * n_orbitals + rows,
                ]
            )
        )
        found = np.flatnonzero(p < n_known)
        if len(found):
            targets[name] = t(block[ptr[p[found]][:, None] + np.arange(d1 * d2)].reshape(-1, d1, d2)).to(dtype)
        if 0 < len(found) < len(p):
            known[name] = t(found)
    onsite_places = _onsite_places(heads.sizes, species, first, home)
    onsite_targets = (
        _onsite(heads.sizes, species, {int(i[p]): p for p in onsite}, block, ptr) if has["hamiltonian"] else []
    )

    graph = graph.to(dtype=dtype)
    with torch.no_grad():
        environment = model.force_field(graph)[1].up_to(heads.l_max)
    frames = {name: BondFrames(graph.pair_vector[t(index)], heads.l_max) for name, index in classes.items()}
    slab = model.slab(model.positions(atoms), atoms.cell.array)
    step = [configuration.info[k] if has["vacuum_step"] else np.nan for k in ("vacuum_top", "vacuum_bottom")]
    angle = 2 * np.pi * data.get("kpts", np.zeros((0, 3))) @ cells.T
    states = states and has["hamiltonian"] and has["eigenvalues"]
    return dict(
        name=configuration.name,
        sigma=configuration.assumed_sigma,
        weight=configuration.weight,
        has=has,
        graph=graph,
        raw=environment.raw,
        raer=environment.raer,
        frames=frames,
        r={n: f.r for n, f in frames.items()},
        potential=slab.matrix().to(dtype) if slab else None,
        slab=slab,
        step=float(step[0] - step[1]),
        targets=targets,
        known=known,
        places=places,
        onsite=[b.to(dtype) for b in onsite_targets],
        onsite_places=onsite_places,
        n_orbitals=n_orbitals,
        n_shifts=len(cells),
        cos=t(np.cos(angle)).to(dtype),
        sin=t(np.sin(angle)).to(dtype),
        eigenvalues=t(np.asarray(data.get("eigenvalues", np.zeros((0, n_orbitals))))).to(dtype),
        kweights=t(np.asarray(data.get("kweights", np.zeros(0)))).to(dtype),
        states=t(reference_states(data, dims)).to(dtype.to_complex()) if states else None,
        n_occupied=n_occupied,
    )


def thin(sample, classes, share) -> dict:
    """A sample with a random share of its pairs, at least one of every class; without places, so good for elements alone.

    Parameters
    ----------
    classes : iterable of (name, pair indices), those of the sample's graph.
    share : float, 0 to 1
    """
    graph, chosen = sample["graph"], []
    frames, r, targets, known = {}, {}, {}, {}
    for name, index in classes:
        local = torch.sort(torch.randperm(len(index), device=index.device)[: max(round(share * len(index)), 1)])[0]
        chosen.append(index[local])
        frames[name], r[name] = sample["frames"][name][local], sample["r"][name][local]
        if name in sample["targets"]:
            if name in sample["known"]:
                place = torch.full((len(index),), -1, device=index.device)
                place[sample["known"][name]] = torch.arange(len(sample["targets"][name]), device=index.device)
                known[name] = torch.nonzero(place[local] >= 0).squeeze(1)
                targets[name] = sample["targets"][name][place[local][known[name]]]
            else:
                targets[name] = sample["targets"][name][local]
    order = torch.sort(torch.cat(chosen))[0] if chosen else slice(0)
    pairs = {key: getattr(graph, key)[order] for key in ("pair_i", "pair_j", "pair_vector", "pair_across")}
    return sample | {
        "graph": replace(graph, **pairs),
        "frames": frames,
        "r": r,
        "targets": targets,
        "known": known,
        "places": None,
    }


def _all_pairs(data, atoms, cutoff):
    """i, j (p,), shift (p, 3) of the pairs of the reference, then of those within the cutoff that it lacks, and the number of the former."""
    i, j, shift = (
        data.get(k, empty).astype(int)
        for k, empty in (("pair_i", np.zeros(0)), ("pair_j", np.zeros(0)), ("pair_shift", np.zeros((0, 3))))
    )
    within = neighbour_pairs(atoms, cutoff)
    there = set(map(tuple, np.column_stack([i, j, shift]).tolist()))
    lacking = np.array(
        [key not in there for key in map(tuple, np.column_stack([within.i, within.j, within.shift]).tolist())], bool
    )
    join = lambda a, b: np.concatenate([a, b[lacking]])
    return join(i, within.i), join(j, within.j), join(shift, within.shift), len(i)


def reference_states(data, dims) -> np.ndarray:
    """Eigenvectors of the reference's H(k) at its k-points, (n_k, n_orbitals, n_orbitals), complex; `dims` orbitals per atom."""
    cells, blocks = blocks_to_csr(dims, *(data[k] for k in ("pair_i", "pair_j", "pair_shift", "block", "block_ptr")))
    phase = np.exp(2j * np.pi * data["kpts"] @ cells.T)
    return np.array([np.linalg.eigh(sum(p * h for p, h in zip(row, blocks)).toarray())[1] for row in phase])


def half_of_pairs(species, i, j, shift) -> np.ndarray:
    """Which ordered pairs to keep, (p,) bool: each unordered pair once, the atom of the lower species index first."""
    positive = (shift[:, 0] > 0) | ((shift[:, 0] == 0) & (shift[:, 1] > 0))
    return (species[i] < species[j]) | ((species[i] == species[j]) & ((i < j) | ((i == j) & positive)))


def _onsite(sizes, species, pair_of, block, ptr):
    """Per species the symmetric on-site blocks (n_z, d, d)."""
    targets = []
    for z, d in enumerate(sizes):
        atoms = np.flatnonzero(species == z)
        blocks = np.array([block[ptr[pair_of[a]] + np.arange(d * d)].reshape(d, d) for a in atoms]).reshape(-1, d, d)
        targets.append(torch.from_numpy(0.5 * (blocks + blocks.transpose(0, 2, 1))))
    return targets


def _onsite_places(sizes, species, first, home):
    """Per species the places of the on-site elements in H(R = 0), (n_z, d, d)."""
    places = []
    for z, d in enumerate(sizes):
        rows = first[np.flatnonzero(species == z)][:, None] + np.arange(d)
        places.append(torch.from_numpy((home * first[-1] + rows[:, :, None]) * first[-1] + rows[:, None, :]))
    return places


@torch.no_grad()
def fit_hopping_scale(heads, samples) -> None:
    """Set each class's typical size of an element as a function of distance: a parabola in its logarithm.

    A class that no reference has gets an exponential, as Slater-Koster integrals have (see `TAIL`).
    """
    for name, head in heads.hopping.items():
        found = [
            (s["r"][name][s["known"].get(name, slice(None))], s["targets"][name])
            for s in samples
            if name in s["targets"]
        ]
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
        bins = [(r >= a) & (r < b) for a, b in zip(edges[:-1], edges[1:])]
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
def fit_onsite_scale(heads, samples) -> None:
    """Set mean and spread of the on-site trace, and the size of the crystal field of every degree, per species.

    Where no reference has on-site blocks the means come from the eigenvalues: sum_k w_k sum_m E_km = tr H(R = 0), in the
    least squares over compositions.
    """
    known = [s for s in samples if s["onsite"]]
    means = None if known else _means_of_traces(heads.sizes, [s for s in samples if len(s["eigenvalues"])])
    for z, head in enumerate(heads.onsite):
        if means is not None:
            head.mean[0], head.scale[:] = means[z], ONSITE_SPREAD
        blocks = torch.cat([s["onsite"][z] for s in known]).double() if known else ()
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
        [torch.bincount(s["graph"].species, minlength=len(sizes)) for s in samples]
    ).double() * torch.tensor(sizes)
    trace = torch.stack(
        [(s["kweights"].double() @ s["eigenvalues"].double()).sum() / s["kweights"].double().sum() for s in samples]
    )
    middle = (
        trace.sum() / orbitals.sum()
    )  # the least-norm solution about the mean: what the compositions leave open is that
    return middle + torch.linalg.pinv(orbitals, rtol=1e-8) @ (trace - orbitals.sum(1) * middle)
