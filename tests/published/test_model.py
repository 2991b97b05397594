"""The published architecture without the authors' weights: symmetries, limits, round trips, refusals."""

import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.published.environment import PeriodicTree, environment_vectors, inverse_coordinates
from ase_wander.published.frame import find_frame, rotation
from ase_wander.published.model import PublishedModel
from ase_wander.published.networks import HAMILTONIAN_NETWORKS, NETWORKS, published_networks
from ase_wander.published.template import ideal_template
from ase_wander.structure import find_layers
from tests.published_toy import A, H, bilayer


@pytest.fixture(scope="module")
def model():
    """Untrained networks in double precision, without rounding: symmetries hold to machine precision."""
    torch.manual_seed(7)
    networks = published_networks().double().eval()
    for network in networks.values():
        network.norm.running_mean.uniform_(-0.1, 0.1)
        network.norm.running_var.uniform_(0.02, 0.1)
    return PublishedModel(networks, ideal_template(A, H), "untrained", layer_offsets=(-0.2, 0.3), rounding=False)


def hamiltonian(model, atoms, **kwargs):
    return WannierHamiltonian.from_blocks(
        atoms, model.shells, *model.hamiltonian(atoms, **kwargs), check=kwargs.get("hermitian", True)
    )


def test_widths_are_those_of_the_paper(model):
    assert len(HAMILTONIAN_NETWORKS) == 15 and len(NETWORKS) == 17
    assert NETWORKS["force_m"][0] == 61 * 4 and NETWORKS["force_s"][0] == 51 * 4
    assert model.descriptors(bilayer()).shape == (6, 32)


def test_ideal_walk_finds_the_shells_of_a_perfect_layer():
    """6 X, 6 M, 18 X around M; X across, 3 M, 12 X, 9 M around X: every site of these shells once, at its distance."""
    template = ideal_template(A, H)
    atoms = bilayer()
    vectors = environment_vectors(find_frame(atoms, find_layers(atoms), "Mo", "S").bilayer, template)
    for kind, n in (("metal", 30), ("chalcogen", 25)):
        for walk in (vectors[kind][1][:, :n], vectors[kind][1][:, n + 1 :] - vectors[kind][1][:, n : n + 1]):
            for v in walk:
                assert len(np.unique(v.round(6), axis=0)) == n
    distance = np.linalg.norm(vectors["metal"][1][0], axis=1)
    np.testing.assert_allclose(distance[:6], np.hypot(A / np.sqrt(3), H))
    np.testing.assert_allclose(distance[6:12], A)
    assert (distance[12:30] > A).all()
    np.testing.assert_allclose(np.linalg.norm(vectors["chalcogen"][1][0, 0]), 2 * H)


def test_inverse_coordinates_are_a_direction_and_a_length():
    v = np.random.default_rng(0).normal(size=(5, 3))
    x = inverse_coordinates(v)
    np.testing.assert_allclose((x[:, 1:] ** 2).sum(1), x[:, 0] ** 2)
    np.testing.assert_allclose(x[:, 1:] / x[:, :1] ** 2, v)


def test_nearest_atom_is_that_of_all_images():
    rng = np.random.default_rng(3)
    cell = np.array([[4.0, 0, 0], [-1.5, 3.6, 0], [0, 0, 20]])
    positions = rng.uniform(-9, 9, (5, 3))
    targets = rng.uniform(-15, 15, (40, 3)) * [1, 1, 0.5]
    atom, shift = PeriodicTree(positions, cell, [0, 2, 3]).nearest(targets)
    found = np.linalg.norm(positions[atom] + shift @ cell[:2] - targets, axis=1)
    images = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 2), -1).reshape(-1, 2) @ cell[:2]
    brute = np.linalg.norm(
        positions[[0, 2, 3]][None, None] + images[None, :, None] - targets[:, None, None], axis=-1
    ).min((1, 2))
    np.testing.assert_allclose(found, brute, atol=1e-12)


