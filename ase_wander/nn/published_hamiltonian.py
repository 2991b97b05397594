"""Hamiltonian blocks of the published networks: on-site, intra-layer and inter-layer pairs within 12 Å.

Index legend: p ordered pairs, a rows (orbitals of i), b columns (orbitals of j).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ase_wander.nn.published import NEAR, evaluate
from ase_wander.nn.published_environment import METAL, inverse_coordinates


_TRANSPOSED = {"ms": "sm", "sm": "ms"}


@dataclass(frozen=True)
class BlockSet:
    """Blocks of one network.

    Attributes
    ----------
    i, j : ndarray of int, shape (n,)
    shift : ndarray of int, shape (n, 3)
        Cell of atom j, for positions as given.
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
    return np.where(same_layer, np.char.add(np.char.add("intra_", kind), near),
                    np.char.add(np.char.add("inter_", kind), inter))


def block_sets(networks, element, layer, pairs, shift, raer, onsite_inputs, offsets, decimals=None):
    """Blocks by network, in the published orbitals.

    Parameters
    ----------
    networks : mapping of str to PublishedNetwork
    element, layer : ndarray of int, shape (n_atoms,)
    pairs : NeighbourPairs
        Ordered pairs of different atoms or images, vectors in the frame of the template.
    shift : ndarray of int, shape (n_pairs, 3)
        Cells of j for positions as given.
    raer : ndarray, shape (n_atoms, 32)
    onsite_inputs : dict
        "self_m", "self_s" -> (atoms (n,), inputs (n, n_in)).
    offsets : sequence of float
        eV added to the on-site diagonal of the bottom and the top layer.
    decimals : int, optional
        Round inputs and elements as the published files do.

    Returns
    -------
    dict of str to BlockSet
    """
    def rounded(x):
        return x if decimals is None else x.round(decimals)

    sets = {}
    for name, (atoms, inputs) in onsite_inputs.items():
        n = 5 if name == "self_m" else 3
        values = rounded(evaluate(networks[name], inputs)).reshape(-1, n, n)
        values[:, range(n), range(n)] += np.asarray(offsets, float)[layer[atoms]][:, None]
        sets[name] = BlockSet(atoms, atoms, np.zeros((len(atoms), 3), int), rounded(values))
    local = inverse_coordinates(pairs.vector, decimals)
    names = pair_network(element[pairs.i], element[pairs.j], layer[pairs.i] == layer[pairs.j], pairs.distance)
    for name in np.unique(names):
        p = np.flatnonzero(names == name)
        i, j = pairs.i[p], pairs.j[p]
        inputs = np.concatenate([raer[i], raer[j], local[p]], axis=1) if name.startswith("intra") else local[p]
        n_a, n_b = (5 if e == METAL else 3 for e in (element[i[0]], element[j[0]]))
        values = rounded(evaluate(networks[name], inputs)).reshape(-1, n_a, n_b)
        sets[str(name)] = BlockSet(i, j, shift[p], values)
    return sets


def rotate_blocks(sets, rotations):
    """Blocks in the real harmonics of the simulation's axes: H_g = U_i^T H U_j (orthogonal, exact)."""
    out = {}
    for name, s in sets.items():
        u_i, u_j = (np.stack([rotations[k] for k in index]) for index in (s.i, s.j))
        out[name] = BlockSet(s.i, s.j, s.shift, np.einsum("pga,pgh,phb->pab", u_i, s.values, u_j, optimize=True))
    return out


def assemble(sets):
    """All blocks as (pair_i, pair_j, pair_shift, block, block_ptr), raveled row-major, sorted by i, j, shift."""
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
            block[place[start:start + n, None] + np.arange(s.values[0].size)] = s.values.reshape(n, -1)
        start += n
    return i[order], j[order], shift[order], block, ptr


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
