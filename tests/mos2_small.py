"""Fixtures on the few configurations of bilayer MoS2 that come with the tests; import them by name where they are needed."""

from pathlib import Path

import pytest

from ase_wander import load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.evaluation.uncertainty import fit_trust

DATA = Path(__file__).parent / "data" / "mos2-small"


@pytest.fixture(scope="module")
def configurations():
    return load_dataset(DATA)


@pytest.fixture(scope="module")
def model(configurations):
    """The shipped weights with an uncertainty fitted to the few configurations."""
    model = load_model("mos2-bilayer")
    fit_trust(model, configurations, 0.15)
    return model
