"""Training from eigenvalues alone: nothing of H is seen, what the eigenvalues fix and what they leave open, and that it
learns.
"""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from ase_wander.data.arrays import BLOCK_ARRAYS
from ase_wander.data.dataset import load_dataset
from ase_wander.training import losses
from ase_wander.training.config import load_config
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.train import new_model, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES

EIGENVALUES = {"onsite": 0.0, "intra": 0.0, "inter": 0.0, "eigenvalues": 0.1}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return new_model(CONFIG)


def without_blocks(folder, target, names):
    """A copy of a data set whose files of these configurations hold bands and no blocks."""
    shutil.copytree(folder, target)
    for name in names:
        file = target / "hamiltonians" / f"{name}.npz"
        with np.load(file) as archive:
            data = {k: archive[k] for k in archive.files if k not in BLOCK_ARRAYS}
        np.savez(file, **data)
    return target


def test_withheld_is_as_if_it_were_not_in_the_file(tmp_path, configurations):
    bare = load_dataset(without_blocks(DATA, tmp_path / "bare", ["ml_0000", "ml_0001"]))[:2]
    assert bare[0].has("eigenvalues") and not bare[0].has("hamiltonian")
    found = []
    for chosen in (bare, [c.without(["hamiltonian"]) for c in configurations[:2]], configurations[:2]):
        torch.manual_seed(0)
        samples = HamiltonianSamples(chosen, new_model(CONFIG))
        samples.fit_normalisation()
        found.append(samples.loss([0, 1], EIGENVALUES)[0].item())
        assert ("elements" in samples.report()) == (chosen[0] is configurations[0])
    assert found[0] == found[1] != found[2] and np.isfinite(found).all()


def test_mean_energies_of_the_orbitals_come_from_the_trace(model, configurations):
    """sum_m E_m(k), averaged over the k-grid, is tr H(R = 0).

    Of one composition the mean of all orbitals is what it fixes.
    """
    samples = HamiltonianSamples([c.without(["hamiltonian"]) for c in configurations[:2]], model)
    samples.fit_normalisation()
    reference = HamiltonianSamples(configurations[:2], model).samples
    trace = sum(torch.diagonal(b, dim1=1, dim2=2).sum().item() for s in reference for b in s.onsite) / 2
    means = [float(head.mean[0]) for head in model.heads.onsite]
    assert 5 * means[0] + 6 * means[1] == pytest.approx(trace, abs=5e-3)
    assert means[0] == pytest.approx(means[1], abs=1e-4)


def test_a_class_without_reference_decays_with_distance(model, configurations):
    HamiltonianSamples([c.without(["hamiltonian"]) for c in configurations[:2]], model).fit_normalisation()
    for head in model.heads.hopping.values():
        sizes = head.scale(torch.tensor([2.5, 5.0, 7.5, 10.0, 12.5])).log()
        assert sizes[0].exp().item() == pytest.approx(0.4, rel=1e-4) and torch.allclose(
            sizes.diff(), torch.tensor(-0.62 * 2.5), rtol=1e-4
        )


def test_eigenvalues_do_not_know_the_signs_of_the_orbitals(model, configurations):
    """All p orbitals turned over: the same bands, other elements and other projections.

    This gauge only elements fix.
    """
    samples = HamiltonianSamples(configurations[:1], model.double(), torch.float64, {"projections": 1.0})
    s = samples.samples[0]
    turned = {name: -b if name.startswith("01") else b for name, b in s.targets.items()}
    h, other = samples.at_k(s, s.onsite, s.targets), samples.at_k(s, s.onsite, turned)
    assert (torch.linalg.eigvalsh(h) - torch.linalg.eigvalsh(other)).abs().max() < 1e-10
    rest = s.eigenvalues, torch.ones_like(s.eigenvalues), s.kweights
    # the reference cut at the model's range has a few meV left
    assert losses.projection_loss(h, s.states, *rest) < 10 < 500 < losses.projection_loss(other, s.states, *rest)


def test_bands_are_learned_from_eigenvalues_alone(tmp_path, model, configurations):
    samples = HamiltonianSamples([c.without(["hamiltonian"]) for c in configurations[:2]], model)
    samples.fit_normalisation()
    model.force_field.requires_grad_(False)
    before = samples.report(sigma_max=1.0)
    settings = LoopSettings(
        steps=25, batch=2, lr=2e-2, lr_final=2e-3, warmup=2, clip=100.0, average=0.5, validate_every=1000
    )
    fit(
        model.heads,
        2,
        lambda indices, batch=None: samples.loss(indices, EIGENVALUES, batch),
        settings,
        tmp_path,
        "bands",
    )
    after = samples.report(sigma_max=1.0)
    assert "elements" not in before and after["eigenvalues"] < 0.3 * before["eigenvalues"]


def test_a_run_with_few_hamiltonians_and_more_bands(tmp_path):
    """Stages take what they can use: elements of one configuration, then eigenvalues of both.

    Validation keeps its Hamiltonians.
    """
    data = [{"path": str(DATA), "include": "p1_*"}, {"path": str(DATA), "include": "ml_*", "withhold": "hamiltonian"}]
    stages = [
        {**STAGES[0], "steps": 1},
        {"kind": "hamiltonian", "name": "elements", "steps": 1, "batch": 1, "weights": {"onsite": 0.1}},
        {"kind": "hamiltonian", "name": "bands", "steps": 1, "batch": 2, "weights": EIGENVALUES},
    ]
    file = tmp_path / "few.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "data": data, "stages": stages}))
    rows = []
    train(load_config(file), tmp_path / "run", report=rows.append)
    labels = json.loads((tmp_path / "run" / "run.json").read_text())["labels"]
    assert labels["elements"] == {"onsite": 1, "intra": 1, "inter": 1, "skipped": 1} and labels["bands"] == {
        "eigenvalues": 2,
        "skipped": 0,
    }
    assert [r["labels"] for r in rows if "labels" in r] == list(labels.values())
    validation = [r["validation"] for r in rows if r["stage"] == "bands" and "validation" in r][-1]
    assert validation["elements"] > 0 and "00_inter" in validation
