"""Untwisted cells that look like the places of a moiré pattern: local registry, gap, strain and thickness of its sites.

A reference calculation of a moiré cell is out of reach; that of a cell of a few atoms with the surroundings of one of
its places is not.  Bending and the twist itself, which such a cell cannot have, are left out.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...moire.interlayer import PeriodicSurface, interlayer_distance, layer_index, midplane_sites, unwrapped_heights
from ...moire.stacking import local_registry, matched_lattice
from ...moire.sublattice import PeriodicPoints, layer_lattices, reference_sites

#: Fractional distance up to which atoms belong to one sublattice of a layer.
SAME_SUBLATTICE = 0.2

#: Total empty height of a cell, Å, as in the sampling.
VACUUM = 12.0


def local_patches(
    atoms: Atoms, lower: int = 0, layers=None, vacuum: float = VACUUM, limit: int | None = None, seed: int = 0
) -> list[Atoms]:
    """One untwisted bilayer cell for every site of the lower layer.

    Parameters
    ----------
    atoms : ase.Atoms
        A moiré cell, relaxed or rigid.
    lower : int
        Lower layer of the pair.
    layers : ndarray of int, optional
        Layer of every atom; found from the bonds by default.
    vacuum : float
        Total empty height, Å.
    limit : int, optional
        At most so many sites, drawn at random.

    Returns
    -------
    list of Atoms
        First vector along x, pbc (T, T, F).  `info`: site (atom of the moiré cell), shift (lattice vectors), gap (Å), a
        (Å), sigma (0).

    Raises
    ------
    ValueError
        Without such a pair of layers, for lattices too different to have a registry, and for a layer whose atoms make
        no sublattices.
    """
    layers = layer_index(atoms, layers)
    lattices = layer_lattices(atoms, layers)
    positions, registry = local_registry(atoms, lower, layers)
    lattices = [lattices[lower], matched_lattice(*lattices[lower : lower + 2])]
    sites = reference_sites(atoms, lower, layers, lattices[0])
    gap = PeriodicSurface(atoms, *interlayer_distance(atoms, lower, layers))(positions)
    chosen = np.arange(len(sites))
    if limit is not None and limit < len(chosen):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(chosen))[:limit])
    cells = [LayerCells(atoms, lower + k, layers, lattices[k]) for k in (0, 1)]
    out = []
    for i in chosen:
        (below, motif), (above, upper_motif) = (c.at(positions[i]) for c in cells)
        # rows v of the lower lattice map to v M = v U R of the upper one, U symmetric: without R it is untwisted
        rotation_free = below @ symmetric_part(np.linalg.solve(below, above))
        cell = np.zeros((3, 3))
        cell[:2, :2] = turned_to_x((below + rotation_free) / 2)
        fractional = np.vstack([motif[:, :2], upper_motif[:, :2] + registry[i]])
        heights = np.concatenate([motif[:, 2], upper_motif[:, 2] + gap[i]])
        numbers = np.concatenate([c.numbers for c in cells])
        z = heights - heights.min() + vacuum / 2
        cell[2, 2] = np.ptp(heights) + vacuum
        patch = Atoms(
            numbers, positions=np.column_stack([fractional @ cell[:2, :2], z]), cell=cell, pbc=(True, True, False)
        )
        patch.wrap()
        patch.info = {
            "site": int(sites[i]),
            "shift": registry[i],
            "gap": float(gap[i]),
            "sigma": 0.0,
            "a": float(np.sqrt(np.linalg.det(cell[:2, :2]) / np.sqrt(0.75))),
        }
        if atoms.info.get("stacking") in ("R", "H"):
            patch.info["stacking"] = atoms.info["stacking"]
        out.append(patch)
    return out


def symmetric_part(m: np.ndarray) -> np.ndarray:
    """U of the polar decomposition m = U R of a 2 x 2 matrix, U symmetric and positive."""
    u, s, _ = np.linalg.svd(m)
    return u @ np.diag(s) @ u.T


def turned_to_x(vectors: np.ndarray) -> np.ndarray:
    """The same two vectors (rows), turned so that the first lies along x."""
    c, s = vectors[0] / np.linalg.norm(vectors[0])
    out = vectors @ np.array([[c, -s], [s, c]])
    out[0, 1] = 0.0  # rounding
    return out


class LayerCells:
    """Local primitive cells of one layer of a moiré structure.

    Attributes
    ----------
    numbers : ndarray of int, shape (n_basis,)
        The reference site first.
    """

    def __init__(self, atoms: Atoms, layer: int, layers: np.ndarray, lattice: np.ndarray):
        self.lattice, self.plane = lattice, atoms.cell.array[:2, :2]
        z = unwrapped_heights(atoms, layers)
        index, middle = midplane_sites(atoms, layer, layers)
        surface = PeriodicSurface(atoms, atoms.positions[index, :2], middle)
        own = np.flatnonzero(layers == layer)
        sites = reference_sites(atoms, layer, layers, lattice)
        points, heights = atoms.positions[:, :2], np.zeros(len(atoms))
        heights[own] = z[own] - surface(points[own])
        self._sites, self._points = PeriodicPoints(self.plane, points[sites]), points[sites]
        self._members, self.numbers = [], []
        for group, offset in _sublattices(atoms, own, sites, heights, lattice):
            self._members.append((PeriodicPoints(self.plane, points[group]), heights[group], offset @ lattice))
            self.numbers.append(atoms.numbers[group[0]])
        self.numbers = np.array(self.numbers)

    def at(self, point) -> tuple[np.ndarray, np.ndarray]:
        """Lattice vectors (2, 2) and motif (n_basis, 3: fractional, height) of the cell nearest to a point (2,)."""
        site = self._points[self._sites.nearest(np.atleast_2d(point))[0][0]]
        steps = []
        for t in self.lattice:  # central differences
            ahead, behind = (sign * t + self._sites.nearest((site + sign * t)[None])[1][0] for sign in (1, -1))
            steps.append((ahead - behind) / 2)
        vectors, motif = np.array(steps), []
        for search, heights, offset in self._members:
            found, vector, _ = search.nearest((site + offset)[None])
            motif.append([*((offset + vector[0]) @ np.linalg.inv(vectors)), heights[found[0]]])
        return vectors, np.array(motif)


def _sublattices(atoms, own, sites, heights, lattice):
    """(atoms, mean fractional offset from the sites) of every sublattice of a layer, the sites first."""
    residue = (atoms.positions[own, :2] - atoms.positions[sites[0], :2]) @ np.linalg.inv(lattice)
    at_site = np.isin(own, sites)
    origin = _circular_mean(residue[at_site])
    groups, left = [(sites, np.zeros(2))], ~at_site
    while left.any():
        first = np.flatnonzero(left)[0]
        delta = residue - residue[first]
        near = np.linalg.norm(delta - np.round(delta), axis=1) < 2 * SAME_SUBLATTICE
        level = abs(heights[own] - heights[own[first]]) < 0.5 * max(np.ptp(heights[own]), 1.0)
        member = left & near & level & (atoms.numbers[own] == atoms.numbers[own[first]])
        if member.sum() != len(sites):
            raise ValueError(
                f"atom {own[first]} ({atoms.symbols[own[first]]}) belongs to no sublattice of its layer: "
                f"{member.sum()} atoms lie alike "
                f"in {len(sites)} primitive cells"
            )
        offset = _circular_mean(residue[member]) - origin
        groups.append((own[member], offset - np.round(offset)))
        left &= ~member
    return groups


def _circular_mean(residue):
    """Mean of fractional coordinates (n, 2) that are known up to integers."""
    return np.angle(np.exp(2j * np.pi * residue).mean(axis=0)) / (2 * np.pi)
