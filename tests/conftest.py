"""Shared set-up of the tests: slow tests on request, one torch thread, the reference data."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / "models" / "mos2-bilayer" / "data" / "aligned"


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run tests marked slow")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; run with --runslow")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--runslow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --runslow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def single_thread():
    """One thread: results repeat to the last digit and tests do not fight for cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference_data():
    """Folder of the reference data of aligned MoS2 bilayers, in the repository."""
    return DATA
