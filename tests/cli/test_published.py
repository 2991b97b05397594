"""The published kind on the command line: export, training, evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ase_wander import load_model, load_published
from ase_wander.cli import main
from ase_wander.data.dataset import load_dataset
from ase_wander.evaluation.evaluate import evaluate, refused
from ase_wander.published.networks import PublishedNetwork
from ase_wander.training.stages.published import SGDSettings, fit_network
from tests.cli_helpers import fails

EXAMPLE = Path(__file__).resolve().parents[3] / "shared" / "published"
DATA = Path(__file__).resolve().parents[1] / "data" / "mos2-small"


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def example():
    if not (EXAMPLE / "force_model").is_dir():
        pytest.skip(f"NEEDS THE PUBLISHED EXAMPLE: no folder {EXAMPLE}")
    return EXAMPLE


# ---------------------------------------------------------------- export
def test_exported_model_is_the_published_one(example, tmp_path, capsys):
    out = tmp_path / "published"
    assert run("models", "export", example, out) == 0
    assert str(out) in capsys.readouterr().out
    published, exported = load_published(example), load_model(out)
    assert exported.digest == published.digest and exported.layer_offsets == published.layer_offsets
    assert "authors' public example" in (out / "card.md").read_text()
    assert "exists already" in fails(capsys, tmp_path, "models", "export", example, out)
    shifted = tmp_path / "shifted"
    assert run("models", "export", example, shifted, "--layer-offsets", "0.1", "-0.2") == 0
    assert load_model(shifted).layer_offsets == (0.1, -0.2)


def test_export_that_cannot_be(tmp_path, capsys):
    assert "not a folder" in fails(capsys, tmp_path, "models", "export", tmp_path / "nowhere", tmp_path / "out")
    assert "force_input" in fails(capsys, tmp_path, "models", "export", tmp_path, tmp_path / "out")
    assert "two paths" in fails(capsys, tmp_path, "models", "export", tmp_path)
    assert "one name" in fails(capsys, tmp_path, "models", "a", "b")
    assert "export" in fails(capsys, tmp_path, "models", "mos2-bilayer", "--layer-offsets", "0", "0")


# ---------------------------------------------------------------- training and evaluation
SETTINGS = {
    "kind": "published",
    "name": "quick",
    "data": [str(DATA)],
    "validation_fraction": 0.4,
    "forces": {"epochs": 3, "lr": 1.0e-3},
    "hamiltonian": {"epochs": 2, "steps": 6},
}


@pytest.fixture
def config(tmp_path):
    def write(**changes):
        file = tmp_path / "train.yaml"
        file.write_text(yaml.safe_dump({k: v for k, v in {**SETTINGS, **changes}.items() if v is not None}))
        return file

    return write


def test_train_ship_and_evaluate(config, tmp_path, capsys):
    folder, run_folder = tmp_path / "shipped", tmp_path / "run"
    assert run("train", config(), "--out", run_folder, "--ship", folder) == 0
    assert capsys.readouterr().err.count("validation MAE") == 17
    model = load_model(folder)
    assert model.kind == "published" and model.name == "quick" and model.config["layers"] == [2]
    card = (folder / "card.md").read_text()
    assert "| force MAE" in card and "| inter |" in card and model.digest in card
    report = json.loads((folder / "report.json").read_text())
    assert report["table"]["energy_mild"] is None and report["table"]["elements"] > 0
    assert all(name.startswith("ml_") for name in report["left_out"])  # monolayers
    assert run("evaluate", folder, DATA) == 0
    shown = capsys.readouterr().out
    assert f"{report['table']['elements']:.3g}" in shown and "n/a" in shown

    # A finished run trains nothing again; one that lost a network trains that.
    assert "not empty" in fails(capsys, tmp_path, "train", config(), "--out", run_folder)
    (run_folder / "self_s.safetensors").unlink()
    assert run("train", config(), "--out", run_folder, "--resume", "--ship", folder) == 0
    assert capsys.readouterr().err.count("validation MAE") == 1
    assert load_model(folder).digest == model.digest
    assert "another config" in fails(capsys, tmp_path, "train", config(seed=2), "--out", run_folder, "--resume")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "magic"}, "kind: 'magic'"),
        ({"species": ["Mo"]}, "species: unknown"),
        ({"data": None}, "data: missing"),
        ({"forces": {"speed": 1}}, "forces.speed: unknown"),
        ({"hamiltonian": {"lr": "fast"}}, "hamiltonian.lr: 'fast'"),
        ({"hamiltonian": {"epochs": 0}}, "hamiltonian.epochs: 0"),
        ({"forces": {"batch": 2.5}}, "forces.batch: 2.5"),
        ({"forces": 3}, "forces"),
    ],
)
def test_bad_configurations_are_named(config, changes, message, tmp_path, capsys):
    file = config(**changes)
    assert message in fails(capsys, tmp_path, "train", file, "--out", tmp_path / "run")


def test_a_killed_network_goes_on_with_the_same_result(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4))
    y = 0.1 * x[:, :2]
    settings = SGDSettings(epochs=6)

    def network():
        torch.manual_seed(2)
        return PublishedNetwork(4, 8, 4, 2)

    whole, parts = network(), network()
    rows = fit_network(whole, (x, y), (x, y), settings)

    class Kill(Exception):
        pass

    def kill(epoch, epochs):
        if epoch == 4:
            raise Kill

    with pytest.raises(Kill):
        fit_network(parts, (x, y), (x, y), settings, tmp_path / "state.pt", every=0.0, progress=kill)
    again = network()
    assert fit_network(again, (x, y), (x, y), settings, tmp_path / "state.pt", every=0.0) == rows
    for a, b in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(a, b)
    # The state of another recipe is not used.
    other = fit_network(network(), (x, y), (x, y), SGDSettings(epochs=3), tmp_path / "state.pt")
    assert len(other) == 3


def test_evaluation_of_a_model_that_takes_nothing(example, tmp_path, capsys):
    """The published weights know antiparallel layers only.

    The small data set's validation split holds parallel ones.
    """
    parallel = [c for c in load_dataset(DATA) if refused(load_published(example), [c])]
    assert parallel and any("parallel (R)" in r for r in refused(load_published(example), parallel).values())
    with pytest.raises(ValueError, match="takes none of"):
        evaluate(load_published(example), parallel, None)
