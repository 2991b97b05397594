"""A moiré cell in the settings that files come in: what is seen in it does not depend on them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from ase.constraints import FixAtoms, FixCartesian

from ase_wander.moire import (
    FixLayerSymmetry,
    displacements,
    domains,
    interlayer_distance,
    irreducible_kpoints,
    layer_lattices,
    local_registry,
    moire_vectors,
    strain_field,
    symmetrised,
    symmetry,
    twisted_bilayer,
    twisted_multilayer,
)
from ase_wander.moire.lattice import standard_monolayer
from ase_wander.moire.plots import plot_cell
from ase_wander.structure import find_layers, in_xy_plane


def corrugated():
    """A twisted bilayer with a breathing that knows the cell's origin, as relaxation makes it."""
    atoms = twisted_bilayer("MoS2", m=3, r=1)
    phase = 2 * np.pi * atoms.get_scaled_positions()[:, :2]
    wave = np.cos(phase[:, 0]) + np.cos(phase[:, 1]) + np.cos(phase[:, 0] - phase[:, 1])
    atoms.positions[:, 2] += np.where(atoms.arrays["layer"] == 0, -0.05, 0.05) * wave
    del atoms.arrays["layer"]
    return atoms


def changed(atoms, name):
    """The same crystal in another setting, its atoms in the same order."""
    atoms, cell = atoms.copy(), atoms.cell.array.copy()
    if name == "left-handed":
        cell = cell[[1, 0, 2]]
    elif name == "c turned round":
        cell[2] *= -1
    elif name in ("tilted c", "periodic, tilted and cut"):
        cell[2] += 0.3 * cell[0] + 0.2 * cell[1]
    elif name == "other vectors":
        cell = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ cell
    elif name == "in other cells":
        atoms.positions += np.random.default_rng(0).integers(-3, 4, (len(atoms), 2)) @ cell[:2]
    atoms.set_cell(cell)
    if "cut" in name:
        atoms.pbc = True
        atoms.positions[:, 2] -= atoms.positions[:, 2].mean()
        atoms.wrap()
    return atoms


SETTINGS = [
    "left-handed",
    "c turned round",
    "tilted c",
    "other vectors",
    "in other cells",
    "periodic and cut",
    "periodic, tilted and cut",
]


@pytest.fixture(scope="module")
def reference():
    return corrugated()


def at_sites(atoms, cell, positions, values):
    """Values sorted by the place of their site in one cell of the reference, seen from the first atom."""
    place = np.round(((positions - atoms.positions[0, :2]) @ np.linalg.inv(cell)) % 1.0 + 1e-9, 4) % 1.0
    return values[np.lexsort(place.T)]


@pytest.mark.parametrize("name", SETTINGS)
def test_distance_registry_and_domains(reference, name):
    atoms, cell = changed(reference, name), reference.cell.array[:2, :2]
    assert np.array_equal(find_layers(atoms), find_layers(reference))
    (p, d), (q, e) = interlayer_distance(reference), interlayer_distance(atoms)
    assert at_sites(reference, cell, p, d) == pytest.approx(at_sites(atoms, cell, q, e), abs=2e-3)
    one, other = domains(reference, radius=0.15), domains(atoms, radius=0.15)
    assert set(one.names) == set(other.names) and one.areas == pytest.approx(other.areas, abs=1e-6)
    names = [np.array([*x.names, "wall"])[x.label] for x in (one, other)]
    assert np.array_equal(
        at_sites(reference, cell, one.positions, names[0]), at_sites(atoms, cell, other.positions, names[1])
    )
    assert abs(np.linalg.det(moire_vectors(atoms))) == pytest.approx(abs(np.linalg.det(moire_vectors(reference))))
    for lattice, own in zip(layer_lattices(reference), layer_lattices(atoms)):
        change = np.linalg.solve(lattice.T, own.T).T
        assert np.abs(change - np.round(change)).max() < 1e-6 and np.linalg.det(own) > 0
    assert local_registry(atoms)[1].shape == local_registry(reference)[1].shape


