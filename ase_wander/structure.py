"""Layers and neighbour pairs of a stack of two-dimensional materials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.geometry import find_mic

#: Two atoms are bonded when closer than this factor times the sum of their covalent radii.
#: On displaced frames of the MoS2 data 1.0 splits layers and 1.3 merges them.
BOND_SCALE = 1.15

#: Atoms closer than this (Å) are taken for an input error.
MIN_DISTANCE = 1.0

#: Neighbours in the same layer up to this distance (Å) define an atom's local normal; their weight falls smoothly to zero.
NORMAL_REACH = 3.0

#: (Å^4) Keeps the local normal of an atom without neighbours: the plane's. A bonded carbon has 10 Å^4 in its place.
NORMAL_FLOOR = 1e-2


@dataclass(frozen=True)
class NeighbourPairs:
    """Ordered pairs of atoms within a cutoff; (i, j, S) and (j, i, -S) both appear.

    Attributes
    ----------
    i, j : ndarray of int, shape (n_pairs,)
        Atom indices.
    shift : ndarray of int, shape (n_pairs, 3)
        Cell of atom j, in lattice vectors, for positions as given (not wrapped).
    vector : ndarray of float, shape (n_pairs, 3)
        r_j + shift @ cell - r_i in Å.
    distance : ndarray of float, shape (n_pairs,)
        Length of `vector` in Å.
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    vector: np.ndarray
    distance: np.ndarray

    def __len__(self):
        return len(self.i)

    def select(self, mask):
        """Pairs where `mask` (bool or index array) holds."""
        return NeighbourPairs(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


def neighbour_pairs(atoms: Atoms, cutoff: float) -> NeighbourPairs:
    """All ordered pairs of different atoms (or images) closer than `cutoff` (Å), sorted by i."""
    import vesin  # here, as it imports torch where that is installed: building a cell need not wait for it

    pbc = np.asarray(atoms.pbc)
    calculator = vesin.NeighborList(cutoff=float(cutoff), full_list=True, sorted=True)
    i, j, shift, vector, distance = calculator.compute(
        points=atoms.positions, box=slab_cell(atoms), periodic=pbc, quantities="ijSDd"
    )
    return NeighbourPairs(i.astype(np.int64), j.astype(np.int64), shift.astype(np.int64), vector, distance)


def check_atoms(atoms: Atoms, min_distance: float = MIN_DISTANCE) -> None:
    """Raise ValueError, naming the atom, for input that no model can treat.

    Checked: at least one atom, finite positions and cell, a cell that spans the periodic
    directions, periodicity in the plane, no two atoms closer than `min_distance` (Å).
    """
    if len(atoms) == 0:
        raise ValueError("the structure holds no atoms")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(bad):
        k = bad[0]
        raise ValueError(f"position of atom {k} ({atoms.symbols[k]}) is not finite: {atoms.positions[k]}")
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is not finite: {atoms.cell.array.tolist()}")
    pbc = np.asarray(atoms.pbc)
    if not pbc[:2].all():
        raise ValueError(
            f"pbc is {pbc.tolist()}: a layered structure must be periodic along the first two "
            "lattice vectors (atoms.pbc = (True, True, False))"
        )
    if np.linalg.matrix_rank(atoms.cell.array[pbc], tol=1e-3) < pbc.sum():
        raise ValueError(f"the cell {atoms.cell.array.tolist()} does not span its periodic directions {pbc.tolist()}")
    pairs = neighbour_pairs(atoms, min_distance)
    if len(pairs):
        k = int(np.argmin(pairs.distance))
        i, j = int(pairs.i[k]), int(pairs.j[k])
        raise ValueError(
            f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) overlap: "
            f"{pairs.distance[k]:.3f} Å apart, less than {min_distance:g} Å"
        )


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
    normal = plane_normal(atoms)
    unfolded = atoms.positions + cells @ atoms.cell.array
    heights = unfolded @ normal
    n_layers = component.max() + 1
    mean_height = np.empty(n_layers)
    for c in range(n_layers):
        rank = np.linalg.matrix_rank(period[component[pairs.i] == c]) if len(pairs) else 0
        members = np.flatnonzero(component == c)
        if rank != 2:
            what = {0: "a molecule or single atom", 1: "a chain", 3: "a bulk crystal"}[int(rank)]
            k = members[0]
            raise ValueError(
                f"no layers found: atom {k} ({chemical_symbols[atoms.numbers[k]]}) belongs to {what} of "
                f"{len(members)} atom(s) bonded in {int(rank)} periodic direction(s); "
                "a layer must be bonded in exactly two"
            )
        mean_height[c] = heights[members].mean()
    if atoms.pbc[2]:
        mean_height = _above_largest_gap(mean_height, abs(atoms.cell.array[2] @ normal))
    rank_of = np.empty(n_layers, int)
    rank_of[np.argsort(mean_height, kind="stable")] = np.arange(n_layers)
    return rank_of[component]


