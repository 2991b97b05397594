"""Hamiltonian blocks of the published networks: on-site, intra-layer and inter-layer pairs within 12 Å.

Index legend: p ordered pairs, a rows (orbitals of i), b columns (orbitals of j).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..electronic.blocks import PairBlocks
from .environment import METAL, inverse_coordinates
from .networks import NEAR, evaluate

_TRANSPOSED = {"ms": "sm", "sm": "ms"}


@dataclass(frozen=True)
class PairInputs:
    """Inputs of one network.

    Attributes
    ----------
    i, j : ndarray of int, shape (n,)
    shift : ndarray of int, shape (n, 3)
        Cell of atom j, for positions as given.
    inputs : ndarray, shape (n, n_in)
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    inputs: np.ndarray


@dataclass(frozen=True)
class BlockSet:
    """Blocks of one network.

    Attributes
    ----------
    i, j, shift
        As in `PairInputs`.
    values : ndarray, shape (n, n_a, n_b)
        eV.
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    values: np.ndarray


def pair_network(element_i, element_j, same_layer, distance):
    """Name of the network of every pair: layer relation, species of row and column, range (split at 6 Å)."""
    letters = np.array(["m", "s"])
    kind = np.char.add(letters[element_i], letters[element_j])
    near = np.where(distance < NEAR, "_near", "_long")
    inter = np.where(kind == "ss", near, "")
    return np.where(
        same_layer, np.char.add(np.char.add("intra_", kind), near), np.char.add(np.char.add("inter_", kind), inter)
    )


def network_inputs(element, layer, pairs, shift, raer, onsite_inputs, decimals=None):
    """Inputs by network: environment (on site), RAERs with (1/R, R/R^2) (in a layer), R alone (between layers).

    Parameters
    ----------
    element, layer : ndarray of int, shape (n_atoms,)
    pairs : NeighbourPairs
        Ordered pairs of different atoms or images, vectors in the frame of the template.
    shift : ndarray of int, shape (n_pairs, 3)
        Cells of j for positions as given.
    raer : ndarray, shape (n_atoms, 32)
    onsite_inputs : dict
        "self_m", "self_s" -> (atoms (n,), inputs (n, n_in)).
    decimals : int, optional
        Round (1/R, R/R^2) as the published files do.

    Returns
    -------
    dict of str to PairInputs
    """
    sets = {
        name: PairInputs(atoms, atoms, np.zeros((len(atoms), 3), int), inputs)
        for name, (atoms, inputs) in onsite_inputs.items()
    }
    local = inverse_coordinates(pairs.vector, decimals)
    names = pair_network(element[pairs.i], element[pairs.j], layer[pairs.i] == layer[pairs.j], pairs.distance)
    for name in np.unique(names):
        p = np.flatnonzero(names == name)
        i, j = pairs.i[p], pairs.j[p]
        inputs = np.concatenate([raer[i], raer[j], local[p]], axis=1) if name.startswith("intra") else local[p]
        sets[str(name)] = PairInputs(i, j, shift[p], inputs)
    return sets


def block_sets(networks, inputs, layer, offsets, decimals=None):
    """Blocks by network, in the published orbitals.

    Parameters
    ----------
    networks : mapping of str to PublishedNetwork
    inputs : dict of str to PairInputs
    layer : ndarray of int, shape (n_atoms,)
    offsets : sequence of float
        eV added to the on-site diagonal of the bottom and the top layer.
    decimals : int, optional
        Round elements as the published files do, before and after the offset.

    Returns
    -------
    dict of str to BlockSet
    """
    sets = {}
    for name, s in inputs.items():
        n_a, n_b = (5 if letter == "m" else 3 for letter in species_letters(name))
        values = _rounded(evaluate(networks[name], s.inputs), decimals).reshape(-1, n_a, n_b)
        if name.startswith("self"):
            values[:, range(n_a), range(n_a)] += np.asarray(offsets, float)[layer[s.i]][:, None]
            values = _rounded(values, decimals)
        sets[name] = BlockSet(s.i, s.j, s.shift, values)
    return sets


def species_letters(name):
    """Letters of row and column of a network: "ms" for intra_ms_near, "mm" for self_m."""
    part = name.split("_")[1]
    return part * 2 if len(part) == 1 else part


def _rounded(x, decimals):
    return x if decimals is None else x.round(decimals)


def rotate_blocks(sets, rotations):
    """Blocks in the real harmonics of the simulation's axes: H_g = U_i^T H U_j (orthogonal, exact)."""
    out = {}
    for name, s in sets.items():
        u_i, u_j = (np.stack([rotations[k] for k in index]) for index in (s.i, s.j))
        out[name] = BlockSet(s.i, s.j, s.shift, np.einsum("pga,pgh,phb->pab", u_i, s.values, u_j, optimize=True))
    return out


