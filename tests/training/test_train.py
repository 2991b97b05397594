"""Training: labels, gradients of the losses, resume after a kill, refusals, a tiny run end to end."""

import json

import numpy as np
import pytest
import torch
import yaml

from ase_wander import load_model
from ase_wander.data.dataset import dataset_hash, is_validation, load_dataset, split
from ase_wander.electronic.blocks import PairBlocks
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.evaluation.evaluate import eigenvalue_errors, evaluate, hamiltonian_errors, table_lines
from ase_wander.training.config import load_config
from ase_wander.training.loop import LoopSettings, batches, fit
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.stages.samples import thin
from ase_wander.training.terms import with_defaults
from ase_wander.training.train import new_model, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config


@pytest.fixture
def config(tmp_path):
    return load_config(write_config(tmp_path))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return new_model(CONFIG)


# ---------------------------------------------------------------- data
def test_split_is_by_configuration_and_never_moves(configurations):
    training, validation = split(configurations)
    assert [c.name for c in validation] == ["ml_0001", "p1_0040"]
    assert {c.name for c in training} | {c.name for c in validation} == {c.name for c in configurations}
    share = np.mean([is_validation(f"x_{k}") for k in range(20000)])
    assert share == pytest.approx(0.15, abs=0.01)


def test_data_hash_sees_every_change(configurations):
    moved = load_dataset(DATA)
    assert dataset_hash(moved) == dataset_hash(configurations)
    moved[0].atoms.positions[0, 0] += 1e-6
    assert dataset_hash(moved) != dataset_hash(configurations)


def test_damaged_files_are_named(tmp_path, configurations):
    with pytest.raises(ValueError, match="no such file"):
        load_dataset(tmp_path / "nowhere")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 no archive")
    other = load_dataset(DATA)[0]
    other.hamiltonian = broken
    with pytest.raises(ValueError, match="broken.npz: not a readable"):
        other.load_blocks()
    other.hamiltonian = configurations[2].hamiltonian
    with pytest.raises(ValueError, match="atoms differ from frame 'ml_0000'"):
        other.load_blocks()


# ---------------------------------------------------------------- losses
def test_reference_blocks_give_the_reference_eigenvalues(configurations, tiny):
    """The loss's own eigenvalues, from half of the pairs and the on-site blocks, are those of the whole Hamiltonian."""
    samples = HamiltonianSamples(configurations[2:3], tiny.double(), torch.float64)
    s = samples.samples[0]
    own = samples.eigenvalues(s, s.onsite, s.targets)
    whole = WannierHamiltonian.from_dataset_file(
        configurations[2].hamiltonian, n_electrons=28, cutoff=tiny.heads.cutoff
    )
    kpts = configurations[2].load_blocks()["kpts"]
    assert np.abs(own.numpy() - whole.eigenvalues(kpts)).max() < 1e-5


@pytest.mark.parametrize(
    "stage, inter_input", [("forcefield", "tensors"), ("hamiltonian", "tensors"), ("hamiltonian", "paths")]
)
def test_gradient_of_the_loss(configurations, stage, inter_input):
    torch.manual_seed(0)
    model = new_model({**CONFIG, "heads": {**CONFIG["heads"], "inter_input": inter_input}}).double()
    if stage == "forcefield":
        samples, weights = ForceFieldSamples(configurations, model, torch.float64), STAGES[0]["weights"]
        module = model.force_field
    else:
        samples, weights = HamiltonianSamples(configurations[:3], model, torch.float64), STAGES[1]["weights"]
        module = model.heads
    samples.fit_normalisation()
    generator = torch.Generator().manual_seed(1)
    parameters = [p for p in module.parameters() if p.requires_grad]
    loss = lambda: samples.loss([0, 2], weights)[0]
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    slope = sum((g * d).sum() for g, d in zip(gradients, directions) if g is not None)
    step, values = 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions):
                p.add_(sign * step * d)
        values.append(float(loss().detach()))
        with torch.no_grad():
            for p, d in zip(parameters, directions):
                p.sub_(sign * step * d)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(slope), rel=1e-4)


# ---------------------------------------------------------------- the loop
@pytest.mark.parametrize("inter_input", ["tensors", "paths"])
def test_a_share_of_the_pairs_gives_the_loss_in_the_mean(configurations, inter_input):
    torch.manual_seed(0)
    tiny = new_model({**CONFIG, "heads": {**CONFIG["heads"], "inter_input": inter_input}})
    weights = {"onsite": 0.1, "spread": 0.25, "inter": 2.0}
    samples = HamiltonianSamples(configurations[:2], tiny.double(), torch.float64, weights)
    samples.fit_normalisation()
    s, classes = samples.samples[0], lambda: tiny.heads.classes(samples.samples[0].graph)
    part, whole = thin(s, classes(), 0.4), thin(s, classes(), 1.0)
    for name, index in tiny.heads.classes(part.graph):
        same = (part.r[name][:, None] - s.r[name]).abs() < 1e-12
        assert len(index) == max(round(0.4 * len(s.r[name])), 1)
        assert torch.allclose(part.graph.pair_vector[index].norm(dim=1), part.r[name])
        assert all(
            (s.targets[name][row] == block).flatten(1).all(1).any() for row, block in zip(same, part.targets[name])
        )
    reference, _ = samples.loss([0, 1], weights)
    assert samples._terms(whole, *samples.predict([whole])[0], weights={**with_defaults("hamiltonian", weights)})[
        0
    ].item() == pytest.approx(
        samples._terms(s, *samples.predict([s])[0], weights={**with_defaults("hamiltonian", weights)})[0].item(),
        rel=1e-12,
    )
    torch.manual_seed(0)
    samples.pairs = 0.4
    drawn = torch.stack([samples.loss([0, 1], weights)[0].detach() for _ in range(60)])
    assert drawn.std() > 0 and abs(drawn.mean() - reference) < 4 * drawn.std() / len(drawn) ** 0.5 + 1e-3 * reference


