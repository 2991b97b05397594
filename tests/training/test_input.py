"""What training refuses: configurations, reference data and run folders that are wrong, by name."""

import json
import shutil
from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch

from ase_wander import load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.evaluation.evaluate import evaluate, hamiltonian_errors
from ase_wander.training.config import load_config
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.train import new_model, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config


def changed(file, **arrays):
    """Rewrite a Hamiltonian file; None takes an array out."""
    with np.load(file) as archive:
        data = {**archive, **arrays}
    np.savez(file, **{k: v for k, v in data.items() if v is not None})


@pytest.fixture
def data(tmp_path):
    return shutil.copytree(DATA, tmp_path / "data")


# ---------------------------------------------------------------- reference data
@pytest.mark.parametrize("text", ["", "garbage\nand more\n", '3\nLattice="1 2"\nMo 0 0\n'])
def test_unreadable_structure_files_are_named(tmp_path, text):
    file = tmp_path / "structures.extxyz"
    file.write_text(text)
    with pytest.raises(ValueError, match="structures.extxyz") as error:
        load_dataset(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "label, message",
    [
        ("forces", r"frame 1 \(.*\): force on atom 2 \(S\) is not finite"),
        ("energy", "frame 1 .*: energy is not finite"),
        ("stress", "frame 1 .*: stress is not finite"),
    ],
)
def test_labels_that_are_not_finite_are_named(tmp_path, label, message):
    frames = ase.io.read(DATA / "structures.extxyz", ":")
    results = frames[1].calc.results
    if label == "energy":
        results["energy"] = float("nan")
    else:
        results[label][2] = np.nan
    ase.io.write(tmp_path / "bad.extxyz", frames)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "bad.extxyz")


def test_missing_labels_are_named():
    bare = load_dataset(DATA)[0]
    bare.atoms.calc = None
    with pytest.raises(ValueError, match="frame 0 .*has no forces"):
        bare.label("forces")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(numbers=None), "numbers.*missing"),
        (dict(pair_shift=np.zeros((3, 3), int)), "pair_shift has shape"),
        (dict(kweights=None), "eigenvalues without kweights"),
        (dict(eigenvalues=np.zeros((41, 10))), "eigenvalues has shape"),
        ("index", "pair_j of pair 5 is 99"),
        ("short", "block has"),
        ("nan", r"block of pair 3 \(atoms .* is not finite"),
        ("size", "block of pair 0 .* elements, expected"),
        ("onsite", "no on-site block of atom 1"),
    ],
)
def test_damaged_hamiltonians_are_named(data, change, message):
    configuration = load_dataset(data)[0]
    with np.load(configuration.hamiltonian) as archive:
        pair_j, block, ptr = (archive[k].copy() for k in ("pair_j", "block", "block_ptr"))
        onsite = np.flatnonzero((archive["pair_i"] == 1) & (pair_j == 1) & ~archive["pair_shift"].any(1))
    if change == "index":
        pair_j[5] = 99
        change = dict(pair_j=pair_j)
    elif change == "short":
        change = dict(block=block[:-4])
    elif change == "nan":
        block[ptr[3]] = np.nan
        change = dict(block=block)
    elif change == "size":
        ptr[1] -= 1
        change = dict(block_ptr=ptr)
    elif change == "onsite":
        pair_j[onsite] = 2
        change = dict(pair_j=pair_j)
    changed(configuration.hamiltonian, **change)
    with pytest.raises(ValueError, match=f"ml_0000.npz: .*{message}"):
        configuration.load_blocks([5, 3, 3])