@pytest.mark.parametrize("name", SETTINGS)
def test_layer_group_and_symmetrisation(reference, name):
    atoms = changed(reference, name)
    one, other = symmetry(reference), symmetry(atoms)
    assert (one.layer_group, one.n_operations) == (other.layer_group, other.n_operations) == ("p321", 6)
    assert np.array_equal(one.equivalent_atoms, other.equivalent_atoms)
    assert len(irreducible_kpoints(reference, (6, 6))[0]) == len(irreducible_kpoints(atoms, (6, 6))[0])
    rattled = atoms.copy()
    rattled.rattle(2e-4, seed=1)
    clean = symmetrised(rattled, 5e-3)
    assert symmetry(clean, 1e-6).n_operations == 6 and np.abs(clean.positions - rattled.positions).max() < 1e-3
    # a step of the relaxation keeps the symmetry
    constraint = FixLayerSymmetry(clean, 1e-4)
    clean.set_constraint(constraint)
    clean.set_positions(clean.positions + np.random.default_rng(3).normal(size=(len(atoms), 3)) * 0.02)
    assert symmetry(clean, 1e-6).n_operations == 6
    # and so does one of the cell: only an isotropic strain of the plane has the symmetry
    clean.set_cell(clean.cell.array @ (np.eye(3) + [[0.01, 0.004, 0], [0.004, 0.002, 0], [0, 0, 0]]), scale_atoms=True)
    vectors = clean.cell.array[:2, :2] @ np.linalg.inv(atoms.cell.array[:2, :2])
    inside = np.linalg.solve(atoms.cell.array[:2, :2], clean.cell.array[:2, :2])
    assert inside == pytest.approx(inside[0, 0] * np.eye(2), abs=1e-9) and vectors.shape == (2, 2)


def test_mesh_that_lacks_the_symmetry_is_not_folded_with_it():
    """Six by four points of a hexagonal cell: only operations that map this mesh onto itself merge points."""
    atoms = twisted_bilayer("MoS2", 1, 1)
    kpoints, weights = irreducible_kpoints(atoms, (6, 4))
    a, b = np.meshgrid(np.arange(6) / 6, np.arange(4) / 4, indexing="ij")

    def band(x, y):
        """Nearest neighbours of a triangular lattice, with its symmetry."""
        x, y = 2 * np.pi * x, 2 * np.pi * y
        return (np.cos(x) + np.cos(y) + np.cos(x + y)) ** 3

    assert weights @ band(*kpoints.T[:2]) == pytest.approx(band(a, b).mean(), abs=1e-10)


@pytest.mark.parametrize("fixed", ["one layer", "an orbit", "one atom", "heights"])
def test_constraints_of_the_user_stay_under_symmetry(reference, fixed):
    atoms = reference.copy()
    layers, report = find_layers(atoms), symmetry(atoms)
    index = {
        "one layer": np.flatnonzero(layers == 0),
        "an orbit": np.flatnonzero(report.equivalent_atoms == report.equivalent_atoms[5]),
        "one atom": [5],
        "heights": np.arange(len(atoms)),
    }[fixed]
    atoms.set_constraint(FixCartesian(index, (False, False, True)) if fixed == "heights" else FixAtoms(index))
    symmetric = FixLayerSymmetry(atoms)
    atoms.set_constraint([*atoms.constraints, symmetric])
    # the two-fold axes exchange the layers; an orbit and all heights agree with every operation
    assert symmetric.n_kept == {"one layer": 3, "an orbit": 6, "one atom": 1, "heights": 6}[fixed]
    before = atoms.positions.copy()
    atoms.set_positions(before + np.random.default_rng(3).normal(size=before.shape) * 0.02)
    moved = np.abs(atoms.positions - before)
    columns = 2 if fixed == "heights" else slice(None)
    assert moved[index][:, columns].max() < 1e-12 and moved.max() > 1e-3
    if fixed != "one atom":
        assert symmetry(atoms, 1e-6).n_operations >= symmetric.n_kept


