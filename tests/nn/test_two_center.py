"""What the heads look at: Slater-Koster blocks from the distance, from RAERs, from raw environments.

The kind `two-center`.
"""

import json

import numpy as np
import pytest
import torch
import yaml

from ase_wander import WanderCalculator, load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.evaluation.evaluate import evaluate
from ase_wander.model.config import TWO_CENTER
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.angular import wigner_d
from ase_wander.nn.bond_frame import BondFrames
from ase_wander.nn.two_center import AxialHopping
from ase_wander.training.config import load_config
from ase_wander.training.train import train
from tests import graphene_toy
from tests.helpers import displaced, random_orthogonal

SMALL = {"n_channels": 4, "n_scalars": 8, "hidden": 16, "n_gated": 4}
INTRA = ["raer", "environment", "distance"]


def model_of(**heads):
    """An untrained model whose scalars and tensors are of order one."""
    torch.manual_seed(2)
    return (
        WanderModel(
            {
                "species": ["Mo", "S"],
                "shells": {"Mo": [2], "S": [1]},
                "electrons": {"Mo": 6, "S": 4},
                "heads": {"cutoff": 7.0, "taper": 6.0, **SMALL, **heads},
            }
        )
        .double()
        .eval()
    )


def blocks(model, atoms):
    """{(i, j, shift): block, eV}."""
    i, j, shift, block, ptr, _ = model.hamiltonian(atoms, atoms.arrays["layer"])
    sizes = np.array([{"Mo": 5, "S": 3, "C": 1}[s] for s in atoms.symbols])
    return {
        (a, b, *s): block[ptr[p] : ptr[p + 1]].reshape(sizes[a], sizes[b])
        for p, (a, b, s) in enumerate(zip(i.tolist(), j.tolist(), shift.tolist()))
    }


def atoms_of(seed=0):
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, seed)


# ---------------------------------------------------------------- Slater and Koster's table
def test_integrals_stand_where_slater_and_koster_have_them():
    """p-p and p-d blocks in Cartesian axes against table I of Phys. Rev. 94, 1498 (1954), direction cosines l, m, n."""
    torch.manual_seed(0)
    direction = torch.tensor([[0.36, 0.48, -0.8]], dtype=torch.float64)
    (l, m, n), none = direction[0].tolist(), torch.zeros(1, 0, dtype=torch.float64)
    frames = BondFrames(3.1 * direction, 2)
    pp = AxialHopping(1, 1, False, 0, 8.0, 7.0).double()
    along = AxialHopping.finished(
        pp,
        BondFrames(torch.tensor([[0.0, 0.0, 3.1]], dtype=torch.float64), 2),
        pp.integrals(pp.radial(frames.r), none, none),
    )[0]
    sigma, pi = along[1, 1].item(), along[0, 0].item()  # order y, z, x; the bond along z
    block = pp(frames, none, none, none, none)[0]
    assert block[2, 2].item() == pytest.approx(l * l * sigma + (1 - l * l) * pi)  # x, x
    assert block[2, 0].item() == pytest.approx(l * m * (sigma - pi))  # x, y
    assert block[1, 2].item() == pytest.approx(l * n * (sigma - pi))  # z, x
    pd = AxialHopping(1, 2, False, 0, 8.0, 7.0).double()
    along = AxialHopping.finished(
        pd,
        BondFrames(torch.tensor([[0.0, 0.0, 3.1]], dtype=torch.float64), 2),
        pd.integrals(pd.radial(frames.r), none, none),
    )[0]
    sigma, pi = along[1, 2].item(), along[0, 1].item()
    block = pd(frames, none, none, none, none)[0]
    root = 3**0.5
    assert block[2, 0].item() == pytest.approx(root * l * l * m * sigma + m * (1 - 2 * l * l) * pi)  # x, xy
    assert block[2, 1].item() == pytest.approx(root * l * m * n * sigma - 2 * l * m * n * pi)  # x, yz
    assert block[1, 2].item() == pytest.approx(
        n * (n * n - (l * l + m * m) / 2) * sigma + root * n * (l * l + m * m) * pi
    )  # z, z2
    assert block[2, 4].item() == pytest.approx(
        root / 2 * l * (l * l - m * m) * sigma + l * (1 - l * l + m * m) * pi
    )  # x, x2-y2


# ---------------------------------------------------------------- what a head may know
@pytest.mark.parametrize(
    "heads",
    [{"intra_input": x, "inter_input": y} for x, y in zip(INTRA, ["distance", "raer", "environment"])] + [TWO_CENTER],
)
def test_blocks_stay_covariant(heads):
    model, atoms = model_of(**heads), atoms_of()
    q = random_orthogonal(4, -1)
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T.numpy())
    turned.positions = atoms.positions @ q.T.numpy()
    before, after = blocks(model, atoms), blocks(model, turned)
    d = {5: wigner_d(q, 2).numpy(), 3: wigner_d(q, 1).numpy()}
    size = max(np.abs(b).max() for b in before.values())
    assert (
        max(np.abs(d[b.shape[0]] @ b @ d[b.shape[1]].T - after[key]).max() for key, b in before.items()) < 1e-9 * size
    )
    assert max(np.abs(b - before[(key[1], key[0], *(-x for x in key[2:]))].T).max() for key, b in before.items()) == 0
    h = WanderCalculator(model).get_wannier_hamiltonian(atoms)
    assert with_spin_orbit(h).n_orbitals == 2 * h.n_orbitals


