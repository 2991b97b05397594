"""The calculator of the shipped model, and a bilayer with random displacements that has it."""

import pytest

from ase_wander import WanderCalculator, load_model
from ase_wander.moire import twisted_bilayer
from tests.helpers import displaced


@pytest.fixture(scope="module")
def model():
    return load_model("mos2-bilayer")


@pytest.fixture
def calculator(model):
    return WanderCalculator(model)


@pytest.fixture
def atoms(calculator):
    atoms = displaced(twisted_bilayer("MoS2", angle=0.0, shift=(1 / 3, 2 / 3)), 0.03, 1)
    atoms.calc = calculator
    return atoms
