"""Uncertainty: the limit of a linear layer, calibration, extensivity, symmetry, domain, files, the calculator."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii

from ase_wander import DomainWarning, WanderCalculator, load_model
from ase_wander.data.dataset import Configuration, load_dataset, split
from ase_wander.evaluation.uncertainty import (
    cross_validated,
    fit_uncertainty,
    observe,
    scores,
)
from ase_wander.model.wander import TRUST
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.uncertainty import FittedUncertainty, deviation
from ase_wander.structure import find_layers
from tests.helpers import displaced, random_orthogonal


@pytest.fixture
def atoms(configurations):
    return configurations[3].atoms.copy()


def uncertainty(model, atoms):
    """Of one structure, without the warning, which only `calculate` gives."""
    return WanderCalculator(model).get_uncertainty(atoms)


# ---------------------------------------------------------------- physics
def test_deviations_are_those_of_the_repeated_cell(model, atoms):
    """Copies err alike: the energy's deviation is extensive, those of atoms stay."""
    one, four = uncertainty(model, atoms), uncertainty(model, atoms.repeat((2, 2, 1)))
    assert four["energy"] == pytest.approx(4 * one["energy"], rel=1e-8)
    for name in ("energies", "forces", "hamiltonian", "distance"):
        assert np.allclose(four[name], np.tile(one[name], 4), rtol=1e-8)


def test_deviations_turn_and_permute_with_the_atoms(model, atoms):
    atoms = displaced(atoms, 0.02)
    before, order, q = (
        uncertainty(model, atoms),
        np.random.default_rng(0).permutation(len(atoms)),
        random_orthogonal(2, -1).numpy(),
    )
    turned = atoms[order]
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions[order] @ q.T
    after = uncertainty(model, turned)
    assert after["energy"] == pytest.approx(before["energy"], rel=1e-9)
    for name in ("energies", "forces", "hamiltonian", "distance"):
        assert np.allclose(after[name], before[name][order], rtol=1e-9)


def test_deviations_grow_away_from_the_data_without_a_jump(model, atoms):
    direction = np.random.default_rng(3).normal(size=(len(atoms), 3))
    at = lambda step: uncertainty(model, _moved(atoms, step * direction))["forces"]
    grown = [np.median(at(step)) for step in (0.0, 0.05, 0.1, 0.2)]
    assert all(b > a for a, b in itertools.pairwise(grown))
    assert np.abs(at(0.05 + 1e-5) / at(0.05) - 1).max() < 1e-2


def _moved(atoms, step):
    atoms = atoms.copy()
    atoms.positions += step
    return atoms


def test_only_surroundings_that_differ_are_unlike(model, atoms):
    """Nought in a single cell however far it lies from the data, and in its repetition; not where atoms move by
    themselves, nor of the facing atoms of a twisted cell."""

    def unlike(atoms):
        graph, environment = model.environment(atoms, find_layers(atoms))
        return model.trust.distances(model.force_field, graph, environment)["unlike"]

    assert unlike(displaced(atoms, 0.1)).max() < 1e-6
    assert unlike(displaced(atoms, 0.1).repeat((3, 2, 1))).max() < 1e-6
    apart = unlike(displaced(atoms.repeat((2, 2, 1)), 0.02))
    assert apart.min() > 0.05 and apart.max() < 1
    twisted = twisted_bilayer("MoS2", m=1, r=1)
    facing = np.abs(twisted.positions[:, 2] - twisted.positions[:, 2].mean()) < 2.0
    of_twisted = unlike(twisted)
    assert np.median(of_twisted[facing]) > 0.1 and of_twisted.min() > 1e-5 and of_twisted.max() < 1


def test_a_calibration_without_unlikeness_is_taken(model):
    """Files of before: g = 1, the deviations that they gave."""
    arrays = model.trust.arrays()
    old = {name: np.delete(arrays[name], [2, 3]) for name in ("forces", "hamiltonian")}
    trust = FittedUncertainty(**arrays | old)
    d, z = np.array([3.0, 7.0]), np.array([0, 1])
    for name in old:
        given = deviation(getattr(trust, name), d, z, np.array([0.2, 0.5]))
        assert np.allclose(given, deviation(old[name], d, z)) and getattr(trust, name).shape == (5,)


