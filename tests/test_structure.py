"""Layers by connectivity and neighbour pairs: against brute force, at awkward cells, with clear refusals."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, mx2

from ase_wander.moire import twisted_bilayer
from ase_wander.structure import (
    check_atoms,
    doubt_about_the_third_vector,
    empty_inside,
    find_layers,
    in_xy_plane,
    neighbour_pairs,
    one_of_each_pair,
    plane_normal,
    standing_positions,
    upward,
)
from tests.helpers import displaced, random_orthogonal


@pytest.fixture
def bilayer():
    return displaced(twisted_bilayer("MoS2", m=1, r=1), 0.05, 2)


def test_pairs_are_those_of_a_direct_search(bilayer):
    atoms, cutoff = bilayer, 7.0
    pairs = neighbour_pairs(atoms, cutoff)
    count = 0
    for a in range(-3, 4):
        for b in range(-3, 4):
            vectors = atoms.positions[None] + np.array([a, b, 0]) @ atoms.cell.array - atoms.positions[:, None]
            r = np.linalg.norm(vectors, axis=2)
            count += ((r < cutoff) & (r > 1e-9)).sum()
    assert len(pairs) == count
    vector = atoms.positions[pairs.j] + pairs.shift @ atoms.cell.array - atoms.positions[pairs.i]
    assert np.allclose(vector, pairs.vector) and np.allclose(np.linalg.norm(vector, axis=1), pairs.distance)


def test_every_pair_has_its_reverse(bilayer):
    pairs = neighbour_pairs(bilayer, 5.0)
    forward = set(zip(pairs.i.tolist(), pairs.j.tolist(), map(tuple, pairs.shift.tolist())))
    backward = set(zip(pairs.j.tolist(), pairs.i.tolist(), map(tuple, (-pairs.shift).tolist())))
    assert forward == backward and len(forward) == len(pairs)


@pytest.mark.parametrize("stacking", ["R", "H"])
def test_layers_of_a_twisted_cell(stacking):
    atoms = twisted_bilayer("MoS2", m=2, r=1, stacking=stacking)
    assert np.array_equal(find_layers(atoms), atoms.arrays["layer"])


def test_layers_do_not_depend_on_order_wrapping_or_orientation(bilayer):
    layers = find_layers(bilayer)
    generator = np.random.default_rng(0)
    order = generator.permutation(len(bilayer))
    moved = bilayer[order]
    moved.positions += generator.integers(-2, 3, (len(moved), 2)) @ bilayer.cell.array[:2]
    q = random_orthogonal(3).numpy()
    moved.set_cell(moved.cell.array @ q.T)
    moved.positions = moved.positions @ q.T
    assert np.array_equal(find_layers(moved), layers[order])


def test_corrugated_layers_that_overlap_in_height():
    """Buckled by more than the gap, the layers share heights: no mean height tells them apart."""
    atoms = twisted_bilayer("MoS2", angle=0.0).repeat((12, 1, 1))
    wave = 3.5 * np.cos(2 * np.pi * atoms.get_scaled_positions()[:, 0])
    atoms.positions[:, 2] += wave
    layers = atoms.arrays["layer"]
    assert atoms.positions[layers == 0, 2].max() > atoms.positions[layers == 1, 2].min()
    assert np.array_equal(find_layers(atoms), layers)


def test_stack_cut_by_the_cell_is_ordered_from_the_vacuum_up():
    atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H")
    atoms.pbc = True
    layers = find_layers(atoms)
    atoms.positions[:, 2] += 0.45 * atoms.cell[2, 2]
    atoms.wrap()
    assert np.array_equal(find_layers(atoms), layers)


def test_monolayers():
    sheet = graphene(vacuum=8.0)
    sheet.pbc = (True, True, False)
    assert np.array_equal(find_layers(sheet), [0, 0])
    assert np.array_equal(find_layers(mx2("MoS2", vacuum=8.0)), [0, 0, 0])


def test_third_vector_without_periodicity_may_be_anything(bilayer):
    layers, pairs = find_layers(bilayer), neighbour_pairs(bilayer, 6.0)
    for third in ([0, 0, 0], [0, 0, 1e-3], [4.0, 1.0, 0], [0, 0, -25.0]):
        other = bilayer.copy()
        other.cell[2] = third
        assert np.array_equal(find_layers(other), layers)
        assert len(neighbour_pairs(other, 6.0)) == len(pairs)


def test_standing_positions_put_the_vacuum_outside():
    """A stack cut by the cell boundary stands as one slab again, moved by whole lattice vectors only."""
    atoms = twisted_bilayer("MoS2", angle=0.0, shift=(0.1, 0.3))
    atoms.set_cell(atoms.cell.array + [[0, 0, 0], [0, 0, 0], [1.3, 0.4, 0]])
    atoms.pbc = True
    cut = atoms.copy()
    cut.positions += 0.5 * cut.cell.array[2]
    cut.wrap()
    assert np.ptp(cut.positions[:, 2]) > 20 > np.ptp(atoms.positions[:, 2])
    standing = standing_positions(cut)
    assert np.ptp(standing[:, 2]) == pytest.approx(np.ptp(atoms.positions[:, 2]))
    whole = (standing - cut.positions) @ np.linalg.inv(cut.cell.array)
    assert np.allclose(whole, np.round(whole), atol=1e-9) and np.allclose(whole[:, :2], 0, atol=1e-9)


def refused(name):
    if name == "crystal":
        return bulk("NaCl", "rocksalt", a=5.6)
    if name == "molecule":
        return Atoms("N2", [[0, 0, 5], [0, 0, 6.1]], cell=[8, 8, 12], pbc=(True, True, False))
    if name == "chain":
        return Atoms("C", [[0, 0, 5]], cell=[1.3, 9, 12], pbc=(True, True, False))
    atoms = twisted_bilayer("MoS2", angle=0.0)
    if name == "flat cell":
        atoms.cell[1] = 2 * atoms.cell[0]
    elif name == "no second vector":
        atoms.cell[1] = 0
    elif name == "nothing but one vector":
        atoms.cell[1:] = [3 * atoms.cell[0], [0, 0, 0]]
    elif name == "infinite":
        atoms.positions[5, 2] = np.inf
    elif name == "no atoms":
        atoms = atoms[:0]
    elif name == "overlap":
        atoms.positions[4] = atoms.positions[3] + [0.2, 0.1, 0]
    elif name == "one direction":
        atoms.pbc = (True, False, False)
    return atoms


@pytest.mark.parametrize(
    "name, message",
    [
        ("crystal", "atom 0 .Na. belongs to a bulk crystal"),
        ("molecule", "atom 0 .N. belongs to a molecule"),
        ("chain", "atom 0 .C. belongs to a chain"),
        ("flat cell", "does not span"),
        ("no second vector", "does not span"),
        ("nothing but one vector", "does not span"),
        ("infinite", "position of atom 5 .S."),
        ("no atoms", "holds no atoms"),
        ("overlap", "atoms 3 .* and 4 .* overlap: 0.224 Å"),
        ("one direction", "periodic along the first two"),
    ],
)
def test_refusals_say_what_and_where(name, message):
    with pytest.raises(ValueError, match=message):
        find_layers(refused(name))


def test_check_passes_what_is_sound(bilayer):
    check_atoms(bilayer)
    assert np.allclose(plane_normal(bilayer), [0, 0, 1])


@pytest.mark.parametrize("size", [100, 163, 320])
@pytest.mark.parametrize("third", [0.0, 1.0, 30.0])
def test_wide_flat_cells_have_neighbours(size, third):
    """A list of very many bins along two axes and one along the third: three neighbours per atom of graphene."""
    atoms = graphene(a=2.46, size=(size, size, 1), vacuum=None)
    atoms.set_cell([*atoms.cell.array[:2], [0, 0, third]])
    atoms.pbc = (True, True, False)
    start = time.process_time()
    check_atoms(atoms)
    assert len(neighbour_pairs(atoms, 1.6)) == 3 * len(atoms)
    assert time.process_time() - start < 10.0 and len(atoms) == 2 * size**2


def test_layers_of_two_hundred_thousand_atoms():
    atoms = graphene(a=2.46, size=(320, 320, 1), vacuum=None)
    atoms.set_cell([*atoms.cell.array[:2], [0, 0, 0]])
    atoms.pbc = (True, True, False)
    start = time.process_time()
    assert (find_layers(atoms) == 0).all() and time.process_time() - start < 15.0


@pytest.mark.parametrize(
    "scale, message", [("all", "repeats after 0.0.* Å"), ("positions", "overlap"), ("many positions", "overlap")]
)
def test_tiny_structures_are_refused_in_a_moment(scale, message):
    atoms = twisted_bilayer("MoS2", m=2, r=1)
    if scale == "all":
        atoms.set_cell(1e-3 * atoms.cell.array, scale_atoms=True)
    else:
        atoms = atoms.repeat((6, 6, 1)) if scale.startswith("many") else atoms
        atoms.positions *= 1e-3
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        check_atoms(atoms)
    assert time.process_time() - start < 1.0


def test_elements_and_places_that_do_not_exist():
    atoms = twisted_bilayer("MoS2", angle=0.0)
    for number in (200, -1):
        wrong = atoms.copy()
        wrong.numbers[4] = number
        with pytest.raises(ValueError, match=f"atom 4 has the atomic number {number}"):
            check_atoms(wrong)
    atoms.positions[2, 1] = 1e30
    with pytest.raises(ValueError, match=r"position of atom 2 .* out of range"):
        check_atoms(atoms)


def test_closest_pair_of_a_cloud_is_refused_only_below_the_limit():
    """Against brute force over the images, in an oblique cell, periodic in two and in three directions."""
    rng = np.random.default_rng(3)
    cell = np.array([[7.0, 0, 0], [3.3, 6.0, 0], [1.0, 2.0, 9.0]])
    images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ cell
    outcomes = []
    for _ in range(60):
        atoms = Atoms("C12", scaled_positions=rng.random((12, 3)) * 3 - 1, cell=cell, pbc=(1, 1, rng.integers(2)))
        own = atoms.get_scaled_positions(wrap=False)
        own[:, atoms.pbc] %= 1.0
        x = own @ cell
        shifts = images if atoms.pbc[2] else images[np.abs(images[:, 2]) < 1e-9]
        vectors = x[None, :, None] + shifts[None, None] - x[:, None, None]
        distance = np.linalg.norm(vectors, axis=-1)
        nearest = distance[distance > 1e-9].min()
        try:
            check_atoms(atoms)
            outcomes.append(True)
        except ValueError as error:
            assert "overlap" in str(error)
            outcomes.append(False)
        assert outcomes[-1] == (nearest >= 1.0), nearest
    assert 10 < sum(outcomes) < 50


def test_up_is_up():
    atoms = twisted_bilayer("MoS2", angle=0.0)
    for cell in (atoms.cell.array, atoms.cell.array[[1, 0, 2]], atoms.cell.array * [[1], [1], [-1]]):
        atoms.set_cell(cell)
        assert upward(atoms).tolist() == pytest.approx([0, 0, 1])
    atoms.rotate(90, "x", rotate_cell=True)
    third = atoms.cell.array[2]
    assert abs(upward(atoms) @ third) == pytest.approx(np.linalg.norm(third))
    flat = in_xy_plane(atoms)
    assert np.abs(flat.cell.array[:2, 2]).max() == 0 and upward(flat).tolist() == pytest.approx([0, 0, 1])
    assert flat.get_distance(0, 4, mic=True) == pytest.approx(atoms.get_distance(0, 4, mic=True))


def test_emptiness_inside_a_wrapped_slab():
    atoms = twisted_bilayer("MoS2", angle=0.0)
    assert empty_inside(atoms) == 0
    atoms.positions[:, 2] -= atoms.positions[:, 2].mean()
    atoms.positions[:, 2] %= atoms.cell[2, 2]
    assert empty_inside(atoms) > 15
    atoms.pbc = True
    assert empty_inside(atoms) == 0


def test_what_a_missing_periodicity_may_hide():
    """Nothing of a slab with vacuum; a slab that was wrapped; a bulk crystal without its third direction."""
    atoms = twisted_bilayer("MoS2", angle=0.0)
    assert doubt_about_the_third_vector(atoms) == ""
    bulk_like = atoms.copy()
    bulk_like.set_cell([*atoms.cell.array[:2], [0, 0, np.ptp(atoms.positions[:, 2]) + 3.0]])
    assert "leaves 3.0 Å above the stack: if this is a bulk crystal" in doubt_about_the_third_vector(bulk_like)
    bulk_like.pbc = True
    assert doubt_about_the_third_vector(bulk_like) == ""
    for third in ([0, 0, 0], [0, 0, 1e-3], [1.0, 2.0, 0]):
        bulk_like.set_cell([*atoms.cell.array[:2], third])
        bulk_like.pbc = (True, True, False)
        assert doubt_about_the_third_vector(bulk_like) == ""
    atoms.positions[:, 2] = (atoms.positions[:, 2] - atoms.positions[:, 2].mean()) % atoms.cell[2, 2]
    assert "pbc[2] = True" in doubt_about_the_third_vector(atoms)


def test_one_of_each_pair_and_its_reverse():
    """Half of all ordered pairs of a small cell, where atoms are their own neighbours; also by species."""
    atoms = Atoms("CSC", [[0, 0, 0], [0.9, 1.1, 0.3], [1.5, 0.4, -0.2]], cell=[2.6, 2.7, 20], pbc=(True, True, False))
    pairs, species = neighbour_pairs(atoms, 6.0), np.array([0, 1, 0])
    keys = lambda p: set(zip(p.i.tolist(), p.j.tolist(), *p.shift.T.tolist()))
    for half in (pairs.half(), pairs.select(one_of_each_pair(pairs.i, pairs.j, pairs.shift, species))):
        back = {(j, i, -x, -y, -z) for i, j, x, y, z in keys(half)}
        assert not keys(half) & back and keys(half) | back == keys(pairs)
    assert (species[half.i] <= species[half.j]).all() and (half.i == half.j).any()
