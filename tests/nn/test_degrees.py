"""Densities and tensors of every degree: force fields of l_max 1 to 4 under heads that look closer or less close."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from ase_wander import load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.model.config import check_model_config
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.angular import wigner_d
from ase_wander.training.config import load_config
from ase_wander.training.train import train
from tests import graphene_toy
from tests.helpers import displaced, random_orthogonal

MATERIALS = {
    "MoS2": {"species": ["Mo", "S"], "shells": {"Mo": [2], "S": [1]}, "electrons": {"Mo": 6, "S": 4}},
    "graphene": {"species": ["C"], "shells": {"C": ["pz"]}, "electrons": {"C": 1}},
}
FORCE_FIELD = {"n_channels": 2, "hidden": 8, "n_raer": 4, "n_radial": 4, "cutoff": 4.0, "tail_cutoff": 6.0}
HEADS = {"n_channels": 2, "n_scalars": 4, "hidden": 8, "n_gated": 2, "cutoff": 6.0, "taper": 5.0}


def config_of(material, l_max, l_heads):
    return {**MATERIALS[material], "force_field": {**FORCE_FIELD, "l_max": l_max}, "heads": {**HEADS, "l_max": l_heads}}


def model_of(*choice):
    torch.manual_seed(2)
    return WanderModel(config_of(*choice)).double().eval()


def atoms_of(material):
    return displaced(twisted_bilayer(material, angle=0.0, shift=(0.2, 0.1)), 0.05, 3)


def blocks(model, atoms):
    i, j, shift, block, ptr, _ = model.hamiltonian(atoms, atoms.arrays["layer"])
    sizes = [{2: 5, 1: 3}.get(model.shells[s][0], 1) for s in atoms.symbols]
    return {
        (a, b, *s): block[p:q].reshape(sizes[a], sizes[b])
        for a, b, s, p, q in zip(i.tolist(), j.tolist(), shift.tolist(), ptr[:-1], ptr[1:])
    }


@pytest.mark.parametrize("choice", [*(("MoS2", l, 4) for l in (1, 2, 3, 4)), ("graphene", 1, 2), ("graphene", 4, 3)])
def test_energy_forces_and_blocks_turn_with_the_atoms(choice):
    """By a rotation with a mirror; the forces are minus the gradient of the energy."""
    model, atoms, q = model_of(*choice), atoms_of(choice[0]), random_orthogonal(4, -1)
    layers, turned = atoms.arrays["layer"], atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T.numpy())
    turned.positions = atoms.positions @ q.T.numpy()
    before, after = (model.compute(a, layers) for a in (atoms, turned))
    assert np.abs(before["forces"]).max() > 1e-3
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-10)
    assert after["forces"] == pytest.approx(before["forces"] @ q.T.numpy(), abs=1e-10)
    d = {5: wigner_d(q, 2).numpy(), 3: wigner_d(q, 1).numpy(), 1: np.eye(1)}
    before_h, after_h = blocks(model, atoms), blocks(model, turned)
    size = max(np.abs(b).max() for b in before_h.values())
    assert len(before_h) == len(after_h) > 50 and size > 1e-3
    assert (
        max(np.abs(d[len(b)] @ b @ d[b.shape[1]].T - after_h[key]).max() for key, b in before_h.items()) < 1e-10 * size
    )
    for index, axis in ((0, 2), (len(atoms) - 1, 0)):
        energies = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[index, axis] += step
            energies.append(model.compute(moved, layers)["energy"])
        assert before["forces"][index, axis] == pytest.approx((energies[1] - energies[0]) / 2e-4, abs=1e-6)


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_dressing_does_not_ask_how_close_the_force_field_looks(l_max):
    """With the same RAER the tensors of the heads are those above a force field of their own degree."""
    low, atoms = model_of("MoS2", l_max, 4), atoms_of("MoS2")
    high = model_of("MoS2", 4, 4)
    graph, environment = low.environment(atoms, atoms.arrays["layer"])
    _, closer = high.environment(atoms, atoms.arrays["layer"])
    assert environment.raw.shape[-1] == (l_max + 1) ** 2 < closer.raw.shape[-1]
    found, expected = (low.heads.dress(graph, e) for e in (environment, replace(closer, raer=environment.raer)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize("l_max, l_heads", [(1, 2), (2, 3)])
def test_training(tmp_path, l_max, l_heads):
    """Force field, frozen and joint: every stage lowers its loss, and the files hold the model."""
    graphene_toy.write_dataset(tmp_path / "data", 6)
    stage = {"steps": 12, "batch": 3, "lr": 5e-3, "warmup": 2, "average": 0.0, "clip": 50.0, "validate_every": 4}
    weights = {"energy": 4.0, "forces": 1.0}, {"onsite": 0.1, "spread": 0.25}
    (tmp_path / "train.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "toy",
                "material": "graphene",
                "data": ["data"],
                **config_of("graphene", l_max, l_heads),
                "stages": [
                    {"kind": "forcefield", "weights": weights[0], **stage},
                    {"kind": "hamiltonian", "weights": weights[1], **stage},
                    {"kind": "joint", "weights": weights[0] | weights[1], **stage},
                ],
            }
        )
    )
    rows = []
    model = train(load_config(tmp_path / "train.yaml"), tmp_path / "run", report=rows.append)
    for kind in ("forcefield", "hamiltonian", "joint"):
        loss = [r["train"]["loss"] for r in rows if r["stage"] == kind and "train" in r]
        assert loss[-1] < 0.9 * loss[0]
    c = load_dataset(tmp_path / "data")[0]
    loaded = load_model(model.save(tmp_path / "model"), dtype="float32")
    assert loaded.hamiltonian(c.atoms, c.layers).block == pytest.approx(
        model.hamiltonian(c.atoms, c.layers).block, abs=1e-5
    )


@pytest.mark.parametrize(
    "material, change, message",
    [
        (
            "MoS2",
            {"force_field": {"l_max": 5}},
            "force_field.l_max: 5; spherical harmonics are written out up to l = 4",
        ),
        ("MoS2", {"force_field": {"l_max": 0}}, "force_field.l_max: 0 is not a positive integer"),
        ("MoS2", {"heads": {"l_max": 5}}, "heads.l_max: 5; spherical harmonics are"),
        ("MoS2", {"heads": {"l_max": 3}}, "heads.l_max: 3; l = 2 of Mo has hoppings of tensors up to degree 4"),
        ("graphene", {"heads": {"l_max": 1}}, "heads.l_max: 1; pz of C has hoppings of tensors up to degree 2"),
        (
            "MoS2",
            {"heads": {"l_max": 3, "intra_input": "raer", "inter_input": "distance"}},
            "heads.l_max: 3; l = 2 of Mo has on-site blocks of tensors up to degree 4",
        ),
        (
            "MoS2",
            {"heads": {"l_max": 1, "onsite_input": "constant", "intra_input": "raer", "inter_input": "distance"}},
            "heads.l_max: 1; l = 2 of Mo needs harmonics of degree 2",
        ),
    ],
)
def test_degrees_that_cannot_be_are_refused(material, change, message):
    def fail(key, what):
        raise ValueError(f"{key}: {what}")

    check_model_config({**MATERIALS[material], "force_field": {"l_max": 1}, "heads": {"l_max": 4}}, fail)
    with pytest.raises(ValueError, match=f"^{message}"):
        check_model_config({**MATERIALS[material], **change}, fail)
