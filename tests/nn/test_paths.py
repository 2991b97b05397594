"""Products along the paths between layers: the matrix function they stand for, symmetries, derivatives, parts of
structures."""

import numpy as np
import pytest
import torch

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.model.config import check_model_config
from ase_wander.model.derivatives import hamiltonian_derivative
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.angular import wigner_d
from ase_wander.nn.graph import collate
from tests.helpers import displaced, random_orthogonal


def model_of(cutoff=7.0, step_reach=3.6, jump_reach=4.6, **heads):
    torch.manual_seed(3)
    sizes = {"n_channels": 6, "n_scalars": 8, "hidden": 16, "n_gated": 8, "smearing": 0}
    reaches = {"cutoff": cutoff, "taper": cutoff - 1, "step_reach": step_reach, "jump_reach": jump_reach}
    config = {
        "species": ["Mo", "S"],
        "shells": {"Mo": [2], "S": [1]},
        "electrons": {"Mo": 6, "S": 4},
        "force_field": {"cutoff": 4.5, "n_radial": 6, "n_channels": 8, "n_raer": 8, "hidden": 16},
        "heads": {**sizes, **reaches, "inter_input": "paths", "facing": ["S"], **heads},
    }
    return WanderModel(config).double().eval()


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture(scope="module")
def atoms():
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, 1)


def bloch(sizes, i, j, vector, blocks, k):
    """sum over pairs of exp(i k.r) block, (orbitals, orbitals): a gauge in which products of matrices add the
    vectors."""
    first = np.concatenate([[0], np.cumsum(sizes)])
    out = np.zeros((first[-1], first[-1]), complex)
    for a, b, v, block in zip(i, j, vector, blocks):
        part = block[: sizes[a], : sizes[b]] * np.exp(1j * v @ k)
        out[first[a] : first[a + 1], first[b] : first[b + 1]] += part
    return out


@torch.no_grad()
def test_products_are_those_of_the_matrices_at_every_k(atoms):
    """(1 + A) V (1 + A)^dagger - V of Bloch sums, from random blocks; pairs reach as far as the longest path."""
    model = model_of(cutoff=12.0)
    graph, _ = model.pair_graph(atoms, atoms.arrays["layer"])
    paths, generator = graph.paths, torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)
    sizes = [5 if s == "Mo" else 3 for s in atoms.symbols]
    a, v = draw(len(paths.step_i), 5, 3), draw(len(paths.jump_i), 3, 3)
    a[graph.species[paths.step_i] == 1, 3:] = 0  # S has three orbitals
    found = model.heads.steps.products(paths, a, v, len(graph.pair_i)).numpy()
    k = np.array([0.31, -0.2, 0.05])
    of = lambda i, j, r, b: bloch(sizes, i.numpy(), j.numpy(), r.numpy(), b, k)
    one = np.eye(sum(sizes)) + of(paths.step_i, paths.step_j, paths.step_vector, a.numpy())
    jump = of(paths.jump_i, paths.jump_j, paths.jump_vector, v.numpy())
    jump = jump + jump.conj().T
    product = of(graph.pair_i, graph.pair_j, graph.pair_vector, found)
    expected = one @ jump @ one.conj().T - jump
    assert np.abs(product + product.conj().T - expected).max() < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("determinant", [1, -1])
def test_the_hamiltonian_is_covariant_and_hermitian(model, atoms, determinant):
    """The products weigh in, and bands do not see how the cell lies in space."""
    q = random_orthogonal(4, determinant).numpy()
    turned = atoms.copy()
    turned.positions, turned.cell = atoms.positions @ q.T, atoms.cell.array @ q.T
    levels = [np.linalg.eigvalsh(hermitian(model, a)) for a in (atoms, turned)]
    assert np.abs(levels[0] - levels[1]).max() < 1e-9 * np.abs(levels[0]).max()


def hermitian(model, atoms):
    """Sum over R of H(R), eV, which must be symmetric."""
    i, j, _, block, ptr, *_ = model.hamiltonian(atoms, atoms.arrays["layer"])
    sizes = np.array([5 if s == "Mo" else 3 for s in atoms.symbols])
    first = np.concatenate([[0], np.cumsum(sizes)])
    h = np.zeros((first[-1], first[-1]))
    for a, b, start, stop in zip(i, j, ptr, ptr[1:]):
        h[first[a] : first[a + 1], first[b] : first[b + 1]] += block[start:stop].reshape(sizes[a], sizes[b])
    assert np.abs(h - h.T).max() < 1e-12 * np.abs(h).max()
    return h


