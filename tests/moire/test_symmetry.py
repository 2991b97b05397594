"""Layer groups of twisted bilayers, and what follows from them."""

import numpy as np
import pytest
from ase.constraints import FixSymmetry

from ase_wander.moire import (
    FixLayerSymmetry,
    irreducible_kpoints,
    symmetrised,
    symmetry,
    twisted_bilayer,
    twisted_multilayer,
)


@pytest.mark.parametrize(
    "name, stacking, centre, group",
    [
        ("graphene", "R", "hexagon", "D6"),
        ("graphene", "R", "bond", "D2"),
        ("MoS2", "R", "hexagon", "D3"),
        ("MoS2", "R", "atom", "D3"),
        ("MoS2", "H", "hexagon", "D3"),
        ("MoS2", "H", "bond", "C2"),
    ],
)
def test_point_group_of_the_twist_axis(name, stacking, centre, group):
    """A twist leaves the rotations about the axis and the two-fold axes in the plane."""
    for pair in ((2, 1), (1, 3)):
        report = symmetry(twisted_bilayer(name, *pair, stacking=stacking, centre=centre))
        assert report.point_group == group and report.n_translations == 1
        assert np.bincount(report.equivalent_atoms).max() <= report.n_operations


def test_graphene_twisted_about_an_atom():
    """Odd and even sublattice exchange (Mele, PRB 81, 161405): for 3 | r the axis through a hexagon is there as
    well.
    """
    assert symmetry(twisted_bilayer("graphene", 2, 1, centre="atom")).point_group == "D3"
    assert symmetry(twisted_bilayer("graphene", 1, 3, centre="atom")).point_group == "D6"


def test_untwisted_bilayers():
    assert symmetry(twisted_bilayer("MoS2", 1, 0, stacking="H")).point_group == "D3d"  # 2H
    assert symmetry(twisted_bilayer("MoS2", 1, 0, stacking="R")).point_group == "D3h"  # AA
    assert symmetry(twisted_bilayer("MoS2", 1, 0, shift=(2 / 3, 1 / 3))).point_group == "C3v"  # 3R
    assert symmetry(twisted_multilayer("graphene", (0, 13.17, 0))).point_group == "C6h"  # mirror-symmetric trilayer


def test_r_at_60_minus_theta_is_h_at_theta():
    """The mirror image: the same layer group and orbits."""
    r, h = (symmetry(twisted_bilayer("MoS2", *pair, stacking=s)) for pair, s in (((1, 1), "R"), ((1, 3), "H")))
    assert r.layer_group_number != symmetry(twisted_bilayer("MoS2", 1, 1, stacking="H")).layer_group_number
    assert sorted(np.unique(r.equivalent_atoms, return_counts=True)[1]) == sorted(
        np.unique(h.equivalent_atoms, return_counts=True)[1]
    )


def test_symmetrised_structure_regains_its_symmetry():
    atoms = twisted_bilayer("MoS2", 2, 1)
    rattled = atoms.copy()
    rattled.rattle(2e-4, seed=3)
    assert symmetry(rattled, 1e-5).point_group == "C1"
    clean = symmetrised(rattled, 5e-3)
    assert symmetry(clean, 1e-6).point_group == "D3"
    assert abs(clean.positions - rattled.positions).max() < 1e-3
    assert symmetrised(atoms).positions == pytest.approx(atoms.positions, abs=1e-9)


@pytest.mark.parametrize("mesh, gamma", [((6, 6), True), ((4, 4), False), ((5, 5), True)])
def test_irreducible_points_integrate_like_the_full_mesh(mesh, gamma):
    """A function with the lattice's symmetry: the nearest-neighbour band of a triangular lattice."""
    atoms = twisted_bilayer("MoS2", 1, 1)
    kpoints, weights = irreducible_kpoints(atoms, mesh, gamma)
    assert weights.sum() == pytest.approx(1) and len(kpoints) < np.prod(mesh) / 2

    def band(k):
        a, b = 2 * np.pi * np.asarray(k).T[:2]
        return np.cos(a) + np.cos(b) + np.cos(a + b) + 0.3 * np.cos(2 * a + b) * np.cos(a - b) * np.cos(a + 2 * b)

    full = np.stack(np.meshgrid(*[(np.arange(n) + (0 if gamma else 0.5)) / n for n in mesh]), axis=-1).reshape(-1, 2)
    for power in (1, 2, 3):
        assert weights @ band(kpoints) ** power == pytest.approx(np.mean(band(full) ** power), abs=1e-10)


def test_bad_input():
    with pytest.raises(ValueError, match="mesh"):
        irreducible_kpoints(twisted_bilayer("MoS2", 1, 1), (6, 0))
    atoms = twisted_bilayer("MoS2", 1, 1)
    atoms.cell[2] = 0
    with pytest.raises(ValueError, match="third vector"):
        symmetry(atoms)


def test_constraint_is_that_of_ase():
    """The same projection of forces, positions and stress as ase.constraints.FixSymmetry, which looks for space
    groups.
    """
    atoms = twisted_bilayer("MoS2", 2, 1)
    atoms.rattle(2e-4, seed=3)
    own, theirs = atoms.copy(), atoms.copy()
    constraint = FixLayerSymmetry(own, 5e-3)
    assert constraint.report.point_group == "D3"
    reference = FixSymmetry(theirs, symprec=5e-3)
    assert symmetry(own, 1e-6).point_group == "D3" and abs(own.positions - atoms.positions).max() < 1e-3
    forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
    projected = []
    for c, a in ((constraint, own), (reference, theirs)):
        f = forces.copy()
        c.adjust_forces(a, f)
        new = a.positions + f
        c.adjust_positions(a, new)
        assert new == pytest.approx(a.positions + f, abs=1e-8)  # a projection: symmetric steps pass
        stress = np.arange(6.0)
        c.adjust_stress(a, stress)
        projected.append((f, stress))
    assert projected[0][0] == pytest.approx(projected[1][0], abs=1e-6)
    assert projected[0][1] == pytest.approx(projected[1][1], abs=1e-6)
