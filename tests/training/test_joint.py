"""Joint training of force field and heads, and data of any mix: sources, labels that are missing or withheld, Wannier90
output.
"""

import json
import shutil

import ase.io
import numpy as np
import pytest
import torch

from ase_wander.data.dataset import load_dataset, split
from ase_wander.data.sources import load_sources
from ase_wander.training.config import load_config
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.stages.joint import JointSamples
from ase_wander.training.terms import count_labels, is_used, labels_line
from ase_wander.training.train import new_model, prepare, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config

JOINT = {
    "energy": 4.0,
    "forces": 1.0,
    "stress": 0.5,
    "layer": 1.0,
    "onsite": 0.1,
    "intra": 1.0,
    "inter": 2.0,
    "eigenvalues": 0.01,
    "projections": 0.01,
    "vacuum_step": 0.01,
    "spread": 0.25,
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return new_model(CONFIG).double()


# ---------------------------------------------------------------- joint training
def test_data_made_to_fill_a_gap_are_trained_on_whole():
    names = lambda found: sorted(c.name for c in found)
    training, held_out = split(load_sources([{"path": str(DATA), "hold_out": False}]))
    assert not held_out and len(training) > len(split(load_sources([str(DATA)]))[0])
    few = [{"path": str(DATA), "exclude": "ml_*"}, {"path": str(DATA), "include": "ml_*", "hold_out": False}]
    everything = names(load_sources([str(DATA)]))
    training, held_out = split(load_sources(few))
    assert names(held_out) == ["p1_0040"] and names(training + held_out) == everything


def test_joint_gradient_reaches_both_parts_and_is_that_of_the_loss(model, configurations):
    samples = JointSamples(configurations[:3], model, torch.float64, JOINT)
    prepare(model, samples, True, True)
    indices = [0, 2]
    names, parameters = zip(*model.named_parameters())
    found = torch.autograd.grad(samples.loss(indices, JOINT)[0], parameters, allow_unused=True, materialize_grads=True)
    for part in ("force_field.", "heads."):
        assert max(g.abs().max() for name, g in zip(names, found) if name.startswith(part)) > 0
    # The loss of H alone moves the descriptors of the force field, that of forces alone no head.
    only = samples.hamiltonian.loss([0], JOINT)[0]
    reached = {
        name
        for name, g in zip(names, torch.autograd.grad(only, parameters, allow_unused=True))
        if g is not None and g.abs().max() > 0
    }
    assert any(name.startswith("force_field.network") for name in reached)
    only = samples.force_field.loss([0], JOINT)[0]
    reached = {
        name for name, g in zip(names, torch.autograd.grad(only, parameters, allow_unused=True)) if g is not None
    }
    assert not any(name.startswith("heads.") for name in reached)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    step, values = 1e-6, []
    with torch.no_grad():
        for move in (step, -2 * step):
            for p, d in zip(parameters, directions):
                p.add_(move * d)
            with torch.enable_grad():
                values.append(samples.loss(indices, JOINT)[0].item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(
        float(sum((g * d).sum() for g, d in zip(found, directions))), rel=1e-4
    )


def test_joint_loss_is_the_sum_of_both(model, configurations):
    """While the force field stands still both ways of training see the same Hamiltonian."""
    samples = JointSamples(configurations, model, torch.float64, JOINT)
    prepare(model, samples, True, True)
    alone = (
        ForceFieldSamples(configurations, model, torch.float64),
        HamiltonianSamples(configurations, model, torch.float64, JOINT),
    )
    total, terms = samples.loss([1, 2], JOINT)
    apart = [s.loss([1, 2], JOINT) for s in alone]
    assert total.item() == pytest.approx(sum(loss.item() for loss, _ in apart), rel=1e-9)
    assert terms == pytest.approx({**apart[0][1], **apart[1][1]}, rel=1e-9)
    shares = [samples.loss([k], JOINT, [1, 2])[0].item() for k in (1, 2)]
    assert sum(shares) == pytest.approx(total.item(), rel=1e-9)


def test_frozen_parts_keep_every_bit_and_joint_stages_move_both(tmp_path):
    joint = {"kind": "joint", "steps": 3, "batch": 2, "noise": 0.01, "validate_every": 1, "weights": JOINT}
    stages = [{**STAGES[0], "steps": 2}, {**STAGES[1], "steps": 2}, joint]
    config = load_config(write_config(tmp_path, stages=stages))
    rows = []
    model = train(config, tmp_path / "run", report=rows.append)
    states = [
        torch.load(tmp_path / "run" / f"{name}.done.pt", weights_only=True)
        for name in ("forcefield", "hamiltonian", "joint")
    ]
    same = lambda a, b, part: [torch.equal(a[k], b[k]) for k in a if k.startswith(part)]
    assert all(same(states[0], states[1], "force_field.")) and not all(same(states[0], states[1], "heads."))
    assert not all(same(states[1], states[2], "force_field.")) and not all(same(states[1], states[2], "heads."))
    validation = [r["validation"] for r in rows if "validation" in r][-1]
    assert {"force", "energy", "elements", "eigenvalues", "projections"} <= validation.keys()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), states[2].values()))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["labels"]["joint"]["projections"] == 2 and record["labels"]["joint"]["skipped"] == 0