def test_symmetrisation_at_the_start_leaves_held_atoms():
    atoms = twisted_bilayer("MoS2", 2, 1)
    atoms.rattle(2e-4, seed=3)
    held = np.flatnonzero(atoms.arrays["layer"] == 0)
    atoms.set_constraint(FixAtoms(held))
    before = atoms.positions.copy()
    FixLayerSymmetry(atoms, 5e-3)
    assert np.abs(atoms.positions - before)[held].max() == 0 < np.abs(atoms.positions - before).max()


def test_movement_across_the_cell_boundary_is_no_displacement(reference):
    rigid = reference.copy()
    relaxed = reference.copy()
    relaxed.positions += 0.01 * np.random.default_rng(0).normal(size=relaxed.positions.shape)
    expected, strain = displacements(relaxed, rigid), strain_field(relaxed, rigid).strain
    for name in ("periodic and cut", "periodic, tilted and cut"):
        one, other = changed(relaxed, name), changed(rigid, name)
        other.positions[:, 2] += 9.0
        other.wrap()
        assert displacements(one, other) == pytest.approx(expected, abs=1e-9)
        assert strain_field(one, other).strain == pytest.approx(strain, abs=1e-9)


@pytest.mark.parametrize("name", ["left-handed", "c turned round", "tilted c", "other vectors", "periodic and cut"])
@pytest.mark.parametrize("repeat", [1, 3])
def test_sides_of_a_janus_layer(name, repeat):
    """Sulphur below and selenium above stay there in every setting."""
    layer = mx2("MoS2", a=3.2, vacuum=6)
    layer.pbc = (True, True, False)
    layer.numbers[np.argmax(layer.positions[:, 2])] = 34
    expected, found = standard_monolayer(layer), standard_monolayer(changed(layer.repeat((repeat, repeat, 1)), name))
    order = [np.argsort(x.numbers) for x in (expected, found)]
    assert found.heights[order[1]] == pytest.approx(expected.heights[order[0]], abs=1e-9)
    assert found.cell == pytest.approx(expected.cell, abs=1e-9)
    bond = [x.fractional[o[1]] - x.fractional[o[2]] for x, o in zip((expected, found), order)]
    # modulo the lattice, whose vectors may be turned by 180 degrees
    assert min(np.abs((d := sign * bond[0] - bond[1]) - np.round(d)).max() for sign in (1, -1)) < 1e-6


def test_trilayer_layers_count_from_the_bottom_in_every_setting():
    atoms = twisted_multilayer("graphene", (0, 21.7868, 0), tolerance=0.01)
    layers = atoms.arrays["layer"].copy()
    del atoms.arrays["layer"]
    for name in SETTINGS:
        assert np.array_equal(find_layers(changed(atoms, name)), layers)
        for lower in (0, 1):
            assert interlayer_distance(changed(atoms, name), lower)[1].mean() > 2


def test_other_planes_are_refused_with_advice_that_works(reference):
    turned = reference.copy()
    turned.rotate(90, "x", rotate_cell=True)
    for function in (interlayer_distance, domains, layer_lattices, moire_vectors, plot_cell):
        with pytest.raises(ValueError, match="in_xy_plane"):
            function(turned)
    with pytest.raises(ValueError, match="in_xy_plane"):
        displacements(turned, turned)
    flat = in_xy_plane(turned)
    assert np.sort(interlayer_distance(flat)[1]) == pytest.approx(np.sort(interlayer_distance(reference)[1]), abs=1e-9)
    assert domains(flat).areas == pytest.approx(domains(reference).areas)
    assert symmetry(turned).layer_group == symmetry(reference).layer_group


def test_wrapping_of_a_slab_without_periodicity_is_named():
    layer = mx2("MoS2", vacuum=6)
    layer.pbc = (True, True, False)
    layer.positions[:, 2] -= layer.positions[0, 2] + 0.5
    layer.positions[:, 2] %= layer.cell[2, 2]
    with pytest.raises(ValueError, match=r"no layers found.*of nothing.*pbc\[2\] = True"):
        find_layers(layer)
    layer.pbc = True
    assert find_layers(layer).max() == 0
    molecule = Atoms("N2", [[0, 0, 5], [0, 0, 6.1]], cell=[8, 8, 12], pbc=(True, True, False))
    with pytest.raises(ValueError, match=r"exactly two$"):
        find_layers(molecule)
