"""A finished run becomes a model folder; what is half trained is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ase_wander import load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.evaluation.equilibrium import middle_atoms, relaxed_stackings
from ase_wander.evaluation.evaluate import evaluate
from ase_wander.evaluation.release import check_releasable, release_model
from ase_wander.training.config import load_config
from ase_wander.training.train import new_model, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config

MEASURED = {"a": 3.15, "thickness": 3.1, "gap": 6.2}


def finished_run(tmp_path, **change):
    stages = [{**STAGES[0], "steps": 2}, {**STAGES[1], "steps": 2}]
    config = load_config(write_config(tmp_path, stages=stages))
    return train(config, tmp_path / "run"), replace(config, **change)


def test_a_shipped_model_is_whole_and_says_what_its_configuration_says(tmp_path):
    model, config = finished_run(
        tmp_path, notes="Made-up method; no large cell.", licence="CC0", bars={"elements": [0.8, 0.3]}
    )
    target = tmp_path / "models" / "tiny"
    target.mkdir(parents=True)
    (target / "train.yaml").write_text("kept")

    def failing(model, material):
        raise ValueError("no equilibrium")

    with pytest.raises(ValueError, match="no equilibrium"):
        release_model(model, config, tmp_path / "run", target, failing)
    assert [f.name for f in target.iterdir()] == ["train.yaml"] and list((tmp_path / "models").iterdir()) == [target]
    release_model(model, config, tmp_path / "run", target, lambda model, material: MEASURED)
    card = (target / "card.md").read_text()
    assert (
        "Made-up method; no large cell." in card
        and "Licence: CC0" in card
        and "PBE" not in card
        and "Mo-Mo gap" not in card
    )
    assert (target / "train.yaml").read_text() == "kept" and list((tmp_path / "models").iterdir()) == [target]
    assert "| aim |" in card and " | 0.8 | 0.3 |" in card
    assert load_model(target).config["equilibrium"] == MEASURED and load_model(target).config["bars"] == {
        "elements": [0.8, 0.3]
    }
    assert f"`ase-wander train models/{model.name}/train.yaml --out RUN" in card
    (target / "train.yaml").unlink()  # a card names no file that is not there
    card = (
        release_model(model, config, tmp_path / "run", target, lambda model, material: MEASURED) / "card.md"
    ).read_text()
    assert "train.yaml" not in card and f"forcefield (forcefield): 2 steps of {STAGES[0].get('batch', 8)}, lr" in card


def test_what_was_trained_on_whole_is_never_judged_as_held_out(tmp_path):
    sources = [{"path": str(DATA), "exclude": ["ml_*"]}, {"path": str(DATA), "include": ["ml_*"], "hold_out": False}]
    model, config = finished_run(tmp_path, data=sources)
    shipped = load_model(
        release_model(model, config, tmp_path / "run", tmp_path / "tiny", lambda model, material: MEASURED)
    )
    assert shipped.config["trained_whole"] == ["ml_0000", "ml_0001"]
    judged = lambda fraction: [row["name"] for row in evaluate(shipped, load_dataset(DATA), fraction)["configurations"]]
    assert judged(0.15) == ["p1_0040"] and "ml_0001" in judged(None)


def test_half_trained_models_are_not_shipped(tmp_path):
    config = load_config(write_config(tmp_path, stages=STAGES[:1]))
    with pytest.raises(ValueError, match="stages: none of kind hamiltonian"):
        check_releasable(config, tmp_path / "model")
    config = load_config(write_config(tmp_path, validation_fraction=0.0))
    with pytest.raises(ValueError, match="validation_fraction: 0.0 leaves no configuration"):
        check_releasable(config, tmp_path / "model")


def test_middle_atoms_are_found_by_height():
    """The metal of a trilayer of atoms wherever it stands in the list; of a flat layer any one atom."""
    heights, layer = np.array([1.5, 0.0, -1.5, 7.7, 4.7, 6.2]), np.array([0, 0, 0, 1, 1, 1])
    assert middle_atoms(heights, layer) == [1, 5]
    assert middle_atoms(np.array([0.0, 0.0, 3.3, 3.3]), np.array([0, 0, 1, 1])) == [0, 2]


def test_a_relaxation_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr("ase_wander.evaluation.equilibrium.MAX_STEPS", 1)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="tiny finds no equilibrium of MoS2: stacking R, shift"):
        relaxed_stackings(new_model(CONFIG).double(), "MoS2", fmax=1e-6)