def assemble(sets, n_electrons) -> PairBlocks:
    """All blocks, sorted by i, j, shift."""
    i, j, shift = (np.concatenate([getattr(s, name) for s in sets.values()]) for name in ("i", "j", "shift"))
    size = np.concatenate([np.full(len(s.i), s.values[0].size if len(s.i) else 0) for s in sets.values()])
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
    ptr = np.concatenate([[0], np.cumsum(size[order])])
    place = np.empty(len(i), int)
    place[order] = ptr[:-1]
    block = np.empty(ptr[-1])
    start = 0
    for s in sets.values():
        n = len(s.i)
        if n:
            block[place[start : start + n, None] + np.arange(s.values[0].size)] = s.values.reshape(n, -1)
        start += n
    return PairBlocks(i[order], j[order], shift[order], block, ptr, n_electrons)


def symmetrise(sets):
    """The Hermitian part, H_ij(R) <- (H_ij(R) + H_ji(-R)^T) / 2."""
    out = {}
    for name, s in sets.items():
        t = sets["_".join(_TRANSPOSED.get(part, part) for part in name.split("_"))]
        here = np.lexsort((*s.shift.T, s.j, s.i))
        there = np.lexsort((*-t.shift.T, t.i, t.j))
        values = np.empty_like(s.values)
        values[here] = 0.5 * (s.values[here] + t.values[there].transpose(0, 2, 1))
        out[name] = BlockSet(s.i, s.j, s.shift, values)
    return out


def indexed_elements(sets, element):
    """Elements by network with their index in the published files.

    The orbitals count all metal atoms (5 each), then all chalcogens (3 each), in the order of the atoms;
    index = image N^2 + (m - 1) + (n - 1) N for row m, column n and the image of j: (-1,-1), (-1,0), ... (1,1).

    Parameters
    ----------
    sets : dict of str to BlockSet
    element : ndarray of int, shape (n_atoms,)

    Returns
    -------
    dict of str to (index (n,), values (n,) in eV)
        In the order of the files: by atom i, atom j, image, then row by row.

    Raises
    ------
    ValueError
        When a pair lies outside the nine images that the index knows, naming it.
    """
    order = np.argsort(element, kind="stable")
    counts = np.where(element == METAL, 5, 3)
    first, rank = np.empty_like(counts), np.empty_like(counts)
    rank[order] = np.arange(len(element))
    first[order] = np.concatenate([[0], np.cumsum(counts[order])[:-1]])
    n = counts.sum()
    out = {}
    for name, s in sets.items():
        outside = np.flatnonzero((np.abs(s.shift[:, :2]) > 1).any(axis=1) | (s.shift[:, 2] != 0))
        if len(outside):
            p = outside[0]
            raise ValueError(
                f"the pair of atoms {s.i[p]}, {s.j[p]} in cell {s.shift[p].tolist()} has no published index "
                "(cells -1, 0, 1 in the plane only): wrap the atoms, or take a larger cell"
            )
        image = 3 * (s.shift[:, 0] + 1) + s.shift[:, 1] + 1
        by = np.lexsort((image, rank[s.j], rank[s.i]))
        rows = first[s.i[by], None, None] + np.arange(s.values.shape[1])[:, None]
        columns = first[s.j[by], None, None] + np.arange(s.values.shape[2])
        index = image[by, None, None] * n**2 + rows + columns * n
        out[name] = index.ravel(), s.values[by].ravel()
    return out