# ---------------------------------------------------------------- the domain
def stretched(atoms, factor):
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array * [[factor], [factor], [1]], scale_atoms=True)
    return atoms


def with_gap(atoms, gap):
    atoms, upper = atoms.copy(), atoms.positions[:, 2] > atoms.positions[:, 2].mean()
    metal = atoms.numbers == 42
    z = atoms.positions[:, 2]
    atoms.positions[upper, 2] += gap - (z[metal & upper].mean() - z[metal & ~upper].mean())
    return atoms


@pytest.fixture(scope="module")
def explorer(model):
    """The same weights with the domain of displaced, strained and shifted cells, labelled by the model with a made-up
    error.
    """
    rng, made, model = np.random.default_rng(5), [], load_model("mos2-bilayer")
    for number in range(20):
        atoms = twisted_bilayer(
            "MoS2", angle=0.0, lattice_constant=rng.uniform(3.08, 3.24), gap=rng.uniform(6.0, 7.0), shift=rng.random(2)
        ).repeat((2, 2, 1))
        atoms = displaced(atoms, rng.uniform(0, 0.06), number)
        layers = find_layers(atoms)
        out = model.compute(atoms, layers)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=out["energy"] + rng.normal(scale=0.01),
            forces=out["forces"] + rng.normal(scale=0.01, size=(24, 3)),
        )
        made.append(Configuration(f"made_{number:04d}", "made", atoms, layers, info={"sigma": 0.03}))
    fit_uncertainty(model, made, 0.15)
    return model


def test_known_structures_lie_inside_and_strange_ones_outside(explorer):
    cell = twisted_bilayer("MoS2", angle=0.0, shift=(0.3, 0.1)).repeat((2, 2, 1))
    known = uncertainty(explorer, displaced(cell, 0.02))
    assert not known["outside"].any() and not known["reasons"] and known["distance"].max() < 1
    twisted = uncertainty(explorer, twisted_bilayer("MoS2", 2, 1))
    assert not twisted["outside"].any()
    for strange in (stretched(cell, 1.1), with_gap(cell, 4.9), with_gap(cell, 8.0), displaced(cell, 0.15)):
        found = uncertainty(explorer, strange)
        assert found["outside"].any() and found["reasons"].keys() == set(np.flatnonzero(found["outside"]))
    assert uncertainty(explorer, stretched(cell, 1.1))["outside"].all()


def test_one_long_bond_is_named(explorer):
    atoms = twisted_bilayer("MoS2", angle=0.0).repeat((3, 3, 1))
    index = int(np.argmax(atoms.positions[:, 2] * (atoms.numbers == 16)))
    before = uncertainty(explorer, atoms)["distance"][index]
    bond = 1.15 * (covalent_radii[42] + covalent_radii[16])
    atoms.positions[index, 2] += 0.3  # its three bonds grow, it stays bonded
    assert atoms.get_distances(index, np.flatnonzero(atoms.numbers == 42), mic=True).min() < bond
    after = uncertainty(explorer, atoms)
    assert after["outside"][index] and after["distance"][index] > before and index in after["reasons"]


def test_reasons_name_the_distance(model, atoms):
    reasons = uncertainty(model, stretched(atoms, 1.1))["reasons"]
    assert set(reasons) == set(range(len(atoms)))
    assert any(
        "nearest Mo of the same layer at" in reason and "in the training data" in reason for reason in reasons.values()
    )


# ---------------------------------------------------------------- calculator and files
def test_a_warning_names_the_atoms_once_per_structure(model, atoms):
    strange = stretched(atoms, 1.1)
    strange.calc = WanderCalculator(model)
    with pytest.warns(
        DomainWarning,
        match=r"6 of 6 atoms lie outside the training data of model 'mos2-bilayer': atom \d+ \((Mo|S)\): nearest",
    ):
        strange.get_potential_energy()
    strange.positions[0, 0] += 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error", DomainWarning)
        strange.get_forces()
        assert "uncertainty" not in strange.calc.results
    strange.positions[0, 0] += 5.0  # another structure
    strange.wrap()
    with pytest.warns(DomainWarning):
        strange.get_potential_energy()


