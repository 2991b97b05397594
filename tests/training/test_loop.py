"""The training loop: early stopping on a named validation error, the best averaged weights, resume of all that."""

import json
import math

import pytest
import torch

from ase_wander.data.dataset import load_dataset
from ase_wander.training.config import load_config
from ase_wander.training.device import moved
from ase_wander.training.figures import plot_learning_curves
from ase_wander.training.loop import Best, LoopSettings, batches, fit
from ase_wander.training.progress import progress_line
from ase_wander.training.train import new_model, samples_of
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config

#: What the validations of a run report, one after the other.
ERRORS = [5.0, 3.0, 4.0, 2.0, math.nan, 2.5, 2.0, 1.0]


def train(folder, resume=False, stop=None, steps=16, errors=ERRORS, key="error", **settings):
    """Two steps per validation; the validation number is read off the weights' clock, a buffer that counts steps."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    module = torch.nn.Linear(3, 1)
    module.register_buffer("clock", torch.tensor(0))
    x, kept, calls = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), {}, [0]

    def loss_of(indices):
        calls[0] += 1
        if calls[0] == stop:
            raise KeyboardInterrupt
        module.clock += 1
        return (module(x[indices]) - 1).square().mean(), {}

    def validate(average):
        step = int(average.clock)
        kept[step] = {k: v.clone() for k, v in average.state_dict().items()}
        return {key: errors[step // 2 - 1]}

    options = LoopSettings(steps=steps, batch=2, lr=1e-2, warmup=2, validate_every=1, checkpoint_every=0.0, **settings)
    fit(module, 4, loss_of, options, folder, "stage", validate, resume=resume)
    rows = [json.loads(line) for line in (folder / "stage.jsonl").read_text().splitlines()]
    return module.state_dict(), kept, rows


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in b)


def test_training_stops_when_nothing_gets_better(tmp_path):
    """The lowest error comes at step 8.

    Three validations later, one of them not a number, the run ends with its weights.
    """
    weights, kept, rows = train(tmp_path, monitor="error", patience=3)
    assert [row["step"] for row in rows] == list(range(2, 15, 2)) and same(weights, kept[8])
    assert [row["best_step"] for row in rows] == [2, 4, 4, 8, 8, 8, 8]
    assert [row["stopped"] for row in rows] == [False] * 6 + [True]


def test_without_patience_the_best_weights_are_kept(tmp_path):
    weights, kept, rows = train(tmp_path, monitor="error", errors=[3.0, 1.0, 2.0, 4.0], steps=8)
    assert rows[-1]["step"] == 8 and same(weights, kept[4]) and not same(weights, kept[8])


def test_without_a_monitor_the_last_weights_are_kept(tmp_path):
    weights, kept, rows = train(tmp_path)
    assert same(weights, kept[16]) and not {"best_step", "stopped"} & rows[-1].keys()


def test_a_coefficient_of_determination_is_to_rise(tmp_path):
    weights, kept, _ = train(tmp_path, monitor="inter_R2", key="inter_R2", errors=[0.1, 0.9, 0.5], steps=6)
    assert same(weights, kept[4])


@pytest.mark.parametrize("killed_at", [2, 9, 13, 14])
def test_early_stopping_survives_a_kill(tmp_path, killed_at):
    whole, _, rows = train(tmp_path / "whole", monitor="error", patience=3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=killed_at, monitor="error", patience=3)
    for _ in range(2):  # the second time nothing is left to do
        resumed, _, again = train(tmp_path / "parts", resume=True, monitor="error", patience=3)
        strip = lambda found: [{k: v for k, v in row.items() if k != "seconds"} for row in found]
        assert same(resumed, whole) and json.dumps(strip(again)) == json.dumps(strip(rows))


def test_checkpoints_of_a_run_without_a_monitor_are_read(tmp_path):
    """As written before there was one."""
    train(tmp_path, steps=8)
    state = torch.load(tmp_path / "stage.pt")
    del state["best"]
    torch.save(state, tmp_path / "stage.pt")
    assert train(tmp_path, resume=True)[2][-1]["step"] == 16


def test_what_cannot_be_monitored_is_named(tmp_path):
    with pytest.raises(ValueError, match="monitor: the validation reports no 'forse'; known: error"):
        train(tmp_path, monitor="forse")
    with pytest.raises(ValueError, match="stage x: monitor 'force' needs configurations held out"):
        fit(torch.nn.Linear(1, 1), 1, None, LoopSettings(monitor="force"), tmp_path, "x")
    for change, message in (
        ({"patience": 3}, r"stages\[0\].patience: needs monitor"),
        ({"monitor": 3}, "monitor: 3 is not the name"),
        ({"monitor": "force", "patience": 1.5}, "patience: 1.5 is not an integer"),
    ):
        with pytest.raises(ValueError, match=message):
            load_config(write_config(tmp_path, stages=[{**STAGES[0], **change}]))
    good = load_config(write_config(tmp_path, stages=[{**STAGES[0], "monitor": "force", "patience": 2}]))
    assert good.stages[0].loop.patience == 2
    for change, message in (
        ({"device": "abacus"}, "device: torch cannot compute on 'abacus' here"),
        ({"dtype": "int8"}, "dtype: 'int8'"),
    ):
        with pytest.raises(ValueError, match=message):
            load_config(write_config(tmp_path, **change))


def test_nothing_is_better_than_not_a_number():
    best = Best()
    best.look({"error": math.nan}, "error", 2, torch.nn.Linear(1, 1))
    assert best.weights is None and best.waited == 1


# ---------------------------------------------------------------- learning curves
def test_learning_curves_have_units_and_follow_the_stages(tmp_path, monkeypatch):
    """A panel for each unit; a stage begins where the one before it stopped; no panel for a stage not yet begun."""
    rows = {
        "forcefield": [
            {
                "stage": "forcefield",
                "step": s,
                "train": {"loss": 1.0, "force_meV": 9.0 / s},
                "validation": {"force": 10.0 / s, "energy": 1.0 / s},
            }
            for s in (5, 10)
        ],
        "elements": [
            {"stage": "elements", "step": s, "train": {"loss": 1.0, "H_meV": 2.0 / s, "eig_meV": 0.0}} for s in (4, 8)
        ],
    }
    for stage, found in rows.items():
        (tmp_path / f"{stage}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    plot_learning_curves(tmp_path, ["forcefield", "elements", "polish"], tmp_path)
    assert [file.name for file in tmp_path.glob("*.png")] == ["learning.png"]
    drawn = []
    monkeypatch.setattr(
        "ase_wander.training.figures.save_figure", lambda ax, name: drawn.append(ax) or name.write_text("")
    )
    plot_learning_curves(tmp_path, ["forcefield", "elements", "polish"], tmp_path)
    axes = drawn[0].figure.axes
    assert [ax.get_ylabel() for ax in axes] == ["force (meV/Å)", "energy (meV/atom)", "Hamiltonian (meV)"]
    lines = [
        [
            line.get_xydata().tolist()
            for line in ax.lines
            if len(line.get_xdata()) > 1 and line.get_label().startswith("_child")
        ]
        for ax in axes
    ]
    assert [[5.0, 2.0], [10.0, 1.0]] in lines[0] and [[14.0, 0.5], [18.0, 0.25]] in lines[2]
    assert [text.get_text() for ax in axes for text in ax.texts] == ["forcefield", "forcefield", "elements"]
    assert "training elements of H 0.25 meV; loss 1" in progress_line(rows["elements"][1], 8)


# ---------------------------------------------------------------- devices
def tensors(value):
    """All tensors in nested containers and objects."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)
    elif hasattr(value, "__dict__"):
        yield from tensors(vars(value))


@pytest.mark.parametrize("kind", ["forcefield", "joint"])
def test_samples_move_as_a_whole(kind):
    """Every tensor of the samples goes (torch's device without data stands for one).

    Batches are the same on every device.
    """
    torch.manual_seed(0)
    model = new_model(CONFIG)
    samples = samples_of(kind, load_dataset(DATA)[:2], model, STAGES[0]["weights"] | STAGES[1]["weights"])
    before = [t.shape for t in tensors(samples.samples)]
    there = moved(samples.samples, "meta")
    assert {t.device.type for t in tensors(there)} == {"meta"} and [t.shape for t in tensors(there)] == before
    assert {t.device.type for t in tensors(samples.samples)} == {"cpu"}
    with torch.device("meta"):
        order = batches(5, 2, 3, 1)
    assert order == batches(5, 2, 3, 1)
