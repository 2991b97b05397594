"""The stacking correction: derivatives, symmetry, what it does to registries and what it leaves alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ase_wander import WanderCalculator, load_model
from ase_wander.model.stacking import StackingTerm
from ase_wander.moire import twisted_bilayer
from ase_wander.structure import find_layers
from tests.helpers import displaced, random_orthogonal

NUMBERS = {
    "C": 0.02,
    "lambda": 2.0,
    "delta": 0.9,
    "z0": 3.4,
    "B": [-0.001, 0.002],
    "kappa": [1.0, 2.0],
    "taper": 4.0,
    "cutoff": 5.5,
}

#: Fitted numbers that are not shipped: they fail on moiré cells.
TRIAL = Path(__file__).resolve().parents[2] / "benchmarks" / "stacking" / "graphene-bilayer-qmc"


@pytest.fixture(scope="module")
def term():
    return StackingTerm(NUMBERS)


@pytest.fixture(scope="module")
def atoms():
    return displaced(twisted_bilayer("graphene", m=1, r=1), 0.05)


def total(term, atoms, layers):
    return term(atoms, layers)[0].sum()


def test_forces_and_virial_are_derivatives(term, atoms):
    layers, step = find_layers(atoms), 1e-4
    _, forces, virial = term(atoms, layers)
    assert np.abs(forces.sum(0)).max() < 1e-12
    for a, axis in ((0, 2), (5, 0), (20, 1)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[a, axis] += sign * step
            ends.append(total(term, moved, layers))
        assert forces[a, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-8)
    for a, b in ((0, 0), (0, 1), (2, 2), (0, 2)):
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += 0.5 * sign * step
            strain[b, a] += 0.5 * sign * step
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=False)
            moved.positions = atoms.positions @ strain
            ends.append(total(term, moved, layers))
        assert virial[a, b] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_it_turns_with_the_atoms(term, atoms):
    layers, q = find_layers(atoms), random_orthogonal(3, -1).numpy()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    one, two = term(atoms, layers), term(turned, layers)
    assert np.allclose(one[0], two[0], atol=1e-12) and np.allclose(one[1] @ q.T, two[1], atol=1e-12)
    assert np.allclose(q @ one[2] @ q.T, two[2], atol=1e-12)


def test_layers_far_apart_or_alone_feel_nothing(term):
    atoms = twisted_bilayer("graphene", angle=0.0, gap=6.0)
    for found in (term(atoms, find_layers(atoms)), term(atoms, np.zeros(4, int)), term(atoms, np.array([0, 0, 2, 2]))):
        assert all(not np.any(x) for x in found)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"C": "much"}, "stacking: C: 'much' is not a number"),
        ({"B": 1.0}, "B: 1.0 is not a list"),
        ({"kappa": [1.0]}, "different lengths"),
        ({"taper": 9.0}, "taper < cutoff"),
        ({"more": 1.0}, "expected a mapping"),
    ],
)
def test_bad_numbers_are_named(tmp_path, change, message):
    folder = shutil.copytree(TRIAL, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["stacking"] = NUMBERS | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json: stacking: .*{message.removeprefix('stacking: ')}"):
        load_model(folder)


# ---------------------------------------------------------------- the trial model
def test_quantum_monte_carlo_registries():
    """AA lies 4.76 ± 0.2 meV/atom above AB at their own distances, 3.631 and 3.451 Å; H of equal atoms is that of the
    base model."""
    model, base = load_model(TRIAL), load_model("graphene-bilayer")
    lowest = {}
    for name, shift in (("AA", (0, 0)), ("AB", (1 / 3, 2 / 3))):
        distances = np.linspace(3.3, 3.75, 10)
        cells = [twisted_bilayer("graphene", angle=0.0, shift=shift, gap=d) for d in distances]
        e = [1e3 * model.compute(a, np.repeat([0, 1], 2))["energy"] / 4 for a in cells]
        quadratic = np.poly1d(np.polyfit(distances, e, 4))
        fine = np.linspace(3.3, 3.75, 4501)
        lowest[name] = fine[np.argmin(quadratic(fine))], quadratic(fine).min()
    assert lowest["AA"][1] - lowest["AB"][1] == pytest.approx(4.76, abs=0.1)
    assert lowest["AB"][0] == pytest.approx(3.451, abs=0.005) and lowest["AA"][0] == pytest.approx(3.631, abs=0.008)
    atoms = twisted_bilayer("graphene", angle=0.0)
    one, two = (WanderCalculator(m).get_wannier_hamiltonian(atoms) for m in (model, base))
    assert np.array_equal(one.at_k([0.1, 0.2, 0]).toarray(), two.at_k([0.1, 0.2, 0]).toarray())
