"""One p_z orbital per atom along the local normal: normals, covariance, derivatives, bands of a model of graphene."""

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from scipy.spatial.transform import Rotation

from ase_wander import WanderCalculator, WannierHamiltonian, load_model
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.transforms import difference
from ase_wander.evaluation.evaluate import evaluate
from ase_wander.model.config import check_model_config
from ase_wander.model.derivatives import hamiltonian_derivative
from ase_wander.model.graphs import build_graph
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.structure import local_normals, plane_normal
from ase_wander.training.config import load_config
from ase_wander.training.train import train
from tests import graphene_toy
from tests.helpers import displaced, random_orthogonal

CONFIG = {
    "species": ["C"],
    "shells": {"C": ["pz"]},
    "electrons": {"C": 1},
    "heads": {"cutoff": 8.0, "taper": 7.0, "n_channels": 4, "n_scalars": 8, "hidden": 16, "n_gated": 4},
}


@pytest.fixture(scope="module")
def model():
    """Untrained, with effective charges, and with tensors and hoppings of order one."""
    torch.manual_seed(1)
    model = WanderModel(CONFIG).double().eval()
    torch.nn.init.normal_(model.heads.charge.weight, std=0.5)
    return model


def hamiltonian(model, atoms):
    *blocks, n_electrons = model.hamiltonian(atoms, atoms.arrays["layer"])
    return WannierHamiltonian.from_blocks(atoms, model.shells, *blocks, n_electrons)


def elements(model, atoms):
    """{(i, j, shift): eV} of every ordered pair."""
    i, j, shift, block, ptr, _ = model.hamiltonian(atoms, atoms.arrays["layer"])
    assert np.array_equal(np.diff(ptr), np.ones(len(i)))
    return {key: x for *key, x in zip(i.tolist(), j.tolist(), *shift.T.tolist(), block) for key in [tuple(key)]}


def bilayer(amplitude=0.1, seed=0, cells=(2, 2, 1)):
    """2 x 2 cells of bilayer graphene with random displacements."""
    atoms = twisted_bilayer("graphene", angle=0.0, shift=(1 / 3, 2 / 3)) * cells
    return displaced(atoms, amplitude, seed)


# ---------------------------------------------------------------- local normals
def test_normal_of_a_flat_layer_is_that_of_the_plane():
    atoms = bilayer(0.0)
    atoms.positions[:, :2] += np.random.default_rng(0).normal(scale=0.1, size=(len(atoms), 2))
    assert np.abs(local_normals(atoms, atoms.arrays["layer"]) - plane_normal(atoms)).max() < 1e-12


def test_normal_follows_the_bonds():
    """A neighbour lifted by h at x = d, two more at x = -d/2: the plane through the three has the slope h / (1.5 d)."""
    atoms = Atoms(
        "C4", [[0, 0, 0], [1.42, 0, 0.1], [-0.71, 1.23, 0], [-0.71, -1.23, 0]], cell=[20, 20, 20], pbc=(1, 1, 0)
    )
    n = local_normals(atoms, np.zeros(4, int))[0]
    assert -n[0] / n[2] == pytest.approx(0.1 / (1.5 * 1.42), rel=0.02) and abs(n[1]) < 1e-4


def test_normals_turn_with_the_atoms():
    atoms = bilayer()
    n = local_normals(atoms, atoms.arrays["layer"])
    assert (n @ plane_normal(atoms) > 0.9).all() and np.allclose(np.linalg.norm(n, axis=1), 1)
    assert np.abs(n - plane_normal(atoms)).max() > 0.05
    q = Rotation.from_rotvec([0.3, -2.0, 1.1]).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    assert np.abs(local_normals(turned, atoms.arrays["layer"]) - n @ q.T).max() < 1e-12
    mirrored = atoms.copy()
    mirrored.positions[:, 2] *= -1
    assert np.abs(local_normals(mirrored, atoms.arrays["layer"]) + n * [1, 1, -1]).max() < 1e-12


