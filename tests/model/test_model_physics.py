"""What the model must obey whatever its weights: gradients, symmetry, locality, Hermiticity, folding."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import make_supercell

from ase_wander import WanderCalculator, WannierHamiltonian, load_model
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.angular import wigner_d
from tests.helpers import displaced, random_orthogonal

SHELL = {"Mo": 2, "S": 1}


@pytest.fixture(scope="module")
def model():
    return load_model("mos2-bilayer")


@pytest.fixture
def atoms():
    """Six displaced atoms at a general registry."""
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, 3)


@pytest.fixture
def calculator(model):
    return WanderCalculator(model)


def with_calculator(atoms, calculator):
    atoms.calc = calculator
    return atoms


def dense_blocks(h, atoms):
    """H as a dict (i, j, S1, S2, S3) -> block, by atoms."""
    counts = [2 * SHELL[s] + 1 for s in atoms.symbols]
    start = np.concatenate([[0], np.cumsum(counts)])
    out = {}
    for shift, matrix in zip(h.cell_shifts, h.blocks):
        dense = matrix.toarray()
        for i in range(len(atoms)):
            for j in range(len(atoms)):
                block = dense[start[i] : start[i + 1], start[j] : start[j + 1]]
                if np.any(block):
                    out[(i, j, *map(int, shift))] = block
    return out


# ---------------------------------------------------------------- gradients
def test_forces_are_minus_the_gradient(atoms, calculator):
    with_calculator(atoms, calculator)
    forces = atoms.get_forces()
    step = 1e-4
    for index, axis in [(0, 0), (1, 2), (2, 1), (4, 0), (5, 2)]:
        energies = []
        for k in (-2, -1, 1, 2):
            moved = atoms.copy()
            moved.positions[index, axis] += k * step
            energies.append(with_calculator(moved, calculator).get_potential_energy())
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
        assert -slope == pytest.approx(forces[index, axis], rel=1e-6, abs=1e-7)


def test_stress_is_the_strain_derivative(atoms, calculator):
    with_calculator(atoms, calculator)
    stress = atoms.get_stress(voigt=False)
    step = 1e-4
    for a, b in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)]:
        energies = []
        for k in (-2, -1, 1, 2):
            strain = np.eye(3)
            strain[a, b] += k * step / 2
            strain[b, a] += k * step / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(with_calculator(moved, calculator).get_potential_energy())
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step) / atoms.get_volume()
        assert slope == pytest.approx(stress[a, b], rel=1e-6, abs=1e-8)


def test_no_net_force(atoms, calculator):
    assert np.abs(with_calculator(atoms, calculator).get_forces().sum(0)).max() < 1e-10


# ---------------------------------------------------------------- symmetry
def transformed(atoms, rotation, seed):
    """The same crystal in another frame, atoms permuted and moved by lattice vectors, with the permutation."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(atoms))
    shifts = np.column_stack([generator.integers(-2, 3, (len(atoms), 2)), np.zeros(len(atoms), int)])
    positions = (atoms.positions + shifts @ atoms.cell.array) @ rotation.T
    out = Atoms(atoms.numbers[order], positions[order], cell=atoms.cell.array @ rotation.T, pbc=atoms.pbc)
    return out, order, shifts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("determinant", [1, -1])
def test_everything_is_covariant(atoms, model, seed, determinant):
    """Energy invariant, forces rotate, H' = D H D^T under O(3) x permutations x lattice translations."""
    q = random_orthogonal(seed, determinant)
    other, order, shifts = transformed(atoms, q.numpy(), seed)
    first, second = WanderCalculator(model), WanderCalculator(model)
    with_calculator(atoms, first), with_calculator(other, second)
    assert other.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert np.abs(other.get_forces() - (atoms.get_forces() @ q.numpy().T)[order]).max() < 1e-10
    blocks, rotated = (dense_blocks(a.calc.get_wannier_hamiltonian(a), a) for a in (atoms, other))
    assert len(blocks) == len(rotated)
    rank = np.argsort(order)
    for (i, j, *shift), block in blocks.items():
        there = tuple(int(x) for x in np.array(shift) + shifts[i] - shifts[j])
        d_i, d_j = (wigner_d(q, SHELL[atoms.symbols[k]]).numpy() for k in (i, j))
        assert np.abs(rotated[(rank[i], rank[j], *there)] - d_i @ block @ d_j.T).max() < 1e-10