@pytest.mark.parametrize("rattle", [0.0, 0.05])
def test_order_wrapping_and_translation_do_not_matter(model, rattle):
    """Also at rattle 0, where the nearest atom of the other layer is tied three-fold."""
    atoms = bilayer(3, rattle)
    forces = model.compute(atoms)["forces"]
    reference = hamiltonian(model, atoms).eigenvalues([[0.1, 0.2, 0]])
    rng = np.random.default_rng(5)
    order = rng.permutation(len(atoms))
    other = atoms[order]
    other.positions += rng.integers(-2, 3, (len(atoms), 3)) * [1, 1, 0] @ atoms.cell.array + [0.7, -1.1, 2.3]
    np.testing.assert_allclose(model.compute(other)["forces"], forces[order], atol=1e-10)
    np.testing.assert_allclose(model.descriptors(other), model.descriptors(atoms)[order], atol=1e-10)
    np.testing.assert_allclose(hamiltonian(model, other).eigenvalues([[0.1, 0.2, 0]]), reference, atol=1e-10)


def test_stack_across_the_boundary_of_a_periodic_axis(model):
    atoms = bilayer(2, 0.05, pbc=True)
    forces, bands = model.compute(atoms)["forces"], hamiltonian(model, atoms).eigenvalues([[0.1, 0.2, 0]])
    atoms.positions[:, 2] -= 7
    atoms.wrap()
    np.testing.assert_allclose(model.compute(atoms)["forces"], forces, atol=1e-10)
    np.testing.assert_allclose(hamiltonian(model, atoms).eigenvalues([[0.1, 0.2, 0]]), bands, atol=1e-10)


def test_rotation_of_the_whole_structure_turns_forces_and_bands(model):
    turned = bilayer(2, 0.05)
    turned.rotate(37, "z", rotate_cell=True)
    frame = find_frame(turned, find_layers(turned), "Mo", "S")
    assert abs(np.degrees(frame.angle) - 37) < 2
    aligned = turned.copy()
    aligned.positions, aligned.cell = frame.bilayer.positions, frame.bilayer.cell
    np.testing.assert_allclose(
        model.compute(turned)["forces"], model.compute(aligned)["forces"] @ rotation(-frame.angle), atol=1e-9
    )
    k = [[0.1, 0.2, 0]]
    np.testing.assert_allclose(
        hamiltonian(model, turned).eigenvalues(k), hamiltonian(model, aligned).eigenvalues(k), atol=1e-9
    )