def test_normals_of_the_graph_are_those_of_the_atoms():
    """The torch normals that the model contracts with, and the numpy ones of a projection, are the same."""
    atoms = bilayer()
    graph = build_graph(atoms, atoms.arrays["layer"], ["C"], 6.0, 10.0)
    assert np.abs(graph.normal.numpy() - local_normals(atoms, atoms.arrays["layer"])).max() < 1e-12


# ---------------------------------------------------------------- symmetry of H
def same(a, b, tolerance=1e-9):
    assert a.keys() == b.keys()
    assert max(abs(a[k] - b[k]) for k in a) < tolerance * max(map(abs, a.values()))


@pytest.mark.parametrize("determinant", [1, -1])
def test_elements_are_scalars(model, determinant):
    """Any rotation, any reflection of atoms and cell: the normals follow, all signs cancel."""
    atoms = bilayer(seed=3)
    q = random_orthogonal(5, determinant).numpy()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    before = elements(model, atoms)
    same(before, elements(model, turned))
    assert np.ptp(list(before.values())) > 0.1


def test_upside_down_is_the_same_slab(model):
    """Mirrored at its plane with the cell kept: every normal turns round against its atom, H stays.

    So do the bands of H.
    """
    atoms = bilayer(seed=3)
    mirrored = atoms.copy()
    mirrored.positions[:, 2] *= -1
    mirrored.arrays["layer"] = atoms.arrays["layer"].max() - atoms.arrays["layer"]
    same(elements(model, atoms), elements(model, mirrored))


def test_order_of_the_atoms_does_not_matter(model):
    atoms = bilayer(seed=4)
    order = np.random.default_rng(0).permutation(len(atoms)).tolist()
    before, after = elements(model, atoms), elements(model, atoms[order])
    same(before, {(order[i], order[j], *s): x for (i, j, *s), x in after.items()})


def test_hermitian_and_real(model):
    found = elements(model, bilayer(seed=5))
    assert all(found[j, i, -a, -b, -c] == x for (i, j, a, b, c), x in found.items())


@pytest.mark.parametrize("kind", ["displacement", "strain"])
def test_derivative_turns_the_normals_too(model, kind):
    """dH/dQ against differences; a tilt of the layers against their own plane is among the strains."""
    atoms = bilayer(seed=6, cells=(1, 1, 1))
    generator = np.random.default_rng(0)
    direction, strain = generator.normal(size=(len(atoms), 3)), generator.normal(size=(3, 3))
    direction, strain = (direction, 0 * strain) if kind == "displacement" else (0 * direction, strain)

    def at(x):
        moved = atoms.copy()
        moved.positions += x * direction
        moved.set_cell(moved.cell.array @ (np.eye(3) + x * strain).T, scale_atoms=True)
        return hamiltonian(model, moved)

    k, step = [0.11, 0.23, 0.0], 2e-5
    near, far = (difference(at(n * step), at(-n * step), 2 * n * step).at_k(k) for n in (1, 2))
    exact = hamiltonian_derivative(model, atoms, direction, strain=strain, layers=atoms.arrays["layer"]).at_k(k)
    assert abs(exact - (4 * near - far) / 3).max() < 1e-6 * abs(exact).max()


