"""A training that starts from a trained model: what is taken, what is fitted anew, what is refused."""

import shutil

import numpy as np
import pytest
import torch

from ase_wander.data.dataset import is_validation, load_dataset, split
from ase_wander.data.sources import load_sources
from ase_wander.training.config import load_config
from ase_wander.training.record import read_record
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.start import start_from
from ase_wander.training.train import load_configurations, new_model, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, renamed_data, with_species, write_config


@pytest.fixture
def trained(tmp_path):
    """Folder of a model with weights of its own."""
    torch.manual_seed(3)
    return new_model(CONFIG).save(tmp_path / "trained")


def test_all_weights_of_an_equal_model_are_taken(trained):
    model = new_model(CONFIG)
    start = start_from(model, trained)
    assert start.new == [] and start.whole("force_field") and start.whole("heads") and start.unscaled() == []
    again = new_model(CONFIG)
    start_from(again, trained)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


def test_weights_of_another_shape_stay_new(trained):
    model = new_model({**CONFIG, "heads": {**CONFIG["heads"], "n_gated": 3}})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start = start_from(model, trained)
    assert start.whole("force_field") and not start.whole("heads")
    assert {key.split(".")[1] for key in start.new} == {"hopping"}
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in start.new)


def test_new_networks_of_a_class_keep_its_scale(tmp_path, trained):
    """Inter-layer heads of another input are new networks; sizes of elements are a matter of the data and are taken."""
    source = new_model(CONFIG)
    start_from(source, trained)
    for head in source.heads.hopping.values():
        head.scale_polynomial.fill_(-0.5)
    folder = source.save(tmp_path / "scaled")
    heads = {**CONFIG["heads"], "inter_input": "distance"}
    start = start_from(new_model({**CONFIG, "heads": heads}), folder)
    assert {key.split(".")[2] for key in start.new} == {"00_inter", "01_inter", "11_inter"} and start.unscaled() == []
    file = write_config(tmp_path, heads=heads, stages=[{**STAGES[1], "steps": 1}], start_from=str(folder))
    model = train(load_config(file), tmp_path / "run")
    assert all(head.scale_polynomial.eq(-0.5).all() for head in model.heads.hopping.values())
    pairs = zip(model.force_field.state_dict().values(), source.force_field.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)


def test_parts_that_the_other_model_lacks_stay_fresh_and_get_their_scales(tmp_path, trained):
    """Heads of another kind begin anew, even where a weight of theirs has a namesake; a new dressing is fitted."""
    heads = {**CONFIG["heads"], "inter_input": "paths", "intra_input": "distance"}
    fresh = new_model({**CONFIG, "heads": heads})
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    start = start_from(fresh, trained)
    parts = {"heads.layer_dressing", "heads.steps", "heads.hopping"}
    assert {".".join(key.split(".")[:2]) for key in start.new} == parts and start.unscaled() == []
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items() if key in start.new)
    assert start.unfitted() == {"layer_dressing", "steps"}
    file = write_config(tmp_path, heads=heads, stages=[{**STAGES[1], "steps": 1}], start_from=str(trained))
    model = train(load_config(file), tmp_path / "run")
    source = new_model(CONFIG)
    start_from(source, trained)
    assert torch.equal(model.heads.dressing.first_scale, source.heads.dressing.first_scale)  # taken
    assert not model.heads.layer_dressing.own.first_scale.eq(1).any()  # fitted to the data


def test_walls_stay_or_move_inwards(tmp_path, trained):
    model = new_model(CONFIG)
    start_from(model, trained)
    model.force_field.contact.fill_(0.5)  # shorter than any distance of the data
    folder = model.save(tmp_path / "walls")
    config = load_config(write_config(tmp_path, stages=[{**STAGES[0], "steps": 1}], start_from=str(folder)))
    assert train(config, tmp_path / "run").force_field.contact.eq(0.5).all()


