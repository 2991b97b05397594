"""Displacement, strain and rotation of a relaxed cell against the rigid one it started from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..structure import neighbour_pairs
from .interlayer import flat_slab, layer_index
from .sublattice import layer_lattices, reference_sites


@dataclass(frozen=True)
class StrainField:
    """Local in-plane deformation of one layer.

    With the gradient F of the map from rigid to relaxed positions and its polar decomposition F = R(rotation) (1 +
    strain).

    Attributes
    ----------
    positions : ndarray, shape (n_sites, 2)
        Rigid sites, Å.
    strain : ndarray, shape (n_sites, 2, 2)
        Symmetric tensor U - 1, Cartesian axes of the cell.
    rotation : ndarray, shape (n_sites,)
        Counter-clockwise, degrees.
    """

    positions: np.ndarray
    strain: np.ndarray
    rotation: np.ndarray

    @property
    def dilation(self) -> np.ndarray:
        """Relative change of area to first order: the trace of the strain."""
        return np.trace(self.strain, axis1=1, axis2=2)

    @property
    def shear(self) -> np.ndarray:
        """Difference of the principal strains (>= 0)."""
        xx, yy, xy = self.strain[:, 0, 0], self.strain[:, 1, 1], self.strain[:, 0, 1]
        return np.hypot(xx - yy, 2 * xy)


def displacements(relaxed: Atoms, rigid: Atoms) -> np.ndarray:
    """How far every atom moved, without the drift of the whole structure, Å, shape (n_atoms, 3).

    When the cell relaxed too, the rigid positions are first strained with it, so that only what is local is left.

    Raises
    ------
    ValueError
        For structures with different atoms.
    """
    relaxed, rigid = flat_slab(relaxed), flat_slab(rigid)
    if len(relaxed) != len(rigid):
        raise ValueError(f"the relaxed structure has {len(relaxed)} atoms, the rigid one {len(rigid)}")
    different = np.flatnonzero(relaxed.numbers != rigid.numbers)
    if len(different):
        k = different[0]
        raise ValueError(
            f"atom {k} is {relaxed.symbols[k]} in the relaxed and {rigid.symbols[k]} in the rigid structure"
        )
    plane = relaxed.cell.array[:2, :2]
    inverse = np.linalg.inv(plane)
    rigid_plane = rigid.positions[:, :2] @ np.linalg.inv(rigid.cell.array[:2, :2])
    difference = relaxed.positions[:, :2] @ inverse - rigid_plane
    # the drift first (circular mean), so that the nearest image is the right one even after a long walk
    drift = np.angle(np.exp(2j * np.pi * difference).mean(axis=0)) / (2 * np.pi)
    difference -= drift
    difference -= np.round(difference)
    moved = np.column_stack([difference @ plane, relaxed.positions[:, 2] - rigid.positions[:, 2]])
    return moved - moved.mean(axis=0)


def strain_field(relaxed: Atoms, rigid: Atoms, layer: int = 0, layers=None) -> StrainField:
    """Strain and rotation of one layer, from the vectors between neighbouring cells.

    At every site the gradient F that maps the rigid vectors to neighbouring sites onto the relaxed ones in the
    least-squares sense (row vectors, d = d_rigid F); a change of the whole cell is part of it.

    Parameters
    ----------
    relaxed, rigid : ase.Atoms
        The same atoms in the same order; `rigid` as built by `ase_wander.moire`.
    layer : int
        Counted from the bottom.
    layers : ndarray of int, optional
        Layer of every atom; found from the bonds of `rigid` by default.
    """
    relaxed, rigid = flat_slab(relaxed), flat_slab(rigid)
    moved = displacements(relaxed, rigid)[:, :2]
    layers = layer_index(rigid, layers)
    lattices = layer_lattices(rigid, layers)
    if not 0 <= layer < len(lattices):
        raise ValueError(f"there is no layer {layer}: the structure has {len(lattices)}")
    sites = reference_sites(rigid, layer, layers, lattices[layer])
    # neighbours around each site: up to midway between the first and second shell of the (reduced) lattice
    reach = 1.05 * np.linalg.norm(lattices[layer], axis=1).max()
    flat = Atoms(
        rigid.numbers[sites],
        positions=np.column_stack([rigid.positions[sites, :2], np.zeros(len(sites))]),
        cell=rigid.cell.array,
        pbc=(True, True, False),
    )
    pairs = neighbour_pairs(flat, reach)
    before = pairs.vector[:, :2]
    deformation = np.linalg.solve(rigid.cell.array[:2, :2], relaxed.cell.array[:2, :2])
    after = before @ deformation + moved[sites][pairs.j] - moved[sites][pairs.i]
    # F = (sum d d^T)^-1 (sum d d'^T) over the neighbours of each site
    metric, mixed = np.zeros((len(sites), 2, 2)), np.zeros((len(sites), 2, 2))
    np.add.at(metric, pairs.i, before[:, :, None] * before[:, None, :])
    np.add.at(mixed, pairs.i, before[:, :, None] * after[:, None, :])
    f = np.linalg.solve(metric, mixed)
    angle = np.arctan2(f[:, 0, 1] - f[:, 1, 0], f[:, 0, 0] + f[:, 1, 1])
    c, s = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)
    stretch = np.swapaxes(turn, 1, 2) @ f
    strain = (stretch + np.swapaxes(stretch, 1, 2)) / 2 - np.eye(2)
    return StrainField(rigid.positions[sites, :2], strain, np.degrees(angle))
