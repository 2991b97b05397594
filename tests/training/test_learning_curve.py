"""The learning curve of a new material, for real in tiny sizes."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from ase_wander.data.dataset import load_dataset
from ase_wander.training.train import new_model
from tests.training_setup import CONFIG, renamed_data

SCRIPT = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "learning_curve.py"))


def test_data_are_divided_by_name_alone():
    configurations = load_dataset(Path(__file__).resolve().parents[1] / "data" / "mos2-small")
    names, held_out = SCRIPT["divided"](configurations)
    assert {c.name for c in held_out} | set(names) == {c.name for c in configurations}
    assert SCRIPT["divided"](configurations[::-1])[0] == names


def test_errors_against_the_number_of_configurations(tmp_path):
    """Every number of configurations is trained twice but none, and found again instead of computed again."""
    model = new_model(CONFIG).save(tmp_path / "trained")
    data = renamed_data(tmp_path / "data")
    arguments = str(model), str(data), [0, 2], tmp_path / "curve"
    results = SCRIPT["curve"](*arguments, steps=(0.005, 0.002))
    assert list(results) == ["tuned 0", "tuned 2", "scratch 2"]
    assert all(np.isfinite([r["force"], r["elements"], r["eigenvalues"]]).all() for r in results.values())
    file = tmp_path / "curve" / "tuned_2.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "force": 1.0}))
    assert SCRIPT["curve"](*arguments)["tuned 2"]["force"] == 1.0
    lines = list(SCRIPT["table"](results))
    assert len(lines) == 5 and lines[2].startswith("| 0 | fine-tuned |")


def test_data_of_which_none_is_held_out_are_refused(tmp_path, monkeypatch):
    data = renamed_data(tmp_path / "data")
    monkeypatch.setitem(SCRIPT["divided"].__globals__, "HELD_OUT", 0.0)
    with pytest.raises(SystemExit, match="none of"):
        SCRIPT["curve"]("mos2-bilayer", str(data), [0], tmp_path / "curve")