# ---------------------------------------------------------------- configuration files
@pytest.mark.parametrize(
    "change, message",
    [
        ({"threads": "two"}, "threads: 'two'"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"validation_fraction": 1.2}, "validation_fraction: 1.2"),
        ({"data": [3]}, r"data: \[3\]"),
        ({"shells": {"Mo": [2, 1], "S": [1]}}, "shells.Mo"),
        ({"shells": {"Mo": 2, "S": [1]}}, "shells.Mo"),
        ({"shells": {"Mo": [3], "S": [1]}}, "shells.Mo"),
        ({"electrons": {"Mo": "six", "S": 4}}, "electrons.Mo: 'six'"),
        ({"species": "Mo"}, "species: 'Mo' is not a list"),
        ({"species": ["Mo", "Mo", "S"]}, "species: names repeat"),
        ({"force_field": {"depth": 3}}, "force_field.depth: unknown"),
        ({"force_field": {"n_raer": 4.5}}, "force_field.n_raer: 4.5"),
        ({"heads": {"cutoff": 8.0}}, "heads.taper: 12 Å is not below the cutoff of 8 Å"),
        ({"heads": {"cutoff": "far"}}, "heads.cutoff: 'far'"),
        ({"heads": [1]}, r"heads: \[1\]"),
        ({"name": "a/b"}, "name: 'a/b'"),
        ({"bars": [3]}, r"bars: \[3\] is not a mapping"),
        ({"bars": {"forces": [1, 2]}}, "bars.forces: unknown; known: force_mild"),
        ({"bars": {"elements": 0.3}}, "bars.elements: 0.3 is not a list of two"),
        ({"notes": 3}, "notes: 3"),
        ({"stages": [{**STAGES[0], "steps": 0}]}, r"stages\[0\].steps: 0"),
        ({"stages": [{**STAGES[0], "batch": 1.5}]}, "batch: 1.5"),
        ({"stages": [{**STAGES[0], "validate_every": -1}]}, "validate_every: -1"),
        ({"stages": [{**STAGES[0], "lr": 0.0}]}, "lr: 0.0 is out of range"),
        ({"stages": [{**STAGES[0], "name": "../x"}]}, "name: '../x'"),
        ({"stages": [{**STAGES[0], "weights": [1]}]}, r"weights: \[1\]"),
        ({"stages": [{**STAGES[0], "weights": {"energy": "x"}}]}, "weights.energy: 'x'"),
        ({"stages": [{**STAGES[0], "name": ""}]}, "name: ''"),
        ({"stages": [{**STAGES[0], "name": "x" * 300}]}, "name: 'xxx"),
        ({"name": "a\0b"}, "name: 'a"),
        ({"seed": 2**70}, "seed: 118"),
        ({"stages": [{**STAGES[0], "seed": 2**70}]}, "seed: 118"),
        ({"heads": {"backbone": "mace"}}, "heads.backbone: unknown"),
        ({"stages": [{**STAGES[0], "lr": float("nan")}]}, "lr: nan is not a number"),
        ({"stages": {"kind": "forcefield"}}, "stages: .*not a list"),
    ],
)
def test_values_of_the_wrong_kind_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"changed.yaml: .*{message}"):
        load_config(write_config(tmp_path, **change))


# ---------------------------------------------------------------- model folders
@pytest.mark.parametrize(
    "change, message",
    [
        ({"shells": {"Mo": [2], "S": 1}}, "config.json: shells.S"),
        ({"electrons": None}, "config.json: electrons"),
        ({"species": None}, "config.json: species"),
        ({"force_field": {"n_chanels": 2}}, "config.json: force_field.n_chanels: unknown"),
        ({"sha256": 5}, "config.json: sha256"),
        (
            {"heads": {**CONFIG["heads"], "n_scalars": 5}},
            "weights.safetensors: not weights of this model .*has the shape",
        ),
    ],
)
def test_faults_of_a_model_are_blamed_on_their_file(tmp_path, change, message):
    folder = new_model(CONFIG).save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match="config.json: "):
        load_model(folder)
    del config["folder_sha256"]  # as folders of version 0.1, whose parts no hash binds
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=message):
        load_model(folder)