def test_supercell_repeats_forces_and_folds_bands(model):
    """Gamma of a 2 x 2 cell holds Gamma and the three M of the cell: all images within 12 Å take part in small cells
    too.
    """
    small, large = bilayer(1), bilayer(2)
    repeat = np.unique(model.compute(large)["forces"].round(9), axis=0)
    np.testing.assert_allclose(repeat, np.unique(model.compute(small)["forces"].round(9), axis=0), atol=2e-9)
    folded = hamiltonian(model, large).eigenvalues([[0, 0, 0]])
    unfolded = hamiltonian(model, small).eigenvalues([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(folded[0], np.sort(unfolded.ravel()), atol=1e-10)


def test_hermitian_part_and_orbital_basis(model):
    """H_ij(R) = H_ji(-R)^T; turning orbitals is orthogonal; the antihermitian part was there before."""
    atoms = bilayer(2, 0.05)
    published = hamiltonian(model, atoms, orbitals="published").at_k([0.1, 0.2, 0]).toarray()
    turned = hamiltonian(model, atoms).at_k([0.1, 0.2, 0]).toarray()
    raw = hamiltonian(model, atoms, hermitian=False).at_k([0.1, 0.2, 0]).toarray()
    np.testing.assert_allclose(turned, turned.conj().T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(turned), np.linalg.eigvalsh(published), atol=1e-12)
    np.testing.assert_allclose(published, (raw + raw.conj().T) / 2, atol=1e-12)
    assert abs(raw - raw.conj().T).max() > 1e-3


def test_offsets_move_the_layers(model):
    """Equal offsets shift every band; the difference is what a layer's constant C means."""
    atoms = bilayer()
    one = PublishedModel(model.networks, model.template, layer_offsets=(0.5, 0.5), rounding=False)
    none = PublishedModel(model.networks, model.template, layer_offsets=(0, 0), rounding=False)
    k = [[0.2, 0.1, 0]]
    np.testing.assert_allclose(
        hamiltonian(one, atoms).eigenvalues(k), hamiltonian(none, atoms).eigenvalues(k) + 0.5, atol=1e-12
    )


def test_elements_carry_the_index_of_their_matrix_entry(model):
    """index = image N^2 + (m - 1) + (n - 1) N, metals first: rebuilding H(k) from it gives the model's own blocks."""
    atoms = bilayer(5, 0.03)
    elements = model.elements(atoms)
    index, value = (np.concatenate([e[k] for e in elements.values()]) for k in (0, 1))
    n = 11 * len(atoms) // 3
    image, rest = np.divmod(index, n * n)
    assert len(np.unique(index)) == len(index)
    k = np.array([0.13, 0.29, 0])
    shifts = np.array([(a, b, 0) for a in (-1, 0, 1) for b in (-1, 0, 1)])
    h = np.zeros((n, n), complex)
    np.add.at(h, (rest % n, rest // n), value * np.exp(2j * np.pi * shifts @ k)[image])
    order = np.argsort(atoms.numbers != 42, kind="stable")
    other = hamiltonian(model, atoms[order], hermitian=False).at_k(k).toarray()
    np.testing.assert_allclose(h, other, atol=1e-12)


def test_parallel_layers_only_where_trained_on(model):
    atoms = bilayer(parallel=True)
    with pytest.raises(ValueError, match="parallel"):
        model.compute(atoms)
    both = PublishedModel(model.networks, model.template, orientations=((1, 1), (1, -1)), rounding=False)
    h = hamiltonian(both, atoms)
    assert np.isfinite(h.eigenvalues([[0, 0, 0]])).all() and h.n_electrons == 28


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda a: a.symbols.__setitem__(4, "Se"), r"atom 4 is Se"),
        (lambda a: a.__delitem__(slice(3, 6)), "exactly two layers"),
        (lambda a: a.rotate(20, "x", rotate_cell=True), "xy plane"),
    ],
)
def test_refusals_name_what_is_wrong(model, change, match):
    atoms = bilayer()
    change(atoms)
    with pytest.raises(ValueError, match=match):
        model.compute(atoms)


def test_energy_is_refused(model):
    with pytest.raises(PropertyNotImplementedError, match="energy"):
        model.compute(bilayer(), properties=("energy", "forces"))


def test_folder_round_trip(model, tmp_path):
    torch.manual_seed(0)
    single = PublishedModel(
        published_networks().eval(), model.template, "copy", orientations=((1, 1), (1, -1)), provenance="a test"
    )
    single.save(tmp_path / "m")
    again = PublishedModel.load(tmp_path / "m")
    atoms = bilayer(2, 0.05)
    assert again.digest == single.digest and again.orientations == single.orientations
    np.testing.assert_array_equal(again.compute(atoms)["forces"], single.compute(atoms)["forces"])
    np.testing.assert_array_equal(again.hamiltonian(atoms).block, single.hamiltonian(atoms).block)
    card = (tmp_path / "m" / "card.md").read_text()
    assert "a test" in card and single.digest in card
    weights = tmp_path / "m" / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 0x40
    weights.write_bytes(damaged)
    with pytest.raises(ValueError, match="hash"):
        PublishedModel.load(tmp_path / "m")
    weights.write_bytes(damaged[:1000])
    with pytest.raises(ValueError, match="damaged"):
        PublishedModel.load(tmp_path / "m")


def test_rounding_moves_results_by_what_it_drops(model):
    coarse = PublishedModel(model.networks, model.template, layer_offsets=model.layer_offsets)
    atoms = bilayer(2, 0.05)
    a, b = coarse.hamiltonian(atoms).block, model.hamiltonian(atoms).block
    assert 0 < np.abs(a - b).max() < 1e-4
    np.testing.assert_allclose(coarse.descriptors(atoms), coarse.descriptors(atoms).round(6), atol=0)