def test_hamiltonian_is_hermitian_exactly(atoms, calculator):
    blocks = dense_blocks(calculator.get_wannier_hamiltonian(atoms), atoms)
    for (i, j, a, b, c), block in blocks.items():
        assert np.array_equal(block, blocks[(j, i, -a, -b, -c)].T)


def test_descriptors_are_invariant(atoms, model):
    q = random_orthogonal(4, -1)
    other, order, _ = transformed(atoms, q.numpy(), 4)
    first, second = (WanderCalculator(model).get_descriptors(a) for a in (atoms, other))
    assert first.shape == (len(atoms), model.force_field.n_raer)
    assert np.abs(second - first[order]).max() < 1e-10


# ---------------------------------------------------------------- size and folding
def test_energy_is_extensive_and_forces_repeat(atoms, model):
    big = make_supercell(atoms, [[2, 1, 0], [0, 3, 0], [0, 0, 1]], order="atom-major")
    first, second = with_calculator(atoms, WanderCalculator(model)), with_calculator(big, WanderCalculator(model))
    assert big.get_potential_energy() == pytest.approx(6 * atoms.get_potential_energy(), abs=1e-8)
    assert np.abs(big.get_forces() - np.repeat(first.get_forces(), 6, axis=0)).max() < 1e-9
    assert np.abs(second.get_stress() - atoms.get_stress()).max() < 1e-10


def test_supercell_has_the_folded_bands(atoms, model):
    matrix = np.array([[2, 1, 0], [0, 2, 0], [0, 0, 1]])
    big = make_supercell(atoms, matrix)
    h, folded = (WanderCalculator(model).get_wannier_hamiltonian(a) for a in (atoms, big))
    k = np.array([0.13, -0.21, 0.0])
    # k-points of the primitive cell that fold onto k: (k + G) M^-T for the reciprocal vectors G of the supercell
    images = np.array([[a, b, 0] for a in range(4) for b in range(4)])
    primitive = (k + images) @ np.linalg.inv(matrix).T
    _, unique = np.unique(np.round(primitive % 1 % 1, 9) % 1, axis=0, return_index=True)
    expected = np.sort(h.eigenvalues(primitive[unique]).ravel())
    assert len(unique) == 4
    assert np.abs(np.sort(folded.eigenvalues([k])[0]) - expected).max() < 1e-8


# ---------------------------------------------------------------- electrostatics
@pytest.fixture(scope="module")
def charged():
    """An untrained model whose effective charges are large."""
    torch.manual_seed(2)
    model = (
        WanderModel(
            {
                "name": "charged",
                "species": ["Mo", "S"],
                "shells": {"Mo": [2], "S": [1]},
                "electrons": {"Mo": 6, "S": 4},
                "force_field": {"n_channels": 2, "hidden": 8, "n_raer": 4, "n_radial": 4},
                "heads": {"n_channels": 2, "n_scalars": 4, "hidden": 8, "n_gated": 2, "smearing": 2.0},
            }
        )
        .double()
        .eval()
    )
    torch.nn.init.normal_(model.heads.charge.weight)
    return model


def test_vacuum_step_is_odd_and_vanishes_with_inversion(atoms, charged):
    """Seen from below a stack has the opposite step; a 2H bilayer has a centre of inversion and none."""
    layers = WanderCalculator(charged).layers(atoms)
    mirrored = atoms.copy()
    mirrored.positions[:, 2] = atoms.positions[:, 2].min() + atoms.positions[:, 2].max() - atoms.positions[:, 2]
    step = charged.vacuum_step(atoms, layers)
    assert abs(step) > 1e-3
    assert charged.vacuum_step(mirrored, 1 - layers) == pytest.approx(-step, abs=1e-9)
    symmetric = twisted_bilayer("MoS2", angle=0.0, stacking="H")
    assert abs(charged.vacuum_step(symmetric, symmetric.arrays["layer"])) < 1e-9


