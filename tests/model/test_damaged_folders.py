"""Damaged model folders: the message names the file and what is wrong there."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import InputError
from safetensors.torch import load_file, save_file

from ase_wander import WanderCalculator, load_model
from ase_wander.published.model import PublishedModel
from ase_wander.published.networks import published_networks
from ase_wander.published.template import ideal_template

MODEL = Path(__file__).resolve().parents[2] / "models" / "graphene-bilayer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "m"
    target.mkdir()
    for name in ("config.json", "weights.safetensors", "trust.safetensors"):
        shutil.copy(MODEL / name, target)
    return target


def config_of(folder, sealed, **change):
    config = json.loads((MODEL / "config.json").read_text())
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    if not sealed:
        config.pop("folder_sha256", None)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"heads": {"hidden": 30000}}, "heads.hidden: 30000 is more than 4096"),
        ({"heads": {"hidden": 4000}}, "not weights of this model .* has the shape .* asks for"),
        ({"heads": {"cutoff": 500.0}}, "heads.cutoff: 500.0 is more than 50"),
        ({"force_field": {"cutoff": 1e5}}, "force_field.cutoff: 100000.0 is more than 50"),
        ({"force_field": {"n_radial": 10**400}}, "force_field.n_radial"),
        ({"electrons": {"C": float("nan")}}, "electrons.C: nan is not a number"),
        ({"kind": "wonder"}, "model kind 'wonder' is not known"),
    ],
)
def test_model_configurations(folder, change, message):
    config_of(folder, False, **change)
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_a_model_is_bound_together(folder):
    """Another cutoff is not the same model, though the weights fit; without the hash it is a folder of version 0.1."""
    config_of(folder, True)
    assert load_model(folder).name == "graphene-bilayer"
    config_of(folder, True, heads={"cutoff": 9.9, "taper": 8.8})
    with pytest.raises(ValueError, match=r"config\.json: changed since it was written together with weights"):
        load_model(folder)
    config_of(folder, True)
    trust = (folder / "trust.safetensors").read_bytes()
    (folder / "trust.safetensors").unlink()
    with pytest.raises(ValueError, match=r"config\.json: changed since"):
        load_model(folder)
    (folder / "trust.safetensors").write_bytes(trust)
    config_of(folder, False)
    with pytest.warns(UserWarning, match="no folder_sha256 binds it to weights"):
        assert load_model(folder).name == "graphene-bilayer"


def test_a_record_of_a_calculator_binds_the_configuration(folder):
    """Equal weights with another cutoff, in a folder of version 0.1, are another model."""
    config_of(folder, True)
    record = WanderCalculator(folder).todict()
    assert WanderCalculator(**record).todict() == record
    weights = json.loads((folder / "config.json").read_text())["sha256"]
    assert WanderCalculator(**record | {"sha256": weights}).todict() == record  # records of version 0.1
    config_of(folder, False, heads={"cutoff": 9.9, "taper": 8.8})
    with pytest.warns(UserWarning, match="no folder_sha256"), pytest.raises(InputError, match="another configuration"):
        WanderCalculator(**record)
    config_of(folder, True)


def test_published_models_are_bound_together(tmp_path):
    PublishedModel(published_networks().eval(), ideal_template(), "untrained").save(tmp_path / "m")
    assert load_model(tmp_path / "m").name == "untrained"
    file = tmp_path / "m" / "config.json"
    file.write_text(file.read_text().replace('"rounding": true', '"rounding": false'))
    with pytest.raises(ValueError, match=r"config\.json: changed since"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(folder, value):
    file = folder / "weights.safetensors"
    good = file.read_bytes()
    state = load_file(file)
    state["force_field.linear"].view(-1)[0] = value
    try:
        save_file(state, file)
        config_of(folder, False, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
        with pytest.raises(ValueError, match=r"weights\.safetensors: force_field\.linear holds .* not finite"):
            load_model(folder)
    finally:
        file.write_bytes(good)
