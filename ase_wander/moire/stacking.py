"""Local stacking of two layers: how far their lattices are shifted against each other, and the domains this makes.

A layer with lattice vectors L (rows) assigns lattice coordinates phi(r) = (r - u(r)) L^-1 to every point of the plane,
u being the displacement of its sites from the ideal ones; its reference sites lie where phi is a pair of integers.  At
a site of the lower layer the nearest sites of the upper one are displaced by -phi_upper(r), modulo a lattice vector:
the local registry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from .interlayer import PeriodicSurface, flat_slab, layer_index
from .lattice import is_metal, reduce_cell
from .sublattice import layer_lattices, local_areas, reference_sites, standard_basis

#: Registries of two like hexagonal lattices with a three-fold axis, in lattice vectors.
HIGH_SYMMETRY = np.array([[0, 0], [1, 2], [2, 1]]) / 3


#: Relative difference of two lattices up to which a local stacking is spoken of.
LARGEST_MISMATCH = 0.15


@dataclass(frozen=True)
class Domains:
    """Stacking domains of two hexagonal layers.

    Attributes
    ----------
    names : tuple of str
        For each high-symmetry registry.  The first letter is the upper layer: "MX" has a metal of the upper layer
        straight above a chalcogen of the lower one.  R stacking of a dichalcogenide: MM, MX, XM; H: MM, 2H, XX;
        graphene: AA, AB, BA.
    areas : dict
        Share of the area by name, and "wall" for what is farther than the radius from all of them.
    registries : ndarray, shape (3, 2)
        Shift of each, in lattice vectors.
    label : ndarray of int, shape (n_sites,)
        Index into `names` for each site, -1 in a wall.
    positions : ndarray, shape (n_sites, 2)
        Å.
    """

    names: tuple
    areas: dict
    registries: np.ndarray
    label: np.ndarray
    positions: np.ndarray


def matched_lattice(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Lattice vectors of the upper layer that are nearest to those of the lower one; the same lattice in another basis.

    Raises
    ------
    ValueError
        For lattices so unlike that no vectors correspond.
    """
    change = np.round(np.linalg.solve(upper.T, lower.T).T)
    mismatch = abs(np.linalg.svd(np.linalg.solve(lower, change @ upper), compute_uv=False) - 1).max()
    if abs(round(np.linalg.det(change))) != 1 or mismatch > LARGEST_MISMATCH:
        raise ValueError("the lattices of the two layers are too different to define a local stacking")
    return change @ upper


def moire_vectors(atoms: Atoms, lower: int = 0, layers=None) -> np.ndarray:
    """Lattice vectors of the moiré pattern of layers `lower` and `lower` + 1 (rows, Å), reduced, the first towards x.

    Its reciprocal lattice is the difference of the layers' reciprocal lattices.  The built cell holds one or more of
    them.

    Raises
    ------
    ValueError
        Without a moiré pattern (two equal lattices).
    """
    lattices = layer_lattices(atoms, layers)
    if not 0 <= lower < len(lattices) - 1:
        raise ValueError(f"no pair of layers {lower} and {lower + 1}: the structure has {len(lattices)} layer(s)")
    first, second = lattices[lower], matched_lattice(*lattices[lower : lower + 2])
    difference = np.linalg.inv(first) - np.linalg.inv(second)  # columns: reciprocal vectors / 2 pi
    if abs(np.linalg.det(difference)) < 1e-12:
        raise ValueError("the two lattices are equal: there is no moiré pattern")
    return standard_basis(reduce_cell(np.linalg.inv(difference))[0])


def local_registry(atoms: Atoms, lower: int = 0, layers=None) -> tuple[np.ndarray, np.ndarray]:
    """Shift of the upper layer's lattice against the lower one's at the sites of the lower layer.

    Parameters
    ----------
    atoms : ase.Atoms
        Relaxed or not, from any file.  Displacements must be well below half a lattice constant.
    lower : int
        Lower layer of the pair.
    layers : ndarray of int, optional
        Layer of every atom; found from the bonds by default.

    Returns
    -------
    positions : ndarray, shape (n_sites, 2)
        Reference sites of the lower layer, Å.
    registry : ndarray, shape (n_sites, 2)
        From a site of the lower layer to the upper layer's, in lattice vectors (the upper layer's, in the basis nearest
        to the lower layer's), in [0, 1).
    """
    atoms = flat_slab(atoms)
    layers = layer_index(atoms, layers)
    lattices = layer_lattices(atoms, layers)
    if not 0 <= lower < len(lattices) - 1:
        raise ValueError(f"no pair of layers {lower} and {lower + 1}: the structure has {len(lattices)} layer(s)")
    upper_lattice = matched_lattice(*lattices[lower : lower + 2])
    sites, upper_sites = (reference_sites(atoms, k, layers, lattices[k]) for k in (lower, lower + 1))
    positions = atoms.positions[sites, :2]
    coordinates = atoms.positions[upper_sites, :2] @ np.linalg.inv(upper_lattice)
    # circular mean: the common part of the fractional coordinates; what is left is the displacement u L^-1
    origin = np.angle(np.exp(2j * np.pi * coordinates).mean(axis=0)) / (2 * np.pi)
    residue = coordinates - origin - np.round(coordinates - origin)
    displacement = PeriodicSurface(atoms, atoms.positions[upper_sites, :2], residue)(positions)
    phi = positions @ np.linalg.inv(upper_lattice) - origin - displacement
    registry = (-phi) % 1.0
    registry[registry > 1 - 1e-9] = 0.0
    return positions, registry


