"""A training that starts from a trained model: what is taken, what is fitted anew, what is refused."""

import pytest
import torch

from ase_wander.training.config import load_config
from ase_wander.training.record import read_record
from ase_wander.training.start import start_from
from ase_wander.training.train import new_model, train
from tests.training_setup import CONFIG, STAGES, write_config


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


def test_other_species_are_refused(tmp_path):
    other = {**CONFIG, "species": ["W", "S"], "shells": {"W": [2], "S": [1]}, "electrons": {"W": 6, "S": 4}}
    folder = new_model(other).save(tmp_path / "other")
    with pytest.raises(ValueError, match="has the species W, S, the configuration Mo, S"):
        start_from(new_model(CONFIG), folder)