@torch.no_grad()
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_products_turn_with_the_atoms(atoms, dtype, tolerance):
    """The block of every pair goes as D_1 H D_2^T."""
    model, q = model_of().to(dtype), random_orthogonal(6, -1)
    turned = atoms.copy()
    turned.positions, turned.cell = atoms.positions @ q.numpy().T, atoms.cell.array @ q.numpy().T
    found = []
    for a in (atoms, turned):
        graph, _ = model.pair_graph(a, atoms.arrays["layer"])
        environment, _ = model.force_field.environment(graph)
        found.append(model.heads.products(graph, *model.heads.dress(graph, environment)))
    d = {n: wigner_d(q[None].to(dtype), (n - 1) // 2)[0] for n in (3, 5)}
    for z1, z2 in ((0, 0), (0, 1), (1, 1)):
        chosen = (graph.species[graph.pair_i] == z1) & (graph.species[graph.pair_j] == z2)
        n1, n2 = (5 if z == 0 else 3 for z in (z1, z2))
        here, there = (f[chosen, :n1, :n2] for f in found)
        assert here.abs().max() > 1e-4
        assert torch.allclose(there, d[n1] @ here @ d[n2].T, atol=tolerance * float(here.abs().max()))


def test_derivative_is_that_of_central_differences(model, atoms):
    direction = np.random.default_rng(5).normal(size=(len(atoms), 3))
    exact = hamiltonian_derivative(model, atoms, direction, layers=atoms.arrays["layer"]).at_k([0.1, 0.2, 0]).toarray()
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * 1e-4 * direction
        blocks = model.hamiltonian(moved, atoms.arrays["layer"])
        ends.append(at_k(model, moved, blocks))
    difference = (ends[0] - ends[1]) / 2e-4
    assert np.abs(exact - difference).max() < 1e-6 * np.abs(exact).max()


def at_k(model, atoms, blocks):
    """H(k) at the k of the derivative, dense."""
    return WannierHamiltonian.from_pairs(atoms, model.shells, blocks).at_k([0.1, 0.2, 0]).toarray()


@torch.no_grad()
def test_several_structures_at_once_and_some_pairs_of_one(model, atoms):
    """Collated graphs give the products of each; of chosen pairs, theirs."""
    others = [atoms, displaced(twisted_bilayer("MoS2", angle=0.0, stacking="H"), 0.05, 2)]
    graphs = [model.pair_graph(a, a.arrays["layer"])[0] for a in others]
    of = lambda g: model.heads.products(g, *model.heads.dress(g, model.force_field.environment(g)[0]))
    single = [of(g) for g in graphs]
    assert torch.allclose(of(collate(graphs)), torch.cat(single), atol=1e-12)
    chosen = torch.arange(1, len(graphs[0].pair_i), 3)
    graph = graphs[0]
    graph.paths = graph.paths.to_pairs(chosen, len(graph.pair_i))
    for name in ("pair_i", "pair_j", "pair_vector", "pair_across"):
        setattr(graph, name, getattr(graph, name)[chosen])
    assert torch.allclose(of(graph), single[0][chosen], atol=1e-12)


def test_a_monolayer_has_no_paths(model):
    layer = twisted_bilayer("MoS2", angle=0.0)
    layer = layer[layer.arrays["layer"] == 0]
    graph, _ = model.pair_graph(layer, layer.arrays["layer"])
    assert graph.paths.n_ways == 0 and graph.paths.second.shape[1] == 0
    assert hermitian(model, layer).shape == (11, 11)


def test_graphene_has_paths_through_all_its_atoms():
    """One p_z orbital per atom along the local normal: blocks 1 x 1, turned with the atoms."""
    torch.manual_seed(0)
    heads = {"cutoff": 6.0, "taper": 5.0, "n_channels": 6, "n_scalars": 8, "hidden": 16, "n_gated": 8}
    config = {
        "species": ["C"],
        "shells": {"C": ["pz"]},
        "electrons": {"C": 1},
        "heads": {**heads, "inter_input": "paths"},
    }
    model = WanderModel(config).double().eval()
    atoms = displaced(twisted_bilayer("graphene", angle=0.0, shift=(0.1, 0.2)), 0.05, 0)
    q = random_orthogonal(2).numpy()
    turned = atoms.copy()
    turned.positions, turned.cell = atoms.positions @ q.T, atoms.cell.array @ q.T
    one, two = (model.hamiltonian(a, atoms.arrays["layer"]) for a in (atoms, turned))
    assert np.abs(one.block - two.block).max() < 1e-10


@pytest.mark.parametrize("value", ["S", ["C"], []])
def test_bad_facing_species_are_named(value):
    def fail(key, what):
        raise ValueError(f"{key}: {what}")

    config = model_of().config
    with pytest.raises(ValueError, match="heads.facing"):
        check_model_config({**config, "heads": {**config["heads"], "facing": value}}, fail)
