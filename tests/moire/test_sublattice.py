"""Lattices and sublattices found in positions alone: any file, any order, rigid or relaxed."""

import numpy as np
import pytest
from ase.io import read, write

from ase_wander.moire import (
    coincidence_cells,
    domains,
    heterobilayer,
    layer_lattices,
    local_registry,
    moire_vectors,
    monolayer,
    twisted_bilayer,
    twisted_multilayer,
)
from ase_wander.moire.sublattice import local_areas, reference_sites
from tests.moire_helpers import relaxed_by_hand


def bare(atoms, seed=0):
    """As a foreign file would have it: no info, other order, moved and wrapped."""
    other = atoms[np.random.default_rng(seed).permutation(len(atoms))]
    other.info = {}
    other.positions += (3.1, -7.7, 0.0)
    other.wrap(pbc=(True, True, False))
    return other


def same_lattice(one, other, tolerance=1e-6):
    change = np.linalg.solve(np.transpose(other), np.transpose(one)).T
    return np.allclose(change, np.round(change), atol=tolerance) and abs(abs(np.linalg.det(change)) - 1) < 1e-6


def strained_pair():
    layer = monolayer("MoS2", lattice_constant=3.14, thickness=3.13)
    cell = next(
        c
        for c in coincidence_cells(layer, layer, max_atoms=201, max_strain=0.08, angle_range=(8.9, 9.0))
        if c.n_atoms == 201
    )
    return heterobilayer(layer, layer, cell, weight=0.0, gap=6.4)


CELLS = {
    "untwisted": lambda: twisted_bilayer("MoS2", 1, 0),
    "R": lambda: twisted_bilayer("MoS2", 3, 1),
    "60 degrees": lambda: twisted_bilayer("MoS2", 2, 1, gamma=60),
    "graphene": lambda: twisted_bilayer("graphene", 1, 3),
    "hBN": lambda: twisted_bilayer("hBN", 3, 2),
    "several moires": lambda: twisted_bilayer("graphene", 7, 2),
    "trilayer": lambda: twisted_multilayer("graphene", (0, 13.17, 0)),
    "unequal layers": strained_pair,
}


@pytest.mark.parametrize("name", CELLS)
def test_lattices_are_those_of_the_builder(name):
    atoms = CELLS[name]()
    built = [np.linalg.solve(np.array(m, float), atoms.cell[:2, :2]) for m in atoms.info["supercells"]]
    for found, expected in zip(layer_lattices(atoms), built, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    for other in (bare(atoms), bare(atoms).repeat((2, 1, 1))):
        for found, expected in zip(layer_lattices(other), built, strict=True):
            assert same_lattice(found, expected)
            assert found[0] @ found[1] == pytest.approx(-found[0] @ found[0] / 2, rel=1e-3)  # 120 degrees


def test_info_of_another_cell_is_not_believed():
    atoms = twisted_bilayer("MoS2", 2, 1)
    for found, expected in zip(layer_lattices(atoms.repeat((2, 2, 1))), layer_lattices(atoms)):
        assert same_lattice(found, expected)


def test_lattices_of_a_relaxed_cell_are_exact():
    """Displacements cancel in the mean over the layer; thermal noise of 0.05 Å does too."""
    relaxed, rigid, *_ = relaxed_by_hand()
    noisy = relaxed.copy()
    noisy.rattle(0.05, seed=1)
    for atoms in (relaxed, noisy):
        for found, expected in zip(layer_lattices(bare(atoms)), layer_lattices(rigid)):
            assert same_lattice(found, expected, 1e-9)


def test_everything_measured_is_the_same_without_the_builders_info():
    relaxed, rigid, *_ = relaxed_by_hand()
    graphene = twisted_bilayer("graphene", 6, 1)
    for atoms in (relaxed, rigid, graphene):
        other = bare(atoms)
        one, two = domains(atoms), domains(other)
        assert sorted(one.areas) == sorted(two.areas)
        for key, area in one.areas.items():
            # sublattices A and B are a matter of the first atom; a rigid twist has sites at equal distance from two
            # registries
            assert two.areas[key] == pytest.approx(area, abs=0.02)
        np.testing.assert_allclose(
            np.abs(np.linalg.det(moire_vectors(other))), np.abs(np.linalg.det(moire_vectors(atoms))), rtol=1e-9
        )
        assert len(local_registry(other)[0]) == len(local_registry(atoms)[0])


@pytest.mark.parametrize("suffix", [".cif", ".vasp"])
def test_through_files_that_keep_no_info(tmp_path, suffix):
    relaxed, *_ = relaxed_by_hand(5)
    write(tmp_path / f"a{suffix}", relaxed)
    back = read(tmp_path / f"a{suffix}")
    back.pbc = (True, True, False)
    assert "supercells" not in back.info
    areas = domains(back).areas
    assert [areas[k] for k in ("MM", "MX", "XM")] == pytest.approx(
        [domains(relaxed).areas[k] for k in ("MM", "MX", "XM")], abs=0.005
    )


def test_sublattice_of_a_relaxed_honeycomb():
    """Whatever the order of the atoms, the sites are one of the two sublattices, complete."""
    rigid = twisted_bilayer("graphene", 9, 1)
    sublattice = np.arange(len(rigid)) % 2  # cell by cell, A before B
    relaxed, g = rigid.copy(), 2 * np.pi * np.linalg.inv(rigid.cell[:2, :2])
    relaxed.positions[:, :2] += 0.25 * np.sin(rigid.positions[:, :2] @ g[:, 0])[:, None] * [0.6, 0.8]
    order = np.random.default_rng(2).permutation(len(rigid))
    shuffled = relaxed[order]
    layers = rigid.arrays["layer"][order]
    for layer, lattice in enumerate(layer_lattices(rigid)):
        sites = reference_sites(shuffled, layer, layers, lattice)
        assert len(sites) == len(rigid) // 4 and len(set(sublattice[order][sites])) == 1


def test_local_areas():
    """det(1 + grad u) per cell of a known displacement; they fill the cell."""
    relaxed = twisted_bilayer("MoS2", 16, 1)
    layers, (lattice, _) = relaxed.arrays["layer"], layer_lattices(relaxed)
    g, area = 2 * np.pi * np.linalg.inv(relaxed.cell[:2, :2])[:, 0], abs(np.linalg.det(lattice))
    sites = reference_sites(relaxed, 0, layers, lattice)
    phase = relaxed.positions[:, :2] @ g
    relaxed.positions[:, :2] += 0.5 * np.sin(phase)[:, None] * g / np.linalg.norm(g)
    areas = local_areas(relaxed, sites, lattice)
    assert areas.sum() == pytest.approx(abs(np.linalg.det(relaxed.cell[:2, :2])), rel=1e-6)
    assert areas / area == pytest.approx(1 + 0.5 * np.linalg.norm(g) * np.cos(phase[sites]), abs=2e-3)
    assert np.ptp(areas / area) > 0.07