def test_the_run_knows_its_start_and_resumes_with_no_other(tmp_path, trained):
    stages = [{**STAGES[0], "steps": 1}]
    config = load_config(write_config(tmp_path, stages=stages, start_from=str(trained)))
    train(config, tmp_path / "run")
    assert read_record(tmp_path / "run" / "run.json")["start"]["new"] == []
    torch.manual_seed(4)
    new_model(CONFIG).save(trained)  # other weights at the same place
    with pytest.raises(ValueError, match="another model to start from"):
        train(config, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_from": "nowhere"}, "no model named 'nowhere'"),
        ({"start_from": 3}, "start_from: 3 is not text"),
    ],
)
def test_refusals_name_the_key(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(load_config(write_config(tmp_path, **change)), tmp_path / "run")


def test_other_shells_and_another_order_of_species_are_refused(tmp_path, trained):
    other = {**CONFIG, "shells": {"Mo": [1], "S": [1]}}
    with pytest.raises(ValueError, match=r"has the shells \[2\] of Mo, the configuration \[1\] of Mo"):
        start_from(new_model(other), trained)
    with pytest.raises(ValueError, match="species in the order W, Se are needed, that of their relatives in Mo, S"):
        start_from(new_model(with_species("Se", "W")), trained)


def test_frozen_parts_stay(tmp_path, trained):
    stages = [{**STAGES[1], "steps": 2}]
    change = {"stages": stages, "start_from": str(trained), "freeze": ["dressing", "onsite", "inter", "charges"]}
    model = train(load_config(write_config(tmp_path, **change)), tmp_path / "run")
    source = new_model(CONFIG)
    start_from(source, trained)
    changed = {k for k, v in source.state_dict().items() if not torch.equal(v, model.state_dict()[k])}
    assert changed and all(key.startswith("heads.hopping.") and "_intra." in key for key in changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeze": ["heads"]}, r"freeze: \['heads'\] is not a list of parts of a model; known: force_field, dressing"),
        ({"freeze": ["force_field"]}, r"stages\[0\]: freeze leaves nothing to train for kind forcefield"),
        ({"replay": 0.3}, "replay: needs start_from"),
        ({"replay": 1.0, "start_from": "mos2-bilayer"}, "replay: 1.0 is not a number from 0 to below 1"),
    ],
)
def test_what_cannot_be_frozen_or_replayed_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_config(write_config(tmp_path, **change))


def test_replay_is_a_share_of_the_training_set_from_the_old_data(tmp_path, trained):
    """Three quarters of what is trained on, drawn from what the old model was trained on; names stay unique."""
    shutil.copytree(DATA, trained / "data")
    data = [{"path": str(DATA), "include": ["p1_*"], "hold_out": False}]
    config = load_config(write_config(tmp_path, data=data, start_from=str(trained), replay=0.5))
    found = load_configurations(config)
    n_new = len(load_sources(config.data))
    old = found[n_new:]
    assert len(old) == min(n_new, sum(not is_validation(c.name) for c in load_dataset(DATA)))
    assert not any(c.hold_out for c in old) and len({c.name for c in found}) == len(found)
    assert not any(is_validation(c.name.split(":")[-1]) for c in old)
    model = {**with_species("W", "Se"), "data": data, "material": "WSe2", "start_from": str(trained), "replay": 0.5}
    with pytest.raises(ValueError, match="hold Mo, S, which species lacks"):
        load_configurations(load_config(write_config(tmp_path, **model)))


def test_a_new_element_starts_with_its_own_zeros(tmp_path, trained):
    """Renamed data of MoS2 with energies and levels moved: one step on them already has the right means."""
    folder = renamed_data(tmp_path / "renamed", higher=7.0)
    slow = [{**s, "steps": 1, "lr": 1e-9, "lr_final": 0.0} for s in STAGES]
    change = {**with_species("W", "Se"), "data": [str(folder)], "material": "WSe2", "start_from": str(trained)}
    config = load_config(write_config(tmp_path, **change, stages=slow))
    model = train(config, tmp_path / "run")
    configurations = split(load_configurations(config), config.validation_fraction)[0]
    missed = [(model.compute(c.atoms, c.layers)["energy"] - c.results["energy"]) / len(c.atoms) for c in configurations]
    assert abs(np.mean(missed)) < 0.2  # of 7 eV
    samples = HamiltonianSamples(configurations, model)
    for z in range(2):
        errors = [s.onsite[z] - samples.predict([s])[0][0][z] for s in samples.samples if s.onsite]
        assert abs(torch.diagonal(torch.cat(errors), dim1=1, dim2=2).mean()) < 1e-3
    assert read_record(tmp_path / "run" / "run.json")["start"]["relatives"] == {"W": "Mo", "Se": "S"}
