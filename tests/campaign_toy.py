"""A campaign whose engine is a toy of milliseconds: its configuration, the fixtures that make the engine known."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from ase_wander.data.campaign import run as campaign
from ase_wander.data.campaign import worker
from ase_wander.data.campaign.run import run_campaign
from ase_wander.data.dft import bands_check, engines
from tests import toy_engine

ROOT = Path(__file__).resolve().parents[1]
WORKER = (sys.executable, str(ROOT / "tests" / "toy_engine.py"))
SAMPLING = {
    "material": "graphene",
    "lattice_constant": 2.46,
    "kinds": [
        {"prefix": "p1", "count": 3, "gap": [3.2, 3.6], "sigma": [0.02]},
        {"prefix": "ml", "count": 1, "monolayer": True},
    ],
}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The toy engine, known to this process and to the workers that it starts; labels are made without a process where that does."""
    monkeypatch.setattr(campaign, "WORKER", WORKER)
    monkeypatch.setattr(run_campaign, "__kwdefaults__", {**run_campaign.__kwdefaults__, "command": WORKER})
    monkeypatch.setattr("ase_wander.data.dft.recipe.ENGINES", ("gpaw", "espresso", "toy"))
    monkeypatch.setitem(engines.ENGINES, "toy", "tests.toy_engine")


@pytest.fixture
def inline(monkeypatch):
    """Tasks run in this process, figures are not drawn: for what has nothing to do with either."""
    monkeypatch.setattr(bands_check, "require_bands", bands_check.require_bands)  # put back afterwards
    toy_engine.without_figures()

    class Inline:
        n_workers = 1

        def submit(self, task, lock):
            return worker.run(*worker.decode_task(task))

        def wait(self, futures, seconds):
            return set(futures)

        def receive(self, folder, future):
            return future

    pool = Inline()
    monkeypatch.setattr(campaign, "make_pool", lambda *args: nullcontext(pool))


def write_config(folder, options=None, **change):
    raw = {"name": "toy", "sampling": SAMPLING, "recipe": {**toy_engine.RECIPE, "options": options or {}}, **change}
    file = folder / "data.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in raw.items() if v is not None}))
    return file


def computed(out):
    """How often the engine was called, by configuration."""
    return {f.stem: len(f.read_text()) for f in (out / "logs").glob("*.count")}


def wait_for(condition, process=None, seconds=120):
    start = time.monotonic()
    while not condition():
        assert process is None or process.poll() is None, "the campaign ended too early"
        assert time.monotonic() - start < seconds
        time.sleep(0.02)
