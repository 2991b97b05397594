"""New elements start from their relatives: the rule, and models that agree wherever atoms differ by name alone."""

import numpy as np
import pytest
import torch

from ase_wander.data.dataset import load_dataset
from ase_wander.structure import find_layers
from ase_wander.training.start import start_from
from ase_wander.training.train import new_model
from ase_wander.training.transfer import group_and_period, relative, relatives
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, with_species

PLACES = {
    **{"H": (1, 1), "He": (18, 1), "B": (13, 2), "C": (14, 2), "Na": (1, 3), "S": (16, 3), "Ti": (4, 4), "Se": (16, 4)},
    **{"Mo": (6, 5), "Te": (16, 5), "La": (3, 6), "Lu": (3, 6), "Hf": (4, 6), "W": (6, 6), "Pt": (10, 6), "U": (3, 7)},
}


@pytest.mark.parametrize("symbol", PLACES)
def test_places_in_the_periodic_table(symbol):
    assert group_and_period(symbol) == PLACES[symbol]


@pytest.mark.parametrize(
    ("symbol", "known", "expected"),
    [
        *[("Se", ["Mo", "S"], "S"), ("Te", ["Mo", "S"], "S"), ("W", ["Mo", "S"], "Mo"), ("Nb", ["Mo", "S"], "Mo")],
        *[("B", ["C"], "C"), ("N", ["C"], "C"), ("Te", ["S", "Se"], "Se"), ("Mo", ["Mo", "W"], "Mo")],
        *[("N", ["B", "P"], "P"), ("Hf", ["Mo", "S"], "Mo")],
    ],
)
def test_the_nearest_in_the_periodic_table_is_the_relative(symbol, known, expected):
    assert relative(symbol, known) == expected


def test_relatives_keep_the_order_of_the_species():
    assert relatives(["Mo", "W", "S", "Se"], ["Mo", "S"]) == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="in the order W, Mo, Se are needed"):
        relatives(["W", "Se", "Mo"], ["Mo", "S"])


@pytest.mark.parametrize("inter", ["tensors", "additive", "paths"])
@pytest.mark.parametrize("species", [("W", "Se"), ("Mo", "W", "S", "Se"), ("Mo", "S", "Se")])
def test_renamed_atoms_have_energy_and_hamiltonian_of_their_relatives(tmp_path, species, inter):
    """Before it is trained a new element is its relative under another name, in a model of its own and beside it."""
    torch.manual_seed(5)
    change = {"heads": {**CONFIG["heads"], "inter_input": inter}}
    source = new_model({**CONFIG, **change}).double()
    for parameter in source.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    source = source.float().double()  # as it is written
    folder = source.save(tmp_path / "source")
    model = new_model({**with_species(*species), **change})
    start = start_from(model, folder)
    assert start.new == [] and start.relatives == {s: {"W": "Mo", "Se": "S"}[s] for s in species if s not in "MoS"}
    model = model.double()
    atoms = load_dataset(DATA)[0].atoms
    layers = find_layers(atoms)
    expected, energy = source.hamiltonian(atoms, layers), source.compute(atoms, layers)["energy"]
    renamed = atoms.copy()
    names = {"Mo": "W" if "W" in species else "Mo", "S": "Se"}
    renamed.symbols = [names[s] for s in atoms.symbols]
    for cell in [atoms, renamed] if "Mo" in species and "S" in species else [renamed]:
        found = model.hamiltonian(cell, layers)
        assert np.array_equal(found.pair_j, expected.pair_j)
        assert np.abs(found.block - expected.block).max() < 1e-12
        assert model.compute(cell, layers)["energy"] == pytest.approx(energy, abs=1e-9)
