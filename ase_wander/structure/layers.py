"""Layers of a stack by its bonds, and their local normals."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.geometry import find_mic

from .neighbours import check_atoms, neighbour_pairs
from .slab import WIDE_GAP, empty_inside, plane_normal, slab_cell, slab_heights

#: Two atoms are bonded when closer than this factor times the sum of their covalent radii.
#: On displaced frames of the MoS2 data 1.0 splits layers and 1.3 merges them.
BOND_SCALE = 1.15

#: Neighbours in the same layer up to this distance (Å) define an atom's local normal; their weight falls smoothly to
#: zero.
NORMAL_REACH = 3.0

#: (Å^4) Keeps the local normal of an atom without neighbours: the plane's. A bonded carbon has 10 Å^4 in its place.
NORMAL_FLOOR = 1e-2


class BulkCrystalError(ValueError):
    """The bonds repeat in three directions: there are no layers, but no open network without bonds either."""


def find_layers(atoms: Atoms, scale: float = BOND_SCALE) -> np.ndarray:
    """Layer of every atom by covalent connectivity, 0 = lowest along the plane's normal.

    Two atoms are bonded when closer than `scale` times the sum of their covalent radii; a layer is a
    connected component of the graph of bonds that repeats in exactly two independent directions.

    Returns
    -------
    ndarray of int, shape (n_atoms,)

    Raises
    ------
    ValueError
        When a component is a molecule or chain (repeats in fewer than two directions) or a bulk
        crystal (three), naming one of its atoms.
    """
    check_atoms(atoms)
    radii = covalent_radii[atoms.numbers]
    pairs = neighbour_pairs(atoms, 2 * scale * radii.max() + 1e-9)
    pairs = pairs.select(pairs.distance < scale * (radii[pairs.i] + radii[pairs.j]))
    component, cells = _unfold_components(len(atoms), pairs)
    # A bond whose two ends were unfolded into different images closes a loop around the torus:
    # the lattice vector it closes is a period of that component.
    period = cells[pairs.i] + pairs.shift - cells[pairs.j]
    heights = slab_heights(atoms)
    n_layers = component.max() + 1
    mean_height = np.empty(n_layers)
    for c in range(n_layers):
        rank = np.linalg.matrix_rank(period[component[pairs.i] == c]) if len(pairs) else 0
        members = np.flatnonzero(component == c)
        if rank != 2:
            what = {0: "a molecule or single atom", 1: "a chain", 3: "a bulk crystal"}[int(rank)]
            k = members[0]
            raise (BulkCrystalError if rank == 3 else ValueError)(
                f"no layers found: atom {k} ({chemical_symbols[atoms.numbers[k]]}) belongs to {what} of "
                f"{len(members)} atom(s) bonded in {int(rank)} periodic direction(s); "
                f"a layer must be bonded in exactly two{_hint_of_wrapping(atoms)}"
            )
        mean_height[c] = heights[members].mean()
    rank_of = np.empty(n_layers, int)
    rank_of[np.argsort(mean_height, kind="stable")] = np.arange(n_layers)
    return rank_of[component]


def _hint_of_wrapping(atoms):
    width = empty_inside(atoms)
    if width < WIDE_GAP:
        return ""
    return (
        f". The atoms stand on both sides of {width:.1f} Å of nothing: if the cell boundary cuts the slab, set "
        "atoms.pbc[2] = True or undo the wrapping along the third vector"
    )


def continues(last: Atoms, atoms: Atoms, reach: float) -> bool:
    """Whether `atoms` go on from `last`: same numbers and pbc, a cell changed by less than a fifth, and, seen from
    the cell, no atom moved by `reach` (Å) or more."""
    if not (
        np.array_equal(last.numbers, atoms.numbers)
        and np.array_equal(last.pbc, atoms.pbc)
        and np.isfinite(atoms.positions).all()
        and np.isfinite(atoms.cell.array).all()
    ):
        return False
    old, new = (slab_cell(a) for a in (last, atoms))
    if np.linalg.matrix_rank(new, tol=1e-3) < 3 or np.abs(new - old).max() > 0.2 * np.linalg.norm(old, axis=1).max():
        return False
    moved = np.linalg.solve(new.T, atoms.positions.T).T - np.linalg.solve(old.T, last.positions.T).T
    _, distance = find_mic(moved @ new, new, atoms.pbc)
    return bool(distance.max(initial=0.0) < reach)


def local_normals(atoms: Atoms, layers: np.ndarray) -> np.ndarray:
    """Unit normal of the layer at every atom, (n, 3), on the side of `plane_normal`: the axis of a single p_z orbital.

    With M = sum_j w(r_ij) r_ij r_ij^T over neighbours in the layer closer than NORMAL_REACH and z the plane's normal

        n_i  is parallel to  cof(M_i) z + NORMAL_FLOOR z,     2 cof(M) = sum_jk w_j w_k (r_j x r_k)(r_j x r_k)^T,

    the sum of the normals of all pairs of bonds, turned to the side of z. It is a smooth function of the positions,
    nowhere singular, z itself in a flat layer, and turns with atoms and cell; mirroring the atoms at the plane
    (z kept) turns it into minus the mirrored normal. Networks take it from their own neighbour list, by
    `normal_of_moment` too (`nn.axial.local_normals`).
    """
    layers = np.asarray(layers)
    pairs = neighbour_pairs(atoms, NORMAL_REACH)
    pairs = pairs.select(layers[pairs.i] == layers[pairs.j])
    x = pairs.distance / NORMAL_REACH
    weight = 1 - x**3 * (10 - 15 * x + 6 * x * x)
    moment = np.zeros((len(atoms), 3, 3))
    np.add.at(moment, pairs.i, weight[:, None, None] * pairs.vector[:, :, None] * pairs.vector[:, None, :])
    return normal_of_moment(moment, plane_normal(atoms))


def normal_of_moment(moment, plane):
    """Unit normals (n, 3) from moments M (n, 3, 3) of the neighbours' vectors and the plane's normal (3,), see
    `local_normals`; NumPy arrays or torch tensors."""
    # row a of cof(M) = M_b x M_c, (a, b, c) cyclic
    b, c = moment[:, [1, 2, 0]], moment[:, [2, 0, 1]]
    cofactor = b[..., [1, 2, 0]] * c[..., [2, 0, 1]] - b[..., [2, 0, 1]] * c[..., [1, 2, 0]]
    normal = cofactor @ plane + NORMAL_FLOOR * plane
    return normal / ((normal * normal).sum(-1) ** 0.5)[:, None]


def _unfold_components(n_atoms, pairs):
    """Connected components and, per atom, the image (n_atoms, 3) that makes its component contiguous."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    graph = csr_matrix((np.ones(len(pairs)), (pairs.i, pairs.j)), shape=(n_atoms, n_atoms))
    _, component = connected_components(graph, directed=False)
    key = pairs.i * n_atoms + pairs.j
    bonds, first = np.unique(key, return_index=True)
    cells = np.zeros((n_atoms, 3), int)
    for root in np.unique(component, return_index=True)[1]:
        order, parents = breadth_first_order(graph, int(root), directed=False)
        child, parent = order[1:], parents[order[1:]]
        step = pairs.shift[first[np.searchsorted(bonds, parent * n_atoms + child)]]
        place = np.empty(n_atoms, int)
        place[order] = np.arange(len(order))
        # The parent of an atom comes before it: one generation of the tree after the other.
        start, parent_place = 0, place[parent]
        while start < len(child):
            stop = start + int(np.searchsorted(parent_place[start:], start + 1))
            cells[child[start:stop]] = cells[parent[start:stop]] + step[start:stop]
            start = stop
    return component, cells
