"""A campaign whose engine is a toy of milliseconds: its configuration; the fixture `toy` makes the engine known."""

import sys
import time
from pathlib import Path

import yaml

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
