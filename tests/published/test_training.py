"""Training of the published architecture: labels in the networks' frame, a fit that learns, a run that resumes."""

import json

import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from ase_wander.data.dataset import Configuration
from ase_wander.published.model import PublishedModel
from ase_wander.published.networks import PublishedNetwork, published_networks
from ase_wander.published.template import ideal_template
from ase_wander.structure import find_layers
from ase_wander.training.stages.published import (
    ORIENTATIONS,
    SGDSettings,
    fit_network,
    force_samples,
    hamiltonian_samples,
    train_published,
)
from tests.published_toy import bilayer


def untrained(seed=3):
    torch.manual_seed(seed)
    return PublishedModel(
        published_networks().eval(), ideal_template(), "teacher", orientations=ORIENTATIONS, rounding=False
    )


def labelled(model, folder, n=6):
    """Configurations labelled by a model, every second one turned: what it learns from them must be itself."""
    out = []
    for k in range(n):
        atoms = bilayer(1, 0.08, parallel=k % 3 == 2, seed=k)
        atoms.rotate(25 * (k % 2), "z", rotate_cell=True)
        layers = find_layers(atoms)
        atoms.calc = SinglePointCalculator(atoms, **model.compute(atoms, layers))
        i, j, shift, block, ptr, _ = model.hamiltonian(atoms, layers, hermitian=False, orbitals="global")
        order = np.random.default_rng(k).permutation(len(i))  # files promise no order
        size = np.diff(ptr)[order]
        file = folder / f"t_{k}.npz"
        np.savez(
            file,
            pair_i=i[order],
            pair_j=j[order],
            pair_shift=shift[order],
            numbers=atoms.numbers,
            positions=atoms.positions,
            block=np.concatenate([block[ptr[p] : ptr[p + 1]] for p in order]),
            block_ptr=np.concatenate([[0], np.cumsum(size)]),
        )
        out.append(Configuration(f"t_{k}", "t", atoms, layers, file))
    return out


def test_labels_are_the_networks_own_output(tmp_path):
    """Turned into frame and layer-attached orbitals, a model's forces and H are what its networks give."""
    teacher = untrained()
    configurations = labelled(teacher, tmp_path)
    for samples in (force_samples(configurations, teacher), hamiltonian_samples(configurations, teacher)):
        for name, parts in samples.items():
            for inputs, targets in parts:
                assert len(inputs)
                with torch.no_grad():
                    own = teacher.networks[name](torch.as_tensor(inputs, dtype=torch.float32)).numpy()
                np.testing.assert_allclose(targets, own, atol=2e-6)


def test_fit_recovers_a_linear_map_and_keeps_its_best_state():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 6))
    y = 0.01 * x @ rng.normal(size=(6, 3))
    torch.manual_seed(0)
    network = PublishedNetwork(6, 32, 16, 3, scale=100.0)
    rows = fit_network(network, (x[:200], y[:200]), (x[200:], y[200:]), SGDSettings(epochs=60))
    errors = [row["validation_mae"] for row in rows]
    assert min(errors) < 0.15 * errors[0]
    with torch.no_grad():
        final = np.abs(network(torch.as_tensor(x[200:], dtype=torch.float32)).numpy() - y[200:]).mean()
    assert final == pytest.approx(min(errors), rel=1e-4)


def test_run_writes_a_model_and_goes_on_where_it_stopped(tmp_path):
    configurations = labelled(untrained(), tmp_path)
    quick = SGDSettings(epochs=2, steps=4)
    done = []
    run = dict(
        forces=quick, hamiltonian=quick, provenance="made-up labels", report=lambda row: done.append(row["network"])
    )
    model = train_published(configurations[:4], configurations[4:], tmp_path / "run", **run)
    assert len(done) == 17
    again = PublishedModel.load(tmp_path / "run" / "model")
    assert again.digest == model.digest and again.orientations == ORIENTATIONS
    (tmp_path / "run" / "inter_mm.safetensors").unlink()
    done.clear()
    resumed = train_published(configurations[:4], configurations[4:], tmp_path / "run", **run)
    assert done == ["inter_mm"]
    np.testing.assert_array_equal(
        resumed.compute(configurations[0].atoms)["forces"], model.compute(configurations[0].atoms)["forces"]
    )
    recipe = json.loads((tmp_path / "run" / "force_m.jsonl").read_text().splitlines()[0])
    assert recipe["momentum"] == 0.9 and recipe["batch"] == 64


def test_monolayers_alone_are_refused(tmp_path):
    atoms = bilayer()[:3]
    only = [Configuration("ml_0", "ml", atoms, np.zeros(3, int))]
    with pytest.raises(ValueError, match="0 training"):
        train_published(only, only, tmp_path)