@pytest.mark.parametrize("kind", ["intra", "inter"])
@pytest.mark.parametrize("name", ["tensors", "raer", "environment", "distance"])
def test_a_third_atom_matters_only_to_heads_that_see_it(name, kind):
    """Mo 0 - Mo 3 (layers apart) or Mo 0 and its image, while a sulphur moves that belongs to neither."""
    model, atoms = model_of(**{f"{kind}_input": name}), atoms_of()
    mo = np.flatnonzero(atoms.symbols == "Mo").tolist()
    key = (mo[0], mo[1], 0, 0, 0) if kind == "inter" else (mo[0], mo[0], 1, 0, 0)
    moved = atoms.copy()
    moved.positions[np.flatnonzero(atoms.symbols == "S")[0]] += [0.1, 0.0, 0.05]
    change = np.abs(blocks(model, moved)[key] - blocks(model, atoms)[key]).max()
    size = np.abs(blocks(model, atoms)[key]).max()
    assert (change < 1e-12) if name == "distance" else (change > 1e-6 * size)


def test_weights_of_the_first_version_are_read_as_ever():
    """The defaults name no input, and the configuration of a model without them means heads that see all tensors."""
    model = load_model("graphene-bilayer")
    assert model.kind == "wander" and set(model.heads.inputs.values()) == {"tensors"} and not model.heads.extra


# ---------------------------------------------------------------- the kind
def test_two_center_learns_what_two_centers_make(tmp_path):
    """Hoppings of the toy data depend on two atoms and their normals only: the kind learns them, saves, loads, derives
    bands.
    """
    graphene_toy.write_dataset(tmp_path / "data", 12, sigma=0.005)
    stage = {"batch": 6, "clip": 50.0, "average": 0.9, "warmup": 10}
    (tmp_path / "train.yaml").write_text(
        yaml.safe_dump(
            {
                "kind": "two-center",
                "name": "sk",
                "material": "graphene",
                "data": ["data"],
                "species": ["C"],
                "shells": {"C": ["pz"]},
                "electrons": {"C": 1},
                "heads": {"cutoff": 8.0, "taper": 7.0, "hidden": 32, "l_max": 1},
                "force_field": {"n_channels": 4, "n_radial": 4, "cutoff": 4.0},
                "stages": [
                    {"kind": "forcefield", "steps": 3, "lr": 1e-3, "weights": {"energy": 1.0, "forces": 1.0}, **stage},
                    {
                        "kind": "hamiltonian",
                        "name": "elements",
                        "steps": 250,
                        "lr": 2e-2,
                        "weights": {"onsite": 0.1, "spread": 0.5},
                        **stage,
                    },
                ],
            }
        )
    )
    model = train(load_config(tmp_path / "train.yaml"), tmp_path / "run")
    assert model.kind == "two-center" and sum(p.numel() for p in model.heads.parameters()) < 5000
    report = evaluate(model, load_dataset(tmp_path / "data"))
    size = np.mean([np.abs(c.load_blocks()["block"]).mean() for c in load_dataset(tmp_path / "data")])
    assert report["table"]["elements"] < 0.05 * 1e3 * size
    folder = model.save(tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())["kind"] == "two-center"
    atoms = twisted_bilayer("graphene", angle=0.0, gap=3.35, lattice_constant=2.46)
    bands = [
        WanderCalculator(m).get_band_structure(atoms, path="GMKG", npoints=20).energies
        for m in (model.double(), load_model(folder))
    ]
    assert np.abs(bands[0] - bands[1]).max() < 1e-6 and np.ptp(bands[0]) > 5


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"heads": {"intra_input": "everything"}},
            "heads.intra_input: 'everything' is not known; known: tensors, raer",
        ),
        (
            {"kind": "two-center", "heads": {"inter_input": "raer"}},
            "heads.inter_input: 'raer'; in a model of kind two-center it is 'distance'",
        ),
        ({"kind": "three-center"}, "kind: 'three-center' is not known; known: wander, two-center, published"),
    ],
)
def test_bad_inputs_are_named(tmp_path, change, message):
    config = {
        "name": "x",
        "material": "graphene",
        "data": ["."],
        "species": ["C"],
        "shells": {"C": ["pz"]},
        "electrons": {"C": 1},
        "stages": [{"kind": "forcefield", "weights": {"energy": 1.0}}],
    }
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(config | change))
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path / "bad.yaml")
