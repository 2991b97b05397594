"""Local stacking, distances and domains against geometry put in by hand."""

import numpy as np
import pytest
from ase import Atoms

from ase_wander.moire import interlayer_distance, twisted_bilayer


def ripple(atoms, positions, amplitude):
    """A wave with the period of the cell, Å."""
    phase = 2 * np.pi * (positions @ np.linalg.inv(atoms.cell[:2, :2]))
    return amplitude * (np.cos(phase[:, 0]) + np.sin(phase[:, 1]))


@pytest.mark.parametrize("name, gap", [("MoS2", 6.31), ("graphene", 3.4)])
def test_distance_of_a_rigid_bilayer_is_its_gap(name, gap):
    for pair in ((1, 0), (2, 1), (1, 3)):
        atoms = twisted_bilayer(name, *pair, gap=gap)
        positions, distance = interlayer_distance(atoms)
        assert len(positions) == len(distance) == (1 if name == "MoS2" else 2) * len(atoms) // (6 if name == "MoS2" else 4)
        assert distance == pytest.approx(np.full(len(distance), gap), abs=1e-9)


def test_distance_follows_a_ripple():
    atoms = twisted_bilayer("MoS2", 6, 1, gap=6.3)
    top = atoms.arrays["layer"] == 1
    atoms.positions[top, 2] += ripple(atoms, atoms.positions[top, :2], 0.2)
    positions, distance = interlayer_distance(atoms)
    assert distance == pytest.approx(6.3 + ripple(atoms, positions, 0.2), abs=5e-4)
    for change in ("wrapped", "permuted"):
        other = atoms.copy()
        if change == "wrapped":     # cut by the cell's top, periodic in all directions
            other.pbc = True
            other.positions += (11.0, 3.0, 0.6 * other.cell[2, 2])
            other.wrap()
        else:
            other = other[np.random.default_rng(0).permutation(len(other))]
        assert np.sort(interlayer_distance(other)[1]) == pytest.approx(np.sort(distance), abs=2e-4)  # triangles may differ


def test_distance_of_thick_layers_without_metal_is_between_midplanes():
    a = 4.0
    gase = Atoms("Ga2Se2", positions=[(0, 0, 1.2), (0, 0, -1.2), (0, a / 3 ** 0.5, 2.4), (0, a / 3 ** 0.5, -2.4)],
                 cell=[[a, 0, 0], [-a / 2, a * 0.75 ** 0.5, 0], [0, 0, 0]], pbc=(True, True, False))
    atoms = twisted_bilayer(gase, 2, 1, gap=8.0)
    assert interlayer_distance(atoms)[1] == pytest.approx(np.full(19, 8.0), abs=1e-9)


def test_distance_needs_two_layers_in_the_xy_plane():
    atoms = twisted_bilayer("MoS2", 1, 1)
    with pytest.raises(ValueError, match="1 layer"):
        interlayer_distance(atoms[atoms.arrays["layer"] == 0])
    with pytest.raises(ValueError, match="layers 1 and 2"):
        interlayer_distance(atoms, lower=1)
    atoms.rotate(90, "x", rotate_cell=True)
    with pytest.raises(ValueError, match="xy plane"):
        interlayer_distance(atoms)