# ---------------------------------------------------------------- files, refusals, old ways
def test_orbitals_save_load_and_win(model, tmp_path):
    atoms = bilayer(seed=7)
    loaded = load_model(model.save(tmp_path / "model"))
    h = WanderCalculator(loaded).get_wannier_hamiltonian(atoms)
    assert h.n_orbitals == h.n_electrons == len(atoms) and set(h.orbitals["label"]) == {"pz"}
    assert set(h.orbitals["l"]) == {1} and set(h.orbitals["m"]) == {0}
    h.write_wannier90(tmp_path / "g")
    assert (tmp_path / "g.win").read_text().count("l=1,mr=1") == len(atoms)
    again = WannierHamiltonian.from_wannier90(tmp_path / "g", n_electrons=h.n_electrons)
    assert np.abs(again.eigenvalues([0.1, 0.2, 0]) - h.eigenvalues([0.1, 0.2, 0])).max() < 1e-4
    _, weights = unfold(h, atoms.cell.array[:2, :2] / 2, [[0.1, 0.2, 0]])
    assert weights.sum() == pytest.approx(4)  # orbitals of the 1 x 1 cell
    with pytest.raises(ValueError, match="of the 3 orbitals of l = 1"):
        with_spin_orbit(h, {"C": {1: 0.01}})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shells": {"C": ["px"]}}, "shells.C: .*pz"),
        ({"shells": {"C": [1, "pz"]}}, "shells.C"),
        ({"force_field": {"cutoff": 2.5}}, "force_field.cutoff: 2.5 Å; the local normals that pz of C"),
    ],
)
def test_bad_shells_are_named(change, message):
    def fail(key, what):
        raise ValueError(f"{key}: {what}")

    check_model_config(CONFIG, fail)
    with pytest.raises(ValueError, match=message):
        check_model_config(CONFIG | change, fail)


# ---------------------------------------------------------------- graphene: a semimetal
def slater_koster(atoms):
    found = graphene_toy.blocks(atoms, atoms.arrays["layer"])
    return WannierHamiltonian.from_blocks(
        atoms, {"C": ("pz",)}, *(v for k, v in found.items() if k != "pair_distance"), len(atoms)
    )


def test_fermi_level_lies_where_the_bands_touch():
    """Bernal bilayer: two parabolic bands touch at K; window and level sit there, the gap is zero."""
    atoms = twisted_bilayer("graphene", angle=0.0, shift=(1 / 3, 2 / 3), gap=3.35, lattice_constant=2.46)
    h = slater_koster(atoms)
    touching = h.eigenvalues([1 / 3, 1 / 3, 0])[0]
    assert touching[2] - touching[1] < 1e-6 < 0.1 < min(touching[1] - touching[0], touching[3] - touching[2])
    assert list(h.band_window(2)) == [1, 2] and h.band_gap() < 1e-6
    bs = h.band_structure(path="GMKG", npoints=61, n_bands=2)
    for level in (h.fermi_level(), bs.reference):
        assert level == pytest.approx(touching[1], abs=1e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training on the toy data: the run's folder and the model."""
    folder = tmp_path_factory.mktemp("graphene")
    graphene_toy.write_dataset(folder / "data", 12)
    stage = {"batch": 3, "clip": 50.0, "average": 0.9, "warmup": 20}
    (folder / "train.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "toy",
                "material": "graphene",
                "data": ["data"],
                **CONFIG,
                "heads": CONFIG["heads"] | {"n_channels": 8},
                "stages": [
                    {"kind": "forcefield", "steps": 10, "lr": 2e-3, "weights": {"energy": 4.0, "forces": 1.0}, **stage},
                    {
                        "kind": "hamiltonian",
                        "name": "elements",
                        "steps": 100,
                        "lr": 1e-2,
                        "weights": {"onsite": 0.1, "spread": 0.25},
                        **stage,
                    },
                    {
                        "kind": "hamiltonian",
                        "name": "bands",
                        "steps": 5,
                        "lr": 1e-3,
                        "weights": {"onsite": 0.1, "spread": 0.25, "eigenvalues": 0.04},
                        **stage,
                    },
                ],
            }
        )
    )
    return folder, train(load_config(folder / "train.yaml"), folder / "run")


def test_training_on_single_orbitals_learns_them(run):
    """From the same 12 configurations an untrained model errs by the size of the elements, a trained one by a small
    part of it.
    """
    folder, model = run
    configurations = load_dataset(folder / "data")
    report = evaluate(model, configurations)
    size = np.mean([np.abs(c.load_blocks()["block"]).mean() for c in configurations])
    assert report["table"]["elements"] < 0.15 * 1e3 * size and report["table"]["eigenvalues"] < 300
    assert report["table"]["inter_r2"] > 0.8
