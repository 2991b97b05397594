"""Force fields from elsewhere as the source of the RAER: a small one written here, and MACE where it is installed."""

import numpy as np
import pytest
import torch
import yaml

from ase_wander import WanderCalculator, load_model
from ase_wander.model.backbones import BACKBONES, MaceBackbone, register_backbone
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.radial import bessel_basis
from ase_wander.training.config import load_config
from ase_wander.training.train import train
from tests import graphene_toy
from tests.helpers import displaced, random_orthogonal

HEADS = {"cutoff": 5.0, "taper": 4.5, "n_channels": 4, "n_scalars": 4, "hidden": 8, "n_gated": 4, "intra_input": "raer"}


class Pairs(torch.nn.Module):
    """Learned radial sums over the neighbours of a species: the least that a backbone can be."""

    def __init__(self, atomic_numbers, cutoff=4.0, n_descriptors=6):
        super().__init__()
        self.cutoff, self.n_descriptors, self.n_species = cutoff, n_descriptors, len(atomic_numbers)
        self.mix = torch.nn.Parameter(0.3 * torch.randn(len(atomic_numbers), 5, n_descriptors))
        self.energy = torch.nn.Linear(n_descriptors, 1)

    def forward(self, species, i, j, vector):
        bonds = torch.einsum("pr,prd->pd", bessel_basis(vector.norm(dim=-1), self.cutoff, 5), self.mix[species[j]])
        found = torch.tanh(bonds.new_zeros(len(species), self.n_descriptors).index_add(0, i, bonds))
        return self.energy(found).squeeze(-1), found


@pytest.fixture(scope="module", params=["pairs", "mace"])
def model(request):
    """An untrained model of MoS2 on each backbone."""
    if request.param == "mace":
        pytest.importorskip("mace", reason="pip install mace-torch")
    elif "pairs" not in BACKBONES:
        register_backbone("pairs", Pairs)
    torch.manual_seed(0)
    options = {"pairs": {"n_descriptors": 5}, "mace": {"channels": 4, "correlation": 2}}[request.param]
    return (
        WanderModel(
            {
                "name": request.param,
                "species": ["Mo", "S"],
                "shells": {"Mo": [2], "S": [1]},
                "electrons": {"Mo": 6, "S": 4},
                "force_field": {"backbone": request.param, "cutoff": 4.0, "tail_cutoff": 6.0, **options},
                "heads": HEADS,
            }
        )
        .double()
        .eval()
    )


@pytest.fixture(scope="module")
def atoms():
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, 1)


def test_forces_are_the_gradient_of_the_backbones_energy(model, atoms):
    atoms = atoms.copy()
    atoms.calc = WanderCalculator(model)
    forces, step = atoms.get_forces(), 1e-4
    assert np.abs(forces.sum(0)).max() < 1e-9 and np.abs(forces).max() > 1e-3
    for k, axis in ((0, 0), (4, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k, axis] += sign * step
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(forces[k, axis], abs=1e-5)


def test_descriptors_are_the_raer_and_do_not_turn(model, atoms):
    q = random_orthogonal(3).numpy()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    layers = atoms.arrays["layer"]
    before, after = (model.descriptors(a, layers) for a in (atoms, turned))
    assert (
        before.shape == (len(atoms), model.force_field.backbone.n_descriptors) and np.ptp(before, axis=0).max() > 1e-3
    )
    assert np.abs(before - after).max() < 1e-6 * np.abs(before).max()
    moved = atoms.copy()
    moved.positions[1] += 0.05  # the hopping from atom 0 to its image feels it through the descriptors alone

    def to_image(a):
        i, j, shift, block, ptr, _ = model.hamiltonian(a, layers)
        p = np.flatnonzero((i == 0) & (j == 0) & (shift == [1, 0, 0]).all(1))[0]
        return block[ptr[p] : ptr[p + 1]]

    assert np.abs(to_image(moved) - to_image(atoms)).max() > 1e-6 * np.abs(to_image(atoms)).max()


def test_a_model_on_a_backbone_is_saved_and_loaded(model, atoms, tmp_path):
    again = load_model(model.save(tmp_path / "model"))
    layers = atoms.arrays["layer"]
    energies = [m.compute(atoms, layers)["energies"] for m in (model, again)]
    assert np.abs(energies[0] - energies[1]).max() < 1e-4 * max(1, np.abs(energies[0]).max())


def test_all_stages_train_on_a_backbone(tmp_path):
    """Force field and heads by `train`, from a configuration that names a registered backbone; its weights move."""
    if "pairs" not in BACKBONES:
        register_backbone("pairs", Pairs)
    graphene_toy.write_dataset(tmp_path / "data", 8, mesh=(2, 2, 1))
    stage = {"batch": 4, "lr": 1e-2, "steps": 5, "warmup": 1}
    (tmp_path / "train.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "toy",
                "material": "graphene",
                "data": ["data"],
                "species": ["C"],
                "shells": {"C": ["pz"]},
                "electrons": {"C": 1},
                "force_field": {"backbone": "pairs", "cutoff": 4.0, "n_radial": 4},
                "heads": HEADS,
                "stages": [
                    {"kind": "forcefield", "weights": {"energy": 1.0, "forces": 1.0}, **stage},
                    {"kind": "hamiltonian", "weights": {"onsite": 0.1, "spread": 0.25}, **stage},
                ],
            }
        )
    )
    config = load_config(tmp_path / "train.yaml")
    torch.manual_seed(config.seed)
    model = train(config, tmp_path / "run")
    assert model.force_field.n_raer == 6 and model.force_field.backbone.mix.abs().sum() > 0
    fresh = WanderModel(
        {k: getattr(config, k) for k in ("species", "shells", "electrons", "force_field", "heads")}
    ).force_field.backbone
    assert not torch.equal(fresh.mix, model.force_field.backbone.mix)


@pytest.mark.parametrize(
    "force_field, message",
    [
        ({"backbone": "nothing"}, "force_field.backbone: 'nothing' is not known; known: mace"),
        ({"backbone": "mace", "hidden": 8}, "force_field.hidden: unknown; known: backbone, tail_cutoff.*channels"),
    ],
)
def test_bad_backbones_are_named(tmp_path, force_field, message):
    (tmp_path / "bad.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "x",
                "material": "graphene",
                "data": ["."],
                "species": ["C"],
                "shells": {"C": [1]},
                "electrons": {"C": 1},
                "force_field": force_field,
                "stages": [{"kind": "forcefield", "weights": {"energy": 1.0}}],
            }
        )
    )
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path / "bad.yaml")


def test_names_are_taken_once_and_elements_must_be_known():
    register_backbone("mace", MaceBackbone)
    with pytest.raises(ValueError, match="'mace' is known already"):
        register_backbone("mace", Pairs)
    pytest.importorskip("mace", reason="pip install mace-torch")
    with pytest.raises(ValueError, match="not 42"):
        MaceBackbone.of(MaceBackbone([6, 16], channels=2).model, [42])
