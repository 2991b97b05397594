"""Shared set-up of the tests: slow tests on request, one torch thread, the reference data when it is there."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
def shared_data():
    """Folder of the reference data beside the repository (`../shared`)."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"NEEDS THE REFERENCE DATA: no folder {SHARED / 'data'}")
    return SHARED
