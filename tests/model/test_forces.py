"""Which way forces are computed, and that what is kept from one call to the next never shows."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_wander import WanderCalculator, kernels, load_model
from ase_wander.model import forces
from ase_wander.model.neighbours import SkinList
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.rows import Rows
from ase_wander.structure import find_layers, neighbour_pairs
from tests.helpers import displaced

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def model():
    return load_model("mos2-bilayer")


def bilayer(seed):
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)).repeat((2, 1, 1)), 0.03, seed)


def way(model, monkeypatch):
    """Name of the way that the model's next forces take."""
    taken = []
    for name in ("by_loops", "by_torch"):
        monkeypatch.setattr(forces, name, lambda *args, name=name, **kwargs: taken.append(name))
    atoms = bilayer(0)
    model.force_pass(model, atoms, find_layers(atoms))
    return taken[0]


def test_loops_where_they_can_torch_elsewhere(model, monkeypatch):
    assert way(model, monkeypatch) == "by_loops"
    assert way(model.train(), monkeypatch) == "by_torch"
    model.eval().force_field.__class__ = type("Backbone", (type(model.force_field),), {})
    assert way(model, monkeypatch) == "by_torch"


def test_the_switch_turns_them_off(model, monkeypatch):
    monkeypatch.setenv(kernels.SWITCH, "0")
    assert way(model, monkeypatch) == "by_torch"


def test_a_library_of_other_sources_is_not_used(monkeypatch):
    monkeypatch.setattr(kernels, "VERSION", -1)
    kernels._load.cache_clear()
    assert kernels.load(torch.backends.cpu.get_cpu_capability()) is None
    kernels._load.cache_clear()


def test_changed_weights_show(model):
    atoms = bilayer(1)
    before = model.compute(atoms, find_layers(atoms))
    with torch.no_grad():
        model.force_field.linear.mul_(1.1)
    after = model.compute(atoms, find_layers(atoms))
    assert np.abs(after["forces"] - before["forces"]).max() > 1e-3
    reference = forces.by_torch(model, atoms, find_layers(atoms))
    np.testing.assert_allclose(after["forces"], reference.forces, atol=1e-11)


def test_copies_and_pickles_agree(model):
    atoms = bilayer(1)
    calculator = WanderCalculator(model)
    expected = calculator.get_forces(atoms)
    for again in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        np.testing.assert_array_equal(again.get_forces(displaced(bilayer(1), 0.0)), expected)


def test_threads_share_a_model(model):
    cells = [bilayer(seed) for seed in range(6)]
    run = lambda atoms: model.compute(atoms, find_layers(atoms))["forces"]
    alone = [run(atoms) for atoms in cells]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            for one, together in zip(alone, pool.map(run, cells)):
                np.testing.assert_array_equal(together, one)


# ---------------------------------------------------------------- the list with a skin
def ordered(i, j, shift):
    return sorted(zip(i.tolist(), j.tolist(), map(tuple, np.asarray(shift).tolist())))


def test_rows_hold_both_directions_of_every_pair(compiled):
    """In a cell smaller than the cutoff atoms neighbour their own images, up and down."""
    atoms = bilayer(2)
    built = SkinList(compiled, atoms, 6.0, skin=0.0).rows
    full = neighbour_pairs(atoms, 6.0)
    i = np.repeat(np.arange(len(atoms)), np.diff(built.start))
    assert ordered(i, built.neighbour, built.shift) == ordered(full.i, full.j, full.shift)
    assert built.longest == np.bincount(full.i).max()


def test_no_pairs_make_empty_rows(compiled):
    none = np.zeros(0, int)
    rows = Rows(compiled, none, none, np.zeros((0, 3), int), 3)
    assert rows.start.tolist() == [0, 0, 0, 0] and rows.longest == 0


def test_a_walk_with_one_list_is_a_walk_with_new_ones(model):
    """Displacements and strains; an atom wrapped into the next cell at the end. The same to the last bit, so that a relaxation
    that was stopped and goes on ends where it would have."""
    generator, atoms, kept = np.random.default_rng(0), bilayer(0), []
    layers, along = find_layers(atoms), forces.ForcePass()
    for step in range(12):
        atoms.positions += generator.normal(scale=0.02, size=atoms.positions.shape)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.normal(scale=5e-4, size=(3, 3))), scale_atoms=True)
        if step == 11:
            atoms.positions[0] += atoms.cell[0]
        walked, new = along(model, atoms, layers), forces.ForcePass()(model, atoms, layers)
        for name in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(walked, name), getattr(new, name))
        kept.append(along._list)
    assert 2 <= len(set(map(id, kept))) < 8  # some lists served several steps, and the wrapped atom made a new one


@pytest.mark.parametrize("moved, serves", [(0.19, True), (0.21, False)])
def test_two_atoms_may_use_up_the_skin(compiled, moved, serves):
    atoms = Atoms("Mo2", [[0, 0, 0], [6.39, 0, 0]], cell=[40, 40, 40], pbc=(True, True, False))
    made = SkinList(compiled, atoms, 6.0, skin=0.4)
    atoms.positions[:, 0] += moved, -moved
    assert made.serves(atoms, 6.0) is serves


def test_a_strained_cell_uses_up_the_skin(compiled):
    """-1 % along x brings pairs at 6.06 Å to 6.0: a skin of 0.1 Å holds that, and does not hold -2 %."""
    atoms = bilayer(0)
    made = SkinList(compiled, atoms, 6.0, skin=0.1)
    for strain, serves in ((-0.01, True), (-0.02, False), (0.05, True)):
        work = atoms.copy()
        work.set_cell(atoms.cell.array * [1 + strain, 1, 1], scale_atoms=True)
        assert made.serves(work, 6.0) is serves


def test_another_structure_is_not_served(compiled):
    atoms = bilayer(0)
    made = SkinList(compiled, atoms, 6.0)
    upwards = atoms.copy()
    upwards.pbc = True
    assert made.serves(atoms, 6.0)
    assert not made.serves(atoms[:-1], 6.0) and not made.serves(upwards, 6.0) and not made.serves(atoms, 7.0)