def standing_positions(atoms: Atoms) -> np.ndarray:
    """Positions (n, 3) with the vacuum outside the stack: where the third direction is periodic, atoms above the largest
    empty space are moved down by one lattice vector, so that heights are those of one slab."""
    if not atoms.pbc[2]:
        return atoms.positions
    normal, positions = plane_normal(atoms), atoms.positions
    period = atoms.cell.array[2] @ normal
    heights = positions @ normal
    folded = _above_largest_gap(heights, abs(period))
    # whole lattice vectors only, so that phases in the plane stay those of the crystal
    whole = np.round((folded - heights - (folded - heights)[0]) / period)
    return positions + whole[:, None] * atoms.cell.array[2]


def slab_cell(atoms: Atoms) -> np.ndarray:
    """Cell (3, 3) with the unit normal in place of a third vector that is not periodic, and so may be anything."""
    cell = atoms.cell.array.copy()
    if not atoms.pbc[2]:
        cell[2] = plane_normal(atoms)
    return cell


def plane_normal(atoms: Atoms) -> np.ndarray:
    """Unit normal of the plane of the first two lattice vectors, shape (3,), right-handed."""
    normal = np.cross(atoms.cell[0], atoms.cell[1])
    return normal / np.linalg.norm(normal)


def empty_height(atoms: Atoms) -> float:
    """Largest distance (Å) between successive heights of atoms periodic in the third direction: the vacuum of a slab."""
    normal = plane_normal(atoms)
    period = abs(atoms.cell[2] @ normal)
    heights = np.sort((atoms.positions @ normal) % period)
    return float(np.diff(np.append(heights, heights[0] + period)).max())


def continues(last: Atoms, atoms: Atoms, reach: float) -> bool:
    """Whether `atoms` go on from `last`: same numbers and pbc, a cell changed by less than a fifth, and, seen from the cell,
    no atom moved by `reach` (Å) or more."""
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
    """Unit normal of the layer at every atom, (n, 3), all on the side of `plane_normal`: the axis of a single p_z orbital.

    With M = sum_j w(r_ij) r_ij r_ij^T over neighbours in the same layer closer than NORMAL_REACH and z the plane's normal

        n_i  is parallel to  cof(M_i) z + NORMAL_FLOOR z,     2 cof(M) = sum_jk w_j w_k (r_j x r_k)(r_j x r_k)^T,

    the sum of the normals of all pairs of bonds, turned to the side of z. It is a smooth function of the positions,
    nowhere singular, z itself in a flat layer, and turns with atoms and cell; mirroring the atoms at the plane
    (z kept) turns it into minus the mirrored normal. `nn.incomplete.local_normals` is the same in torch.
    """
    layers = np.asarray(layers)
    pairs = neighbour_pairs(atoms, NORMAL_REACH)
    pairs = pairs.select(layers[pairs.i] == layers[pairs.j])
    x = pairs.distance / NORMAL_REACH
    weight = 1 - x**3 * (10 - 15 * x + 6 * x * x)
    moment = np.zeros((len(atoms), 3, 3))
    np.add.at(moment, pairs.i, weight[:, None, None] * pairs.vector[:, :, None] * pairs.vector[:, None, :])
    z = plane_normal(atoms)
    cofactor = np.cross(moment[:, [1, 2, 0]], moment[:, [2, 0, 1]])  # row a of cof(M) = M_b x M_c, (a, b, c) cyclic
    normal = cofactor @ z + NORMAL_FLOOR * z
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _unfold_components(n_atoms, pairs):
    """Connected components and, per atom, the image (n_atoms, 3) that makes its component contiguous."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    graph = csr_matrix((np.ones(len(pairs)), (pairs.i, pairs.j)), shape=(n_atoms, n_atoms))
    n_components, component = connected_components(graph, directed=False)
    bond = {}
    for a, b, s in zip(pairs.i.tolist(), pairs.j.tolist(), pairs.shift.tolist()):
        bond.setdefault((a, b), s)
    cells = np.zeros((n_atoms, 3), int)
    for c in range(n_components):
        root = int(np.flatnonzero(component == c)[0])
        order, parents = breadth_first_order(graph, root, directed=False)
        for atom in order[1:].tolist():
            parent = int(parents[atom])
            cells[atom] = cells[parent] + bond[parent, atom]
    return component, cells


def _above_largest_gap(heights, period):
    """Fold periodic heights so that the largest empty space (the vacuum) lies outside the stack."""
    folded = np.sort(heights % period)
    gaps = np.diff(np.append(folded, folded[0] + period))
    start = folded[(np.argmax(gaps) + 1) % len(folded)]
    return (heights - start + 1e-9) % period