# ---------------------------------------------------------------- runs
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path, data):
    run = tmp_path / "run"

    def refused(message, **change):
        with pytest.raises(ValueError, match=message):
            train(load_config(write_config(tmp_path, **change)), run)
        assert not run.exists()

    refused("material: unknown material", material="unobtainium")
    refused("material: WSe2 holds Se, W", material="WSe2")
    refused(
        "species W: stage forcefield finds 0 atoms",
        species=["Mo", "S", "W"],
        shells={"Mo": [2], "S": [1], "W": [2]},
        electrons={"Mo": 6, "S": 4, "W": 6},
    )
    refused(
        "frame 0 .*atom 1 is S",
        species=["Mo", "C"],
        shells={"Mo": [2], "C": [1]},
        electrons={"Mo": 6, "C": 4},
        material="graphene",
    )
    shutil.rmtree(data / "hamiltonians")
    refused("stage hamiltonian: no training configuration has a Hamiltonian", data=[str(data)])
    for atoms in (frames := ase.io.read(data / "structures.extxyz", ":")):
        atoms.calc = None
    ase.io.write(data / "structures.extxyz", frames)
    refused("frame 0 .*has no energy", data=[str(data)], stages=STAGES[:1])


def test_resume_needs_a_run_that_is_whole(tmp_path):
    config, run = load_config(write_config(tmp_path, stages=[{**STAGES[0], "steps": 2}])), tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no run.json"):
        train(config, run, resume=True)
    (run / "run.json").write_text("{")
    with pytest.raises(ValueError, match="run.json: not a readable record"):
        train(config, run, resume=True)
    (run / "run.json").unlink(), (run / "notes.txt").unlink()
    train(config, run)
    train(replace(config, licence="other", notes="a remark"), run, resume=True)
    with pytest.raises(ValueError, match=r"another config \(seed\)"):
        train(replace(config, seed=7), run, resume=True)
    done = run / "forcefield.done.pt"
    done.write_bytes(done.read_bytes()[:1000])
    with pytest.raises(ValueError, match="forcefield.done.pt: not a readable checkpoint"):
        train(config, run, resume=True)
    done.unlink(), (run / "forcefield.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="forcefield.pt: not a readable checkpoint"):
        train(config, run, resume=True)


def test_gradients_that_stay_infinite_stop_the_stage(tmp_path):
    module = torch.nn.Linear(1, 1)
    calls = []

    def loss_of(indices):
        calls.append(indices)
        bad = len(calls) == 3 or len(calls) > 10  # a single step is left out
        return (module.weight.sum() * (float("nan") if bad else 1.0)), {}

    with pytest.raises(ValueError, match=r"stage s: the gradient has not been finite for 50 steps up to step 60"):
        fit(module, 2, loss_of, LoopSettings(steps=100, batch=1), tmp_path, "s")
    assert torch.isfinite(module.weight).all()


def test_data_without_sigma_counts_as_mild(data):
    """Losses and tables take one value; subsets that are empty are left out of a report."""
    model = new_model(CONFIG)
    configurations = load_dataset(data)
    for c in configurations:
        c.info.pop("sigma")
    samples = ForceFieldSamples(configurations, model)
    assert {s.sigma for s in samples.samples} == {c.assumed_sigma for c in configurations} == {0.03}
    assert "force" in samples.report() and "layer_force" not in samples.report()
    report = evaluate(model, configurations, None)
    assert report["table"]["force_mild"] == report["table"]["force"] and report["table"]["layer_force"] is None
    for c in configurations:
        c.info["sigma"] = 0.1
    assert set(ForceFieldSamples(configurations, model).report()) == {"force_all"}
    assert HamiltonianSamples(configurations[:1], model).report() == {}


def test_evaluation_needs_neither_distances_nor_eigenvalues(data):
    configuration, model = load_dataset(data)[2], new_model(CONFIG).double()
    before = hamiltonian_errors(model, configuration)
    changed(configuration.hamiltonian, pair_distance=None, eigenvalues=None, kpts=None, kweights=None)
    after = hamiltonian_errors(model, configuration)
    assert all(np.allclose(before[k], after[k], atol=1e-5) for k in before)
    report = evaluate(model, [configuration], None)
    assert report["table"]["eigenvalues"] is None and report["table"]["elements"] > 0
