"""Shared set-up of the tests: slow tests on request, one thread, the reference data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Before numpy loads its BLAS, and for all commands that tests start: matrices here are so small that a second thread
# takes longer than it saves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.mos2_small import DATA as SMALL

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


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The compiled loops for this machine; built here where the package under test, a checkout, has none beside it."""
    import torch

    from ase_wander import kernels

    capability = torch.backends.cpu.get_cpu_capability()
    if kernels.load(capability) is None:
        if not any(map(shutil.which, ("cc", "gcc", "clang"))):
            pytest.skip("the compiled loops are not built, and there is no C++ compiler to build them")
        folder = tmp_path_factory.mktemp("kernels")
        command = [
            sys.executable,
            "setup.py",
            "-q",
            "build_ext",
            "--build-lib",
            folder,
            "--build-temp",
            folder / "temp",
        ]
        subprocess.run(command, cwd=Path(__file__).resolve().parents[1], check=True, capture_output=True)
        kernels.FOLDER = str(folder / "ase_wander" / "kernels")
    return kernels.load(capability)


@pytest.fixture(scope="module")
def configurations():
    """The few configurations of bilayer MoS2 that come with the tests."""
    from ase_wander.data.dataset import load_dataset

    return load_dataset(SMALL)


@pytest.fixture(scope="module")
def model(configurations):
    """The shipped weights with an uncertainty fitted to the few configurations."""
    from ase_wander import load_model
    from ase_wander.evaluation.uncertainty import fit_uncertainty

    model = load_model("mos2-bilayer")
    fit_uncertainty(model, configurations, 0.15)
    return model
