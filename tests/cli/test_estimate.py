"""Sizes and times that a run says before it begins."""

import pytest

from ase_wander import load_model
from ase_wander.cli.estimate import gigabytes, n_orbitals
from ase_wander.moire import twisted_bilayer


@pytest.mark.parametrize(
    ("material", "model", "per_cell"), [("MoS2", "mos2-bilayer", 22), ("graphene", "graphene-bilayer", 4)]
)
def test_orbitals_are_those_of_the_model(material, model, per_cell):
    """Complete shells and single orbitals along the normal."""
    model, unit, cell = load_model(model), twisted_bilayer(material, angle=0.0), twisted_bilayer(material, m=2, r=1)
    assert n_orbitals(unit, model) == per_cell
    assert n_orbitals(cell, model) == per_cell * len(cell) // len(unit)
    assert 0.5 < gigabytes(unit, model) < gigabytes(cell, model) < 2.0