def test_batches_cover_every_sample_once():
    found = batches(23, 5, epoch=3, seed=1)
    assert sorted(k for b in found for k in b) == list(range(23))
    assert found == batches(23, 5, epoch=3, seed=1) != batches(23, 5, epoch=4, seed=1)


@pytest.mark.parametrize(
    "killed_at, noise", [(3, 0.1), (8, 0.1), (8, 0.0)]
)  # samples draw random numbers without noise too, see `pairs`
def test_a_killed_run_resumes_bit_for_bit(tmp_path, killed_at, noise):
    settings = LoopSettings(steps=12, batch=2, lr=1e-2, noise=noise, warmup=2, checkpoint_every=0.0, validate_every=1)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

    def run(folder, resume=False, stop=None):
        folder.mkdir(exist_ok=True)
        torch.manual_seed(5)
        module = torch.nn.Linear(3, 1)
        count = [0]

        def loss_of(indices):
            count[0] += 1
            if count[0] == stop:
                raise KeyboardInterrupt
            return (
                module(x[indices] + getattr(module, "noise", 0.1) * torch.randn(len(indices), 3)) - 1
            ).square().mean(), {}

        fit(module, 6, loss_of, settings, folder, "stage", resume=resume)
        return module.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=killed_at)
    resumed = run(tmp_path / "parts", resume=True)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "stage.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 12


def test_tiny_run_end_to_end(config, tmp_path, configurations):
    """Train, refuse another run in the same folder, save, load, evaluate."""
    rows = []
    model = train(config, tmp_path / "run", report=rows.append)
    assert {r["stage"] for r in rows} == {"forcefield", "hamiltonian"}
    assert any("validation" in r for r in rows)
    with pytest.raises(ValueError, match="--resume"):
        train(config, tmp_path / "run")
    again = train(config, tmp_path / "run", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    config.seed = 2
    with pytest.raises(ValueError, match="another config"):
        train(config, tmp_path / "run", resume=True)
    report = evaluate(load_model(model.save(tmp_path / "model")), configurations)
    assert report["n_configurations"] == 2 and len(table_lines(report)) == 8
    assert report["table"]["force_mild"] > 0


def test_evaluation_counts_left_out_pairs_as_zero(configurations):
    class Empty:
        shells = {"Mo": (2,), "S": (1,)}

        def hamiltonian(self, atoms, layers):
            none = np.zeros(0, int)
            return PairBlocks(none, none, np.zeros((0, 3), int), np.zeros(0), np.zeros(1, int), 14.0)

    errors = hamiltonian_errors(Empty(), configurations[0])
    assert not errors["predicted"].any() and np.abs(errors["reference"]).max() > 1
    assert errors["distance"].max() < 12


def test_evaluation_of_a_perfect_model_is_the_truncation_error(configurations):
    class Perfect:
        shells = {"Mo": (2,), "S": (1,)}

        def hamiltonian(self, atoms, layers):
            return PairBlocks.from_arrays(configurations[2].load_blocks(), 28.0)

    errors = hamiltonian_errors(Perfect(), configurations[2])
    assert np.array_equal(errors["predicted"], errors["reference"])
    difference, weights, gap = eigenvalue_errors(Perfect(), configurations[2])
    assert np.abs(difference).max() < 0.02 and abs(gap) < 0.01 and weights.shape == difference.shape


# ---------------------------------------------------------------- configuration files
@pytest.mark.parametrize(
    "change, message",
    [
        ({"species": ["Mo", "Xx"]}, "species: 'Xx' is no element"),
        ({"colour": 1}, "colour: unknown"),
        ({"stages": [{"kind": "magic"}]}, r"stages\[0\]: kind"),
        ({"data": None}, "data: missing"),
        ({"stages": [{"kind": "forcefield", "lr": "fast"}]}, r"stages\[0\].lr: 'fast' is not a number"),
        (
            {"stages": [{"kind": "forcefield", "monitor": "eigenvalues", "weights": {"forces": 1}}]},
            r"stages\[0\].monitor: 'eigenvalues' is no error",
        ),
        ({"stages": [{"kind": "hamiltonian", "pairs": 0}]}, r"stages\[0\].pairs: 0 is not a share"),
        ({"stages": [{"kind": "hamiltonian", "pairs": 0.5, "weights": {"eigenvalues": 1}}]}, "bands need all pairs"),
        ({"stages": [{"kind": "forcefield", "weights": {"eigenvalues": 1}}]}, "weights.eigenvalues: unknown"),
    ],
)
def test_bad_configurations_are_named(tmp_path, change, message):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "stages": STAGES, **change}))
    with pytest.raises(ValueError, match=message):
        load_config(file)