def test_a_stack_cut_by_the_cell_boundary_has_the_same_electrons(atoms, charged):
    atoms.pbc = True
    cut = atoms.copy()
    cut.positions[:, 2] += 0.5 * cut.cell[2, 2]
    cut.wrap()
    k = [[0.1, 0.2, 0.0]]
    first, second = (WanderCalculator(charged).get_wannier_hamiltonian(a).eigenvalues(k) for a in (atoms, cut))
    assert np.abs(first - second).max() < 1e-9


# ---------------------------------------------------------------- locality
def test_layers_far_apart_do_not_know_each_other(model):
    near = twisted_bilayer("MoS2", angle=0.0, shift=(0.1, 0.3), gap=30.0, vacuum=10.0)
    layers = near.arrays["layer"]
    h = WanderCalculator(model).get_wannier_hamiltonian(near)
    for (i, j, *_), _ in dense_blocks(h, near).items():
        assert layers[i] == layers[j]
    parts = [near[layers == k] for k in (0, 1)]
    alone = sum(with_calculator(p, WanderCalculator(model)).get_potential_energy() for p in parts)
    assert with_calculator(near, WanderCalculator(model)).get_potential_energy() == pytest.approx(alone, abs=1e-9)


def test_energy_vanishes_smoothly_at_the_cutoffs(model):
    """Lift one layer away: where the last pairs leave, the energy has no step and no kink."""
    thickness = np.ptp(twisted_bilayer("MoS2", angle=0.0, gap=10.0).positions[:, 2]) - 10.0

    def energy(between):
        """With `between` Å from the upper sulphur of one layer to the lower one of the other."""
        atoms = twisted_bilayer("MoS2", angle=0.0, shift=(0.3, 0.1), gap=between + thickness, vacuum=20.0)
        return with_calculator(atoms, WanderCalculator(model)).get_potential_energy()

    for cutoff in (model.force_field.cutoff, model.force_field.tail_cutoff):
        around = np.array([energy(cutoff + x) for x in (-4e-2, -2e-2, 0, 2e-2, 4e-2)])
        assert np.abs(np.diff(around, 2)).max() < 1e-5
    beyond = energy(model.force_field.tail_cutoff + 0.1)
    assert energy(model.force_field.tail_cutoff + 5.0) == pytest.approx(beyond, abs=1e-9)


def test_elements_fade_out_towards_the_hamiltonian_cutoff(model, atoms):
    """No pair beyond the cutoff; the smoothstep leaves less than 1e-2 of a tail of about 0.5 meV on its last 0.05 Å."""
    h = WanderCalculator(model).get_wannier_hamiltonian(atoms)
    last = []
    for (i, j, *shift), block in dense_blocks(h, atoms).items():
        r = np.linalg.norm(atoms.positions[j] + np.array(shift) @ atoms.cell.array - atoms.positions[i])
        assert r < model.cutoff
        if r > model.cutoff - 0.05:
            last.append(np.abs(block).max())
    assert last and max(last) < 5e-6


def test_the_pass_of_pairs_in_parts_changes_nothing(model, atoms, monkeypatch):
    import ase_wander.model.wander as module

    layers = WanderCalculator(model).layers(atoms)
    whole = WannierHamiltonian.from_blocks(atoms, model.shells, *model.hamiltonian(atoms, layers))
    monkeypatch.setattr(module, "PAIRS_PER_PASS", 37)
    parts = WannierHamiltonian.from_blocks(atoms, model.shells, *model.hamiltonian(atoms, layers))
    assert np.array_equal(whole.cell_shifts, parts.cell_shifts)
    assert max(np.abs((a - b).toarray()).max() for a, b in zip(whole.blocks, parts.blocks)) < 1e-12
