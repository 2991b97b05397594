"""The lattice of every layer of a stack, relaxed or not, and the atoms that sit on it, from positions alone.

A primitive translation t of a layer takes every atom close to a like atom. In a relaxed layer the two differ by the
difference of two displacements; as the partners are a permutation of the atoms, their mean over the layer is zero, so
the mean of the vectors between partners is the layer's mean lattice vector exactly.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .interlayer import flat_slab, layer_index, unwrapped_heights
from .lattice import is_metal, reduce_cell

#: Rms distance, relative to the translation, between where a translation takes the atoms and where like atoms are.
TRANSLATION_TOLERANCE = 0.08

#: Width (Å) of what is searched around the cell.
MARGIN = 40.0

#: Radii (Å) up to which translations are looked for, one after the other.
REACHES = (4.5, 9.0, 18.0, 36.0)


class PeriodicPoints:
    """Nearest-neighbour search among points with the period of a cell in the plane.

    Parameters
    ----------
    cell : ndarray, shape (2, 2)
    points : ndarray, shape (n, 2)
        Å.
    labels : ndarray, shape (n, k)
        Further coordinates, not periodic (height, species times a large factor).
    """

    def __init__(self, cell, points, labels=None):
        from scipy.spatial import cKDTree

        self.cell, n = cell, len(points)
        labels = np.zeros((n, 0)) if labels is None else labels
        self.fractional = (points @ np.linalg.inv(cell)) % 1.0
        heights = abs(np.linalg.det(cell)) / np.linalg.norm(cell[::-1], axis=1)
        margin = MARGIN / heights
        reach = np.ceil(margin).astype(int)
        shifts = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 2)
        images = self.fractional[:, None] + shifts
        keep = np.all((images > -margin) & (images < 1 + margin), axis=2)
        self.owner = np.nonzero(keep)[0]
        self.images = images[keep] @ cell
        self.tree = cKDTree(np.column_stack([self.images, labels[self.owner]]))

    def nearest(self, points, labels=None):
        """Index of the point nearest to each of `points` (m, 2), the vector (m, 2) there in the plane, and the distance
        (m,).
        """
        labels = np.zeros((len(points), 0)) if labels is None else labels
        wrapped = ((points @ np.linalg.inv(self.cell)) % 1.0) @ self.cell
        distance, found = self.tree.query(np.column_stack([wrapped, labels]))
        return self.owner[found], self.images[found] - wrapped, distance


def layer_lattices(atoms: Atoms, layers=None) -> list[np.ndarray]:
    """Mean lattice vectors (rows, Å) of every layer, bottom first.

    They are found in the positions, so that any file and any order of the atoms will do. Where
    `atoms.info["supercells"]` (integer matrices, as built) describes the same lattices its choice of vectors is kept;
    otherwise they are the shortest ones, at 90 to 120 degrees, hexagonal ones with the first as near to x as can be.

    Parameters
    ----------
    atoms : ase.Atoms
        Layers in the xy plane, displaced from their lattices by less than a bond.
    layers : ndarray of int, optional
        Layer of every atom; found from the bonds by default.

    Raises
    ------
    ValueError
        When the layers do not lie in the xy plane.
    """
    atoms = flat_slab(atoms)
    layers = layer_index(atoms, layers)
    z, cell = atoms.positions[:, 2], atoms.cell.array[:2, :2]
    fitted = [
        fit_lattice(cell, atoms.positions[layers == k, :2], z[layers == k], atoms.numbers[layers == k])
        for k in range(layers.max() + 1)
    ]
    built = np.array(atoms.info.get("supercells", ()), dtype=int).reshape(-1, 2, 2)
    # Of a left-handed cell the built choice would be left-handed, and registries in it exchanged.
    if len(built) != len(fitted) or (np.round(np.linalg.det(built)) == 0).any() or np.linalg.det(cell) < 0:
        return fitted
    return [
        own if _same_lattice(own, lattice) else lattice
        for own, lattice in zip((np.linalg.solve(m.astype(float), cell) for m in built), fitted)
    ]


def fit_lattice(cell, points, heights, numbers) -> np.ndarray:
    """Mean lattice vectors (rows, Å) of one layer.

    Parameters
    ----------
    cell : ndarray, shape (2, 2)
        Period of the plane; without smaller translations it is the answer.
    points : ndarray, shape (n, 2)
    heights : ndarray, shape (n,)
    numbers : ndarray of int, shape (n,)
    """
    labels = np.column_stack([heights, 100.0 * numbers])
    search = PeriodicPoints(cell, points, labels)
    species, count = np.unique(numbers, return_counts=True)
    start = int(np.flatnonzero(numbers == species[np.argmin(count)])[0])
    for reach in REACHES:
        vectors = _translations(search, points, labels, start, reach)
        if len(vectors) == 2:
            break
    else:
        return standard_basis(reduce_cell(cell)[0])
    # the cell is a whole number of them, up to rounding: the means are exact
    matrix = np.round(np.linalg.solve(vectors.T, cell.T).T)
    if abs(matrix @ vectors - cell).max() > 1e-6 * abs(cell).max() or abs(np.linalg.det(matrix)) < 0.5:
        return standard_basis(reduce_cell(cell)[0])
    return standard_basis(reduce_cell(np.linalg.solve(matrix, cell))[0])


def _translations(search, points, labels, start, reach):
    """The two shortest independent translations up to `reach` (Å) among the vectors from atom `start` to its like.

    Fewer when there are not.
    """
    home = search.fractional[start] @ search.cell
    candidates = search.tree.query_ball_point([*home, *labels[start]], reach)
    vectors = search.images[candidates] - home
    length = np.linalg.norm(vectors, axis=1)
    found = []
    for k in np.argsort(length):
        t = vectors[k]
        if length[k] < 0.5 or (
            found and abs(found[0][0] * t[1] - found[0][1] * t[0]) < 0.3 * np.linalg.norm(found[0]) * length[k]
        ):
            continue
        partner, offset, distance = search.nearest(points + t, labels)
        if np.sqrt(np.mean(distance**2)) < TRANSLATION_TOLERANCE * length[k] and len(np.unique(partner)) == len(
            partner
        ):
            found.append(t + offset.mean(axis=0))
            if len(found) == 2:
                break
    return np.array(found)


def standard_basis(vectors):
    """Turn a reduced basis by the lattice's own rotations until the first vector points towards x."""
    if (
        abs(vectors[0] @ vectors[1] / (vectors[0] @ vectors[0]) + 0.5) < 0.03
        and 0.97 < (vectors[0] @ vectors[0]) / (vectors[1] @ vectors[1]) < 1.03
    ):
        turned = [np.linalg.matrix_power([[1, 1], [-1, 0]], k) @ vectors for k in range(6)]  # by 60 degrees each
    else:
        turned = [vectors, -vectors]
    return max(turned, key=lambda v: v[0, 0])


