"""Frame of the published networks: which layer is which, and how it is turned against the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii

from ..structure import BOND_SCALE, neighbour_pairs, standing_cells, standing_positions
from .environment import CHALCOGEN, METAL, Bilayer

#: Below this misalignment (degrees) of the bottom layer the frame is the simulation's own, as published.
ALIGNED = 0.5


@dataclass(frozen=True)
class Frame:
    """A bilayer in the axes of the template.

    Attributes
    ----------
    bilayer : Bilayer
    angle : float
        Radians by which the bilayer's frame was turned about z: r_frame = Rz(-angle) r.
    twist : float
        Radians by which the top layer is turned against the bottom one, beyond 0 (parallel) or 180 degrees.
    shift_z : ndarray of int, shape (n_atoms,)
        Cells along the third lattice vector added to make the stack contiguous.
    """

    bilayer: Bilayer
    angle: float
    twist: float
    shift_z: np.ndarray

    def to_lab(self, vectors):
        """Rotate row vectors (n, 3) from the frame back to the axes of the simulation."""
        return vectors if self.angle == 0 else vectors @ rotation(-self.angle)

    def axes_angle(self, layer):
        """Radians by which the layer-attached axes of `layer` are turned in the axes of the simulation."""
        return self.angle + (self.twist if layer == 1 else 0.0)


def rotation(angle):
    """Matrix that turns row vectors by -angle about z: v_frame = v @ rotation(angle)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def find_frame(atoms, layers, metal, chalcogen):
    """Frame of a bilayer of `metal` and `chalcogen` (chemical symbols).

    Parameters
    ----------
    atoms : ase.Atoms
    layers : array_like of int, shape (n_atoms,)
        Two layers, in any order.

    Raises
    ------
    ValueError
        For other species, a number of layers other than two, a plane that is not xy, or layers
        that are no 2H honeycombs, naming the atom or layer.
    """
    layers = np.asarray(layers)
    symbols = np.array(atoms.get_chemical_symbols())
    foreign = np.flatnonzero((symbols != metal) & (symbols != chalcogen))
    if len(foreign):
        raise ValueError(
            f"atom {foreign[0]} is {symbols[foreign[0]]}: the published networks know {metal} and {chalcogen} only"
        )
    labels = np.unique(layers)
    if len(labels) != 2 or layers.shape != (len(atoms),):
        raise ValueError(f"the published networks need exactly two layers, this structure has {len(labels)}")
    cell = atoms.cell.array
    if np.abs(cell[:2, 2]).max() > 1e-6:
        raise ValueError(
            f"the published networks need the first two lattice vectors in the xy plane, not {cell[:2].tolist()}"
        )
    positions, shift_z = standing_positions(atoms).copy(), standing_cells(atoms)
    height = [positions[layers == label, 2].mean() for label in labels]
    layer = (layers == labels[np.argmax(height)]).astype(int)
    for n in (0, 1):
        if not {metal, chalcogen} <= set(symbols[layer == n]):
            raise ValueError(f"the {('bottom', 'top')[n]} layer is not made of {metal} and {chalcogen}")
    mean = np.array([positions[layer == n, 2].mean() for n in (0, 1)])[layer]
    inner = np.where(layer == 0, positions[:, 2] > mean, positions[:, 2] < mean)
    element = np.where(symbols == metal, METAL, CHALCOGEN)

    directions = _directions(atoms, layer, element)
    angle = directions[0] if abs(directions[0]) > np.radians(ALIGNED) else 0.0
    relative = _fold(directions[1] - angle)
    orientation = 1 if abs(relative) <= np.pi / 6 else -1
    twist = relative if orientation == 1 else _fold(relative - np.pi / 3)
    turn = rotation(angle) if angle else np.eye(3)
    bilayer = Bilayer(positions @ turn, cell @ turn, element, layer, inner, (1, orientation))
    return Frame(bilayer, float(angle), float(twist), shift_z)


def _directions(atoms, layer, element):
    """Angle of each layer's in-plane bonds against the template (bonds along +y from a metal atom), in (-60, 60]
    degrees.
    """
    flat = atoms.copy()
    radii = covalent_radii[atoms.numbers]
    pairs = neighbour_pairs(flat, 2 * BOND_SCALE * radii.max() + 1e-9)
    bond = (element[pairs.i] == METAL) & (element[pairs.j] == CHALCOGEN) & (layer[pairs.i] == layer[pairs.j])
    bond &= pairs.distance < BOND_SCALE * (radii[pairs.i] + radii[pairs.j])
    direction = pairs.vector[:, 0] + 1j * pairs.vector[:, 1]
    angles = []
    for n in (0, 1):
        cube = direction[bond & (layer[pairs.i] == n)]
        # Three bonds at 120 degrees have the same direction cubed; along +y it is i^3 = -i.
        cube = (cube / np.maximum(np.abs(cube), 1e-12)) ** 3
        order = cube.mean() if len(cube) else 0.0
        if abs(order) < 0.3:
            raise ValueError(
                f"the {('bottom', 'top')[n]} layer is no 2H honeycomb: its bonds have no common direction "
                f"(order {abs(order):.2f}, 1 in a perfect layer)"
            )
        angles.append(_fold(np.angle(1j * order) / 3))
    return angles


def _fold(angle):
    """Angle modulo 120 degrees, in (-60, 60] degrees."""
    third = 2 * np.pi / 3
    angle = (angle + third / 2) % third - third / 2
    return angle + third if angle <= -third / 2 + 1e-6 else angle