def test_a_joint_stage_may_come_first(tmp_path):
    config = load_config(write_config(tmp_path, stages=[{"kind": "joint", "steps": 2, "batch": 2, "weights": JOINT}]))
    model = train(config, tmp_path / "run")
    assert model.force_field.reference_energy.abs().max() > 0 and model.heads.onsite[0].mean[0] != 0


# ---------------------------------------------------------------- labels
def test_terms_skip_what_has_no_label(model, configurations):
    """A configuration without forces adds its energy and nothing else; its made-up forces do not matter."""
    bare = configurations[2].without(["forces", "stress"])
    samples = ForceFieldSamples([configurations[0], bare], model, torch.float64)
    both = ForceFieldSamples([configurations[0], configurations[2]], model, torch.float64)
    for s in (samples, both):
        s.fit_reference()
    only = {"energy": 0.0, "forces": 1.0, "stress": 1.0, "layer": 0.0}
    assert samples.loss([0, 1], only)[0].item() == pytest.approx(samples.loss([0], only)[0].item(), rel=1e-12)
    assert samples.loss([1], only)[0].item() == 0
    energies = {"energy": 1.0, "forces": 0.0, "stress": 0.0, "layer": 0.0}
    assert samples.loss([0, 1], energies)[0].item() == pytest.approx(both.loss([0, 1], energies)[0].item(), rel=1e-12)
    force = samples.errors([0])[1]["forces"].abs().mean().item()
    assert samples.loss([0, 1], energies)[1]["force_meV"] == pytest.approx(1e3 * force, rel=1e-9)
    report = samples.report()
    assert np.isfinite(list(report.values())).all() and report["force"] == pytest.approx(1e3 * force, rel=1e-6)


def test_counts_say_what_a_stage_trains_on(configurations):
    chosen = [
        configurations[0],
        configurations[1].without(["hamiltonian"]),
        configurations[2].without(["hamiltonian", "eigenvalues"]),
    ]
    weights = {"eigenvalues": 1.0, "onsite": 0.1}
    counts = count_labels(chosen, "hamiltonian", weights)
    assert counts == {"onsite": 1, "intra": 1, "inter": 1, "eigenvalues": 2, "skipped": 1}
    assert labels_line("bands", counts, 3) == "bands: 2 of 3 training configurations (onsite 1, intra 1, inter 1)"
    assert not is_used(chosen[1], "hamiltonian", {"onsite": 1.0}) and is_used(chosen[2], "forcefield", {"energy": 1.0})


def test_weight_of_a_source_is_that_of_its_configurations(model, configurations):
    samples = HamiltonianSamples(configurations[:2], model, torch.float64)
    weights = STAGES[1]["weights"]
    one, two = (samples.loss([k], weights)[0].item() for k in (0, 1))
    samples.samples[1].weight = 3.0
    assert samples.loss([0, 1], weights)[0].item() == pytest.approx((one + 3 * two) / 2, rel=1e-9)


def test_a_stage_without_any_label_is_refused(tmp_path):
    frames = ase.io.read(DATA / "structures.extxyz", ":")
    for atoms in frames:
        atoms.calc.results = {"energy": atoms.calc.results["energy"]}
    ase.io.write(tmp_path / "energies.extxyz", frames)
    stage = lambda **weights: [{"kind": "forcefield", "steps": 1, "weights": weights}]
    run = lambda stages: train(
        load_config(write_config(tmp_path, data=["energies.extxyz"], stages=stages)), tmp_path / "run"
    )
    with pytest.raises(
        ValueError,
        match="stage forcefield: no training configuration has forces: .*energies.extxyz, frame 0 .*has no forces",
    ):
        run(stage(forces=1.0))
    with pytest.raises(
        ValueError, match="stage hamiltonian: no training configuration has a Hamiltonian or eigenvalues"
    ):
        run([STAGES[1]])
    run(stage(energy=1.0, forces=1.0))


def test_pairs_that_a_reference_lacks_are_predicted_without_a_target(tmp_path, model):
    """Blocks beyond some distance are not in the file: bands still take all pairs of the model, elements those of the
    file.
    """
    folder = shutil.copytree(DATA, tmp_path / "data")
    file = folder / "hamiltonians" / "ml_0000.npz"
    with np.load(file) as archive:
        data = dict(archive)
    near = data["pair_distance"] < 5.0
    keep = np.repeat(near, np.diff(data["block_ptr"]))
    ptr = np.concatenate([[0], np.cumsum(np.diff(data["block_ptr"])[near])])
    np.savez(
        file,
        **{
            **data,
            "block": data["block"][keep],
            "block_ptr": ptr,
            **{k: data[k][near] for k in ("pair_i", "pair_j", "pair_shift", "pair_distance")},
        },
    )
    whole, part = (HamiltonianSamples(load_dataset(f)[:1], model, torch.float64) for f in (DATA, folder))
    a, b = whole.samples[0], part.samples[0]
    assert len(a.graph.pair_i) == len(b.graph.pair_i) and sum(map(len, b.known.values())) < len(b.graph.pair_i)
    ends = [
        samples.eigenvalues(s, *samples.predict([s])[0][:2]) for samples in (whole, part) for s in samples.samples[:1]
    ]
    assert torch.allclose(*ends, atol=1e-9)
    assert part.report()["elements"] != whole.report()["elements"]