def _same_lattice(one, other):
    change = np.linalg.solve(other.T, one.T).T
    return abs(change - np.round(change)).max() < 1e-3 and abs(abs(np.linalg.det(change)) - 1) < 1e-3


def reference_sites(atoms: Atoms, layer: int, layers: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """One atom per primitive cell of a layer: metals if there is one per cell, else atoms like its first one.

    Returns
    -------
    ndarray of int, shape (n_cells,)
        Atoms, ascending.
    """
    index = np.flatnonzero(layers == layer)
    if len(index) == 0:
        raise ValueError(f"there is no layer {layer}: the structure has {layers.max() + 1}")
    n_cells = round(abs(np.linalg.det(atoms.cell.array[:2, :2]) / np.linalg.det(lattice)))
    metal = is_metal(atoms.numbers[index])
    if metal.sum() == n_cells:
        return index[metal]
    if len(index) % n_cells:
        raise ValueError(f"layer {layer} has {len(index)} atoms, not a multiple of its {n_cells} primitive cells")
    like = index[atoms.numbers[index] == atoms.numbers[index[0]]]
    z = unwrapped_heights(atoms, layers)[like]
    residue = (atoms.positions[like, :2] - atoms.positions[like[0], :2]) @ np.linalg.inv(lattice)
    centre = np.zeros(2)
    for _ in range(3):  # the first atom is displaced too: towards the mean of its sublattice
        offset = residue - centre
        offset -= np.round(offset)
        nearest = np.argsort(np.hypot(np.linalg.norm(offset @ lattice, axis=1), z - z[0]), kind="stable")[:n_cells]
        centre = centre + offset[nearest].mean(axis=0)
    return np.sort(like[nearest])


def local_areas(atoms: Atoms, sites: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Area of the local lattice cell at each site, Å^2, shape (n_sites,), by central differences."""
    points = atoms.positions[sites, :2]
    search = PeriodicPoints(atoms.cell.array[:2, :2], points)
    steps = []
    for t in lattice:
        ahead, behind = (s * t + search.nearest(points + s * t)[1] for s in (1, -1))
        steps.append((ahead - behind) / 2)
    return abs(steps[0][:, 0] * steps[1][:, 1] - steps[0][:, 1] * steps[1][:, 0])