def test_uncertainty_of_the_last_pass_and_of_its_own(model, atoms):
    calculator = WanderCalculator(model)
    atoms.calc = calculator
    with pytest.warns(DomainWarning):
        atoms.get_forces()
    of_pass, own = calculator.get_uncertainty(), uncertainty(model, atoms)
    assert np.allclose(of_pass["forces"], own["forces"]) and of_pass["energy"] == pytest.approx(own["energy"])
    moved = displaced(atoms, 0.05)
    assert not np.allclose(calculator.get_uncertainty(moved)["forces"], own["forces"])
    assert set(own) == {"energy", "energies", "forces", "hamiltonian", "outside", "distance", "reasons"}


def test_what_is_done_to_an_uncertainty_stays_with_the_caller(model, atoms):
    atoms = atoms.copy()
    atoms.calc = WanderCalculator(model)
    atoms.get_forces()
    given = atoms.calc.get_uncertainty()
    known = given["forces"].copy()
    given["forces"][:] = 7
    assert np.array_equal(atoms.calc.get_uncertainty()["forces"], known)


def test_it_travels_with_the_model(model, atoms, tmp_path):
    loaded = load_model(model.save(tmp_path / "model"))
    assert uncertainty(loaded, atoms)["energy"] == pytest.approx(uncertainty(model, atoms)["energy"], rel=1e-4)
    again = pickle.loads(pickle.dumps(WanderCalculator(loaded)))
    assert np.allclose(again.get_uncertainty(atoms)["forces"], uncertainty(loaded, atoms)["forces"])
    single = load_model(tmp_path / "model", dtype="float32")
    assert np.allclose(uncertainty(single, atoms)["forces"], uncertainty(loaded, atoms)["forces"], rtol=0.02)
    loaded.trust = None
    loaded.save(tmp_path / "model")
    assert load_model(tmp_path / "model").trust is None and not (tmp_path / "model" / TRUST).exists()


def test_damaged_and_foreign_files_are_named(model, tmp_path):
    folder = model.save(tmp_path / "model")
    whole = (folder / TRUST).read_bytes()
    (folder / TRUST).write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=f"changed since it was written together with .*{TRUST}"):
        load_model(folder)
    other = load_model("mos2-bilayer")
    other.force_field.ion = None
    other.force_field.linear.data += 1.0
    other.save(folder)
    (folder / TRUST).write_bytes(whole)
    with pytest.raises(ValueError, match=f"changed since it was written together with .*{TRUST}"):
        load_model(folder)


def test_a_model_without_refuses(atoms, configurations):
    bare = load_model("mos2-bilayer")
    bare.trust = None
    with pytest.raises(PropertyNotImplementedError, match="mos2-bilayer.*has no uncertainty"):
        WanderCalculator(bare).get_uncertainty(atoms)
    with pytest.raises(ValueError, match="0 held-out ones"):
        fit_uncertainty(bare, [c for c in configurations if c.name == "p1_8003"], 0.15)


# ---------------------------------------------------------------- the reference data
def test_it_ranks_the_errors_of_held_out_data(reference_data):
    """An error of a force above three times the median has the larger deviation with a probability of 0.9 or more, with
    every
    configuration judged by a calibration on the others; and the deviations have the size of the errors."""
    model, data = load_model("mos2-bilayer"), load_dataset(reference_data)
    _training, held_out = split(data, model.config["validation_fraction"])
    for c in data:
        c.hamiltonian = None
    fit_uncertainty(model, data)
    rows = [observe(model, c) for c in held_out]
    found = scores(rows, cross_validated(rows, 2))["forces"]
    assert found["auc"] > 0.9 and 0.6 < found["within_1"] < 0.9 and found["within_2"] > 0.9