def domains(atoms: Atoms, lower: int = 0, radius: float | None = None, layers=None) -> Domains:
    """Areas of the high-symmetry stackings of two hexagonal layers.

    Every site of the lower layer counts with the area of its own lattice cell and belongs to the nearest high-symmetry
    registry, so that a rigid moiré has three equal shares, and relaxation shows as their change.

    Parameters
    ----------
    atoms, lower, layers
        As in `local_registry`.
    radius : float, optional
        Sites farther than this from every high-symmetry registry, in lattice constants (0-0.577), are called "wall".

    Raises
    ------
    ValueError
        For layers that are not hexagonal.
    """
    atoms = flat_slab(atoms)
    layers = layer_index(atoms, layers)
    positions, registry = local_registry(atoms, lower, layers)
    lattices = layer_lattices(atoms, layers)
    first, second = lattices[lower], matched_lattice(*lattices[lower : lower + 2])
    cosine = first[0] @ first[1] / np.prod(np.linalg.norm(first, axis=1))
    if abs(abs(cosine) - 0.5) > 0.03:
        raise ValueError(
            "stacking domains are defined for hexagonal layers; these lattice vectors enclose "
            f"{np.degrees(np.arccos(cosine)):.1f} degrees"
        )
    points = HIGH_SYMMETRY if cosine < 0 else np.array([[0, 0], [1, 1], [2, 2]]) / 3
    cell = (first + second) / 2
    a = np.sqrt(abs(np.linalg.det(cell)) / np.sqrt(0.75))
    images = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2), axis=-1).reshape(-1, 2)
    delta = ((registry[:, None, None] - points[:, None] - images) @ cell) / a  # (site, stacking, image, xy)
    distance = np.linalg.norm(delta, axis=3).min(axis=2)
    label = distance.argmin(axis=1)
    if radius is not None:
        label = np.where(distance.min(axis=1) <= radius, label, -1)
    names = _names(atoms, lower, layers, first, second, points)
    weight = local_areas(atoms, reference_sites(atoms, lower, layers, first), first)
    weight /= weight.sum()
    areas = {name: float(weight[label == k].sum()) for k, name in enumerate(names)}
    if radius is not None:
        areas["wall"] = float(weight[label == -1].sum())
    return Domains(names, areas, points, label, positions)


def _names(atoms, lower, layers, first, second, points):
    """Names of the registries, from which sublattices lie above each other."""
    letters, offsets = [], []
    for layer, lattice in ((lower, first), (lower + 1, second)):
        sites = reference_sites(atoms, layer, layers, lattice)
        own = np.flatnonzero(layers == layer)
        letter, offset = _second_sublattice(atoms, own, sites, lattice, points)
        letters.append(letter)
        offsets.append(offset)
    names = []
    for registry in points:
        above = []
        for q, lower_offset in zip(letters[0], (np.zeros(2), offsets[0])):
            for p, upper_offset in zip(letters[1], (np.zeros(2), offsets[1])):
                difference = registry + upper_offset - lower_offset
                if abs(difference - np.round(difference)).max() < 1e-6:
                    above.append(p + q)
        names.append(_name(above))
    return tuple(names)


def _second_sublattice(atoms, own, sites, lattice, points):
    """Letters of the two sublattices, and the high-symmetry offset of the second from the first."""
    others = np.setdiff1d(own, sites)
    if len(others) == 0:
        raise ValueError("a layer with one atom per cell has no named stackings")
    number = atoms.numbers[sites[0]]
    metal = bool(is_metal([number])[0])
    offset = (atoms.positions[others, None, :2] - atoms.positions[None, sites[:1], :2]).reshape(-1, 2) @ np.linalg.inv(
        lattice
    )
    mean = np.angle(np.exp(2j * np.pi * offset).mean(axis=0)) / (2 * np.pi)
    delta = mean - points
    nearest = int(np.argmin(np.linalg.norm(delta - np.round(delta), axis=1)))
    other = atoms.numbers[others[0]]
    if metal:
        letters = ("M", "X")
    elif number == other:
        letters = ("A", "B")
    else:
        letters = (chemical_symbols[number], chemical_symbols[other])
    return letters, points[nearest]


def _name(above):
    """AA for atom over like atom, 2H (dichalcogenides) or AA' for both exchanged, else the one pair."""
    pairs = {"".join(sorted(p)) for p in above}
    if len(above) == 2:
        if all(len(set(p)) == 1 or p[: len(p) // 2] == p[len(p) // 2 :] for p in above):
            return above[0] if above[0] == "MM" else "AA"
        if pairs == {"MX"}:
            return "2H"
        return "AA'" if len(pairs) == 1 else "+".join(above)
    return above[0] if above else "-"
