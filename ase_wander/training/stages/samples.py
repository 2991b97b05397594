"""From a reference configuration to the tensors that the Hamiltonian stage trains on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ...electronic.assembly import blocks_to_csr
from ...electronic.blocks import PairBlocks
from ...model.graphs import build_graph
from ...nn.bond_frame import BondFrames
from ...nn.electrostatics import SlabPotential
from ...nn.graph import Graph
from ...structure import neighbour_pairs, one_of_each_pair


@dataclass
class HamiltonianSample:
    """One configuration as the Hamiltonian stage reads it.

    Index legend: n atoms, p pairs of a class, q those of them with a reference, k k-points, a b orbitals, R cells.
    A class is a name such as "01_inter": the species of both ends and whether the pair joins two layers.

    Attributes
    ----------
    name : str
    sigma : float
        Random displacement of the configuration, Å.
    weight : float
        Factor in every loss.
    has : dict of str to bool
        By label: hamiltonian, eigenvalues, vacuum_step.
    graph : Graph
        With half of the ordered pairs; the other half is the transpose.
    raw, raer : list of tensor, tensor
        What a frozen force field says, see `nn.environment.Density.raw` and `nn.forcefield.Environment`.
    frames : dict of str to BondFrames
        By class.
    r : dict of str to tensor, shape (p,)
        By class, lengths in Å.
    targets : dict of str to tensor, shape (q, a, b)
        By class, reference blocks, eV.
    known : dict of str to tensor
        By class, which of the p pairs the targets belong to; a class is absent where all pairs have one.
    places : dict of str to tensor, shape (2, p, a, b), optional
        By class, places of the elements and of their transposes in the raveled H(R). None in a sample that holds only a
        share of its pairs.
    onsite : list of tensor, shape (n, a, a)
        By species, symmetric reference blocks, eV; empty without a Hamiltonian.
    onsite_places : list of tensor, shape (n, a, a)
        By species, places of the on-site elements in the raveled H(R).
    slab : SlabPotential, optional
    potential : tensor, shape (n, n), optional
        Its matrix, V/e. Both are None without an electrostatic part.
    step : float
        Vacuum level above minus below, eV; nan where unknown.
    n_orbitals, n_shifts, n_occupied : int
        Numbers of orbitals, of cells R, and of occupied bands.
    cos, sin : tensor, shape (k, R)
        Of 2 pi k.R; no k-point without a reference.
    eigenvalues : tensor, shape (k, a)
        eV, ascending.
    kweights : tensor, shape (k,)
    states : tensor of complex, shape (k, a, a), optional
        Columns in ascending energy; None unless asked for.
    """

    name: str
    sigma: float
    weight: float
    has: dict[str, bool]
    graph: Graph
    raw: torch.Tensor
    raer: torch.Tensor
    frames: dict[str, BondFrames]
    r: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]
    known: dict[str, torch.Tensor]
    places: dict[str, torch.Tensor] | None
    onsite: list[torch.Tensor]
    onsite_places: list[torch.Tensor]
    slab: SlabPotential | None
    potential: torch.Tensor | None
    step: float
    n_orbitals: int
    n_shifts: int
    n_occupied: int
    cos: torch.Tensor
    sin: torch.Tensor
    eigenvalues: torch.Tensor
    kweights: torch.Tensor
    states: torch.Tensor | None = None


def make_sample(configuration, model, dtype=torch.float32, states=False) -> HamiltonianSample:
    """Graph with pairs, reference blocks by class, places of their elements in H(R), eigenvalues, slab potential.

    Of every two opposite pairs only one is kept, see `one_of_each_pair`. What the frozen force field says and the bond
    frames are computed once. Pairs within the heads' cutoff that the reference does not have are predicted without
    a target; that is all of them where its Hamiltonian is unknown.

    Parameters
    ----------
    states : bool
        Whether the reference states are wanted, for `losses.projection_loss`.

    Raises
    ------
    ValueError
        When the electrons fill no band or all of them, naming the configuration.
    """
    heads, atoms = model.heads, configuration.atoms
    graph = build_graph(
        atoms, configuration.layers, model.species, model.force_field.cutoff, model.force_field.tail_cutoff
    )
    species = graph.species.numpy()
    dims = np.array(heads.sizes)[species]
    has = {label: configuration.has(label) for label in ("hamiltonian", "eigenvalues", "vacuum_step")}
    data = configuration.load_reference(dims) if has["hamiltonian"] or has["eigenvalues"] else {}
    n_occupied = _occupied(configuration, model, dims)
    reference = PairBlocks.from_arrays(data) if has["hamiltonian"] else None
    pairs, t = _all_pairs(reference, atoms, heads.cutoff), torch.from_numpy
    keep = _add_pairs(graph, configuration, heads, pairs)
    classes = {name: index.numpy() for name, index in heads.classes(graph)}
    first = np.concatenate([[0], np.cumsum(dims)])  # first orbital of every atom
    targets, known = _targets(heads.sizes, reference, classes, pairs, keep, dtype)
    cells, places, onsite_places = _places(heads.sizes, species, first, classes, pairs, keep)
    onsite = _onsite(heads.sizes, species, reference) if has["hamiltonian"] else []

    graph = graph.to(dtype=dtype)
    with torch.no_grad():
        environment = model.force_field(graph)[1].up_to(heads.l_max)
    frames = {name: BondFrames(graph.pair_vector[t(index)], heads.l_max) for name, index in classes.items()}
    slab = model.slab(model.positions(atoms), atoms.cell.array)
    step = [configuration.info[k] if has["vacuum_step"] else np.nan for k in ("vacuum_top", "vacuum_bottom")]
    angle = 2 * np.pi * data.get("kpts", np.zeros((0, 3))) @ cells.T
    states = states and has["hamiltonian"] and has["eigenvalues"]
    return HamiltonianSample(
        name=configuration.name,
        sigma=configuration.assumed_sigma,
        weight=configuration.weight,
        has=has,
        graph=graph,
        raw=environment.raw,
        raer=environment.raer,
        frames=frames,
        r={n: f.r for n, f in frames.items()},
        targets=targets,
        known=known,
        places=places,
        onsite=[b.to(dtype) for b in onsite],
        onsite_places=onsite_places,
        slab=slab,
        potential=slab.matrix().to(dtype) if slab else None,
        step=float(step[0] - step[1]),
        n_orbitals=int(first[-1]),
        n_shifts=len(cells),
        n_occupied=n_occupied,
        cos=t(np.cos(angle)).to(dtype),
        sin=t(np.sin(angle)).to(dtype),
        eigenvalues=t(np.asarray(data.get("eigenvalues", np.zeros((0, int(first[-1])))))).to(dtype),
        kweights=t(np.asarray(data.get("kweights", np.zeros(0)))).to(dtype),
        states=t(reference_states(data, dims)).to(dtype.to_complex()) if states else None,
    )


def _add_pairs(graph, configuration, heads, pairs) -> np.ndarray:
    """Give `graph` its pairs, one of each and its reverse, and their paths; returns their places in `pairs`."""
    atoms, layers, species, t = configuration.atoms, configuration.layers, graph.species.numpy(), torch.from_numpy
    i, j, shift, _ = pairs
    vector = atoms.positions[j] + shift @ atoms.cell.array - atoms.positions[i]
    distance = np.linalg.norm(vector, axis=1)
    half = one_of_each_pair(i, j, shift, species) & (distance > 1e-6) & (distance < heads.cutoff)
    keep = np.flatnonzero(half)
    graph.pair_i, graph.pair_j, graph.pair_vector = t(i[keep]), t(j[keep]), t(vector[keep])
    graph.pair_across = t((layers[i[keep]] != layers[j[keep]]).astype(np.int64))
    if heads.steps is not None:
        listed = (x[keep] for x in (i, j, shift, vector))
        graph.paths = heads.steps.find(*listed, graph.pair_across.numpy(), species)
    return keep


def _occupied(configuration, model, dims):
    """Number of occupied bands; ValueError naming the configuration when they are none or all."""
    n_occupied = round(model.count_electrons(configuration.atoms) / 2)
    if not 0 < n_occupied < dims.sum():
        raise ValueError(
            f"{configuration.source or configuration.name}: the electrons of the configuration fill {n_occupied} "
            f"of {dims.sum()} bands, there is no gap"
        )
    return n_occupied


def _targets(sizes, reference, classes, pairs, keep, dtype):
    """Reference blocks by class, and which pairs they belong to where some have none."""
    targets, known, n_known = {}, {}, pairs[3]
    for name, index in classes.items():
        p = keep[index]
        d1, d2 = (sizes[int(z)] for z in name[:2])
        found = np.flatnonzero(p < n_known)
        if len(found):
            targets[name] = torch.from_numpy(reference.stacked(p[found], d1, d2)).to(dtype)
        if 0 < len(found) < len(p):
            known[name] = torch.from_numpy(found)
    return targets, known


def _places(sizes, species, first, classes, pairs, keep):
    """Cells R (n_shifts, 3), and where the elements of every class and of the on-site blocks stand in the raveled
    H(R).
    """
    i, j, shift, _ = pairs
    n_orbitals = int(first[-1])
    cells, cell_of = np.unique(
        np.vstack([shift[keep], -shift[keep], np.zeros((1, 3), int)]), axis=0, return_inverse=True
    )
    cell_of = cell_of.ravel()
    forward, backward, home = cell_of[: len(keep)], cell_of[len(keep) : -1], cell_of[-1]
    places = {}
    for name, index in classes.items():
        p = keep[index]
        d1, d2 = (sizes[int(z)] for z in name[:2])
        rows, columns = first[i[p]][:, None, None] + np.arange(d1)[:, None], first[j[p]][:, None, None] + np.arange(d2)
        there = (forward[index][:, None, None] * n_orbitals + rows) * n_orbitals + columns
        back = (backward[index][:, None, None] * n_orbitals + columns) * n_orbitals + rows
        places[name] = torch.from_numpy(np.stack([there, back]))
    onsite = []
    for z, d in enumerate(sizes):
        rows = first[np.flatnonzero(species == z)][:, None] + np.arange(d)
        onsite.append(torch.from_numpy((home * n_orbitals + rows[:, :, None]) * n_orbitals + rows[:, None, :]))
    return cells, places, onsite


def thin(sample: HamiltonianSample, classes, share) -> HamiltonianSample:
    """A sample with a random share of its pairs, at least one of every class.

    Good for elements alone, as places are gone.

    Parameters
    ----------
    sample : HamiltonianSample
    classes : iterable of (str, tensor)
        Name and pair indices of the classes of the sample's graph.
    share : float
        0 to 1.
    """
    graph, chosen = sample.graph, []
    frames, r, targets, known = {}, {}, {}, {}
    for name, index in classes:
        local = torch.sort(torch.randperm(len(index), device=index.device)[: max(round(share * len(index)), 1)])[0]
        chosen.append(index[local])
        frames[name], r[name] = sample.frames[name][local], sample.r[name][local]
        if name in sample.targets:
            if name in sample.known:
                place = torch.full((len(index),), -1, device=index.device)
                place[sample.known[name]] = torch.arange(len(sample.targets[name]), device=index.device)
                known[name] = torch.nonzero(place[local] >= 0).squeeze(1)
                targets[name] = sample.targets[name][place[local][known[name]]]
            else:
                targets[name] = sample.targets[name][local]
    order = torch.sort(torch.cat(chosen))[0] if chosen else slice(0)
    pairs = {key: getattr(graph, key)[order] for key in ("pair_i", "pair_j", "pair_vector", "pair_across")}
    if graph.paths is not None:
        pairs["paths"] = graph.paths.to_pairs(order, len(graph.pair_i))
    graph = replace(graph, **pairs)
    return replace(sample, graph=graph, frames=frames, r=r, targets=targets, known=known, places=None)


def _all_pairs(reference, atoms, cutoff):
    """Pairs of the reference, then those within the cutoff that it lacks: i, j (p,), shift (p, 3), number of the
    former.
    """
    within = neighbour_pairs(atoms, cutoff)
    if reference is None:
        return within.i, within.j, within.shift, 0
    lacking = reference.find(within.i, within.j, within.shift) < 0
    join = lambda a, b: np.concatenate([a, b[lacking]])
    return (
        join(reference.pair_i, within.i),
        join(reference.pair_j, within.j),
        join(reference.pair_shift, within.shift),
        reference.n_pairs,
    )


def reference_states(data, dims) -> np.ndarray:
    """Eigenvectors of the reference's H(k) at its k-points, (n_k, n_orbitals, n_orbitals), complex.

    `dims` orbitals per atom.
    """
    *arrays, _ = PairBlocks.from_arrays(data)
    cells, blocks = blocks_to_csr(dims, *arrays)
    phase = np.exp(2j * np.pi * data["kpts"] @ cells.T)
    return np.array([np.linalg.eigh(sum(p * h for p, h in zip(row, blocks)).toarray())[1] for row in phase])


def _onsite(sizes, species, reference):
    """Per species the symmetric on-site blocks (n_z, d, d)."""
    targets, home = [], np.empty(len(species), int)  # home: place of every atom's own block
    home[reference.pair_i[reference.onsite]] = np.flatnonzero(reference.onsite)
    for z, d in enumerate(sizes):
        blocks = reference.stacked(home[species == z], d, d)
        targets.append(torch.from_numpy(0.5 * (blocks + blocks.transpose(0, 2, 1))))
    return targets
