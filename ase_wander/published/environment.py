"""Template-ordered environments: the input of the published WANDER networks.

There is no cutoff and no sorting by distance. A walk starts at the central atom; every step adds an ideal
MoS2 vector to a node found before and takes the nearest atom of the required element, in any layer.
The nearest atom of the opposite layer follows, and its own walk. All nodes enter as
(1/R, Rx/R^2, Ry/R^2, Rz/R^2), R from the central atom (Qi, Gong, Yan, arXiv:2403.13675).

Index legend: n central atoms of one kind, k nodes, c Cartesian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

METAL, CHALCOGEN = 0, 1

#: Node that each step of a published walk starts from (0 = the central atom), and the element it looks for.
PUBLISHED_PARENTS = {
    "metal": (0,) * 6 + (1, 1, 3, 3, 5, 5) + (7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 10, 10, 11, 11, 12, 12, 12, 12),
    "chalcogen": (0,) * 4 + (2,) * 4 + (3,) * 4 + (4,) * 4 + (5, 7, 7, 9, 11, 11, 13, 15, 15),
}
ELEMENTS = {
    "metal": (CHALCOGEN,) * 6 + (METAL,) * 6 + (CHALCOGEN,) * 18,
    "chalcogen": (CHALCOGEN,) + (METAL,) * 3 + (CHALCOGEN,) * 12 + (METAL,) * 9,
}

#: Inputs per central atom: two walks and the opposite atom, four numbers each.
N_INPUTS = {"metal": 4 * (2 * 30 + 1), "chalcogen": 4 * (2 * 25 + 1)}

#: Atoms whose distances to a target agree to this (Å) are tied; the published example has gaps of 1.7e-8 Å.
TIE = 1e-9

#: An atom is looked for within this distance (Å) of its target.
REACH = 12.0


@dataclass(frozen=True)
class Walk:
    """Parents (n_steps,), elements (n_steps,) and ideal vectors (n_steps, 3) in Å of one template walk."""

    parents: tuple
    elements: tuple
    steps: np.ndarray


@dataclass(frozen=True)
class Template:
    """Walks around a metal atom, an inner and an outer chalcogen of the bottom layer."""

    metal: Walk
    inner: Walk
    outer: Walk

    @classmethod
    def from_steps(cls, metal, inner, outer, parents=PUBLISHED_PARENTS):
        """Template from ideal vectors of shape (30, 3), (25, 3), (25, 3) in Å.

        Raises
        ------
        ValueError
            When the number of vectors is not that of the parents, naming the walk.
        """
        walks = []
        for name, kind, steps in (
            ("metal", "metal", metal),
            ("inner", "chalcogen", inner),
            ("outer", "chalcogen", outer),
        ):
            steps = np.asarray(steps, float)
            if steps.shape != (len(parents[kind]), 3):
                raise ValueError(
                    f"the {name} template has shape {steps.shape}, its walk needs ({len(parents[kind])}, 3)"
                )
            walks.append(Walk(tuple(parents[kind]), ELEMENTS[kind], steps))
        return cls(*walks)

    @property
    def parents(self):
        """Parents by kind of central atom, as `from_steps` takes them."""
        return {"metal": self.metal.parents, "chalcogen": self.inner.parents}


@dataclass(frozen=True)
class Bilayer:
    """A structure in the frame of the template, as the walks need it.

    Attributes
    ----------
    positions : ndarray, shape (n_atoms, 3)
        Å; contiguous along z, bottom layer parallel to the template.
    cell : ndarray, shape (3, 3)
        Å; the first two vectors lie in the xy plane.
    element : ndarray of int, shape (n_atoms,)
        METAL or CHALCOGEN.
    layer : ndarray of int, shape (n_atoms,)
        0 bottom, 1 top.
    inner : ndarray of bool, shape (n_atoms,)
        On the side of its layer that faces the other one.
    orientation : tuple of int
        Per layer +1, or -1 where the layer is turned by 180 degrees against the template.
    """

    positions: np.ndarray
    cell: np.ndarray
    element: np.ndarray
    layer: np.ndarray
    inner: np.ndarray
    orientation: tuple

    def template_sign(self, layer):
        """Factors of (x, y, z) that take the bottom template to `layer`: -1, -1, -1 for an antiparallel top."""
        turn = self.orientation[layer]
        return np.array([turn, turn, 1 if layer == 0 else -1])


class PeriodicTree:
    """Nearest atom of a set that repeats along two lattice vectors, by a kd-tree over one padded cell."""

    def __init__(self, positions, cell, members):
        self.cell, self.members = cell[:2], np.asarray(members)
        # Rows of the pseudo-inverse of the in-plane lattice: fractional = r @ dual.
        self.dual = np.linalg.pinv(self.cell)
        self.home = np.floor(positions[self.members] @ self.dual).astype(int)
        wrapped = positions[self.members] - self.home @ self.cell
        # A sphere of radius REACH around a point of the cell spans REACH / height cells.
        n = np.ceil(REACH * np.linalg.norm(self.dual, axis=0)).astype(int)
        images = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in n), indexing="ij"), -1).reshape(-1, 2)
        points = (wrapped[None] + (images @ self.cell)[:, None]).reshape(-1, 3)
        index = np.tile(np.arange(len(self.members)), len(images))
        image = np.repeat(images, len(self.members), axis=0)
        fractional = points @ self.dual
        margin = REACH * np.linalg.norm(self.dual, axis=0)
        near = ((fractional > -margin) & (fractional < 1 + margin)).all(axis=1)
        self.index, self.image = index[near], image[near]
        self.tree = cKDTree(points[near])

    def nearest(self, targets):
        """Atom (n,) and cell shift (n, 2), for positions as given, nearest to each of `targets` (n, 3); -1 for none."""
        cell = np.floor(targets @ self.dual).astype(int)
        local = targets - cell @ self.cell
        # At a hollow site three atoms of a triangular lattice are equally far: four candidates see every tie.
        distance, found = self.tree.query(local, k=min(4, self.tree.n), distance_upper_bound=REACH)
        distance, found = distance.reshape(len(targets), -1), found.reshape(len(targets), -1)
        tied = distance <= distance[:, :1] + TIE
        away = self.tree.data[np.minimum(found, self.tree.n - 1)] - local[:, None]
        # Of tied atoms the one furthest along a fixed, irrational direction: the order of the atoms plays no part.
        along = np.where(tied, away @ np.array([1.0, 0.31783724, 0.10102051]), -np.inf)
        rows = np.arange(len(targets))
        found = found[rows, along.argmax(axis=1)]
        missing = ~np.isfinite(distance[:, 0])
        found = np.where(missing, 0, found)
        index = self.index[found]
        shift = self.image[found] - self.home[index] + cell
        return np.where(missing, -1, self.members[index]), shift


def environment_vectors(bilayer, template):
    """Vectors from every atom to the nodes of its environment, in the frame of the template.

    Returns
    -------
    dict
        "metal" -> (atoms (n,), vectors (n, 61, 3)), "chalcogen" -> (atoms (n,), vectors (n, 51, 3)), Å, atoms
        ascending.

    Raises
    ------
    ValueError
        When the opposite layer, or a node, has no atom within reach, naming the central atom.
    """
    trees = [
        PeriodicTree(bilayer.positions, bilayer.cell, np.flatnonzero(bilayer.element == e)) for e in (METAL, CHALCOGEN)
    ]
    found = {"metal": [], "chalcogen": []}
    for layer in (0, 1):
        other = bilayer.layer == 1 - layer
        for kind, element, inner in (
            ("metal", METAL, None),
            ("chalcogen", CHALCOGEN, True),
            ("chalcogen", CHALCOGEN, False),
        ):
            mask = (bilayer.layer == layer) & (bilayer.element == element)
            facing = other & (bilayer.element == element)
            if inner is not None:
                mask &= bilayer.inner == inner
                facing &= bilayer.inner
            atoms = np.flatnonzero(mask)
            if not len(atoms):
                continue
            own = template.metal if inner is None else template.inner if inner else template.outer
            nodes = _walk(bilayer, trees, own, layer, atoms, np.zeros((len(atoms), 2), int))
            opposite = _opposite(bilayer, atoms, np.flatnonzero(facing))
            walk = template.metal if inner is None else template.inner
            across = _walk(bilayer, trees, walk, 1 - layer, *opposite)
            index, shift = (np.concatenate([a, b[None], c]) for a, b, c in zip(nodes, opposite, across))
            vectors = bilayer.positions[index] + shift @ bilayer.cell[:2] - bilayer.positions[atoms]
            found[kind].append((atoms, vectors.transpose(1, 0, 2)))
    out = {}
    for kind, parts in found.items():
        if not parts:
            raise ValueError(f"the structure has no {kind} atom")
        atoms, vectors = (np.concatenate(part) for part in zip(*parts))
        order = np.argsort(atoms)
        out[kind] = atoms[order], vectors[order]
    return out


def _walk(bilayer, trees, walk, layer, atoms, shifts):
    """Nodes of a walk from `atoms` in cells `shifts` (n, 2): indices (n_steps, n), shifts (n_steps, n, 2)."""
    steps = walk.steps * bilayer.template_sign(layer)
    nodes = [(atoms, shifts)]
    for parent, element, step in zip(walk.parents, walk.elements, steps):
        index, shift = nodes[parent]
        target = bilayer.positions[index] + shift @ bilayer.cell[:2] + step
        node = trees[element].nearest(target)
        _check_found(bilayer, atoms, node[0], "a node of the walk around")
        nodes.append(node)
    index, shift = zip(*nodes[1:])
    return np.stack(index), np.stack(shift)


def _opposite(bilayer, atoms, candidates):
    """Nearest atom of the opposite layer, as (indices (n,), shifts (n, 2))."""
    if not len(candidates):
        raise ValueError(f"atom {atoms[0]} has no partner in the opposite layer: no such atom on its inner side")
    node = PeriodicTree(bilayer.positions, bilayer.cell, candidates).nearest(bilayer.positions[atoms])
    _check_found(bilayer, atoms, node[0], "the opposite layer seen from")
    return node


def _check_found(bilayer, atoms, index, what):
    if (index < 0).any():
        k = atoms[np.flatnonzero(index < 0)[0]]
        raise ValueError(
            f"{what} atom {k} at {np.round(bilayer.positions[k], 3).tolist()} has no atom within {REACH:g} Å"
        )


def inverse_coordinates(vectors, decimals=None):
    """(1/R, Rx/R^2, Ry/R^2, Rz/R^2) of vectors (..., 3) in Å, shape (..., 4), rounded as in the published files."""
    square = (vectors**2).sum(axis=-1, keepdims=True)
    out = np.concatenate([1 / np.sqrt(square), vectors / square], axis=-1)
    return out if decimals is None else out.round(decimals)
