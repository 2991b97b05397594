"""Three layers and the monolayer through the calculator: what a sum over pairs of layers must obey."""

import copy
import warnings

import numpy as np
import pytest

from ase_wander import WanderCalculator, load_model
from ase_wander.moire import symmetrised, symmetry, twisted_bilayer, twisted_multilayer
from tests.helpers import displaced


@pytest.fixture(scope="module")
def calculator():
    model = load_model("mos2-bilayer")
    model.config = {k: v for k, v in model.config.items() if k != "layers"}
    return WanderCalculator(model)


@pytest.fixture(scope="module")
def trilayer():
    """Mirror-symmetric twist, 63 atoms."""
    return twisted_multilayer("MoS2", (0, 21.786789, 0))


def largest_blocks(h, layers):
    """Largest |H| in eV between the orbitals of every pair of layers, over all cells, shape (n, n)."""
    of = layers[h.orbitals["atom"]]
    out = np.zeros((layers.max() + 1,) * 2)
    for block in h.blocks:
        coo = block.tocoo()
        np.maximum.at(out, (of[coo.row], of[coo.col]), np.abs(coo.data))
    return out


def test_forces_are_derivatives_of_the_energy(calculator, trilayer):
    atoms = displaced(trilayer, 0.03, 2)
    atoms.calc = calculator
    forces = atoms.get_forces()
    assert np.abs(forces.sum(axis=0)).max() < 1e-9
    for atom in (1, 25, 50):  # one in each layer
        direction = np.random.default_rng(atom).normal(size=3)
        energies = []
        for step in (1e-3, -1e-3):
            moved = atoms.copy()
            moved.positions[atom] += step * direction
            energies.append(calculator.get_potential_energy(moved))
        assert -(energies[0] - energies[1]) / 2e-3 == pytest.approx(forces[atom] @ direction, abs=1e-4)


def test_hamiltonian_is_hermitian_and_far_layers_hardly_couple(calculator, trilayer):
    h = calculator.get_wannier_hamiltonian(trilayer)
    matrix = h.at_k([0.11, 0.23, 0]).toarray()
    assert np.abs(matrix - matrix.conj().T).max() < 1e-12
    assert (h.n_orbitals, h.n_electrons) == (11 * 21, 14 * 21)
    size = largest_blocks(h, calculator.layers(trilayer))
    assert min(size[0, 1], size[1, 2]) > 0.3
    assert size[0, 2] < 0.05 * size[0, 1]


def test_mirror_of_the_stack(calculator, trilayer):
    """The mirror through the middle layer exchanges bottom and top: forces follow, bands stay."""
    atoms = displaced(trilayer, 0.05, 3)
    mirrored = atoms.copy()
    mirrored.positions[:, 2] = trilayer.cell[2, 2] - atoms.positions[:, 2]
    assert calculator.get_forces(mirrored) == pytest.approx(calculator.get_forces(atoms) * [1, 1, -1], abs=1e-8)
    assert np.array_equal(calculator.layers(mirrored), 2 - calculator.layers(atoms))
    k = [[0.2, 0.1, 0]]
    bands = [calculator.get_wannier_hamiltonian(x).eigenvalues(k) for x in (atoms, mirrored)]
    assert bands[0] == pytest.approx(bands[1], abs=1e-7)


def test_a_layer_lifted_away_is_a_monolayer(calculator, trilayer):
    """Beyond all cutoffs the energy is that of bilayer and monolayer, and no block couples them."""
    lifted = trilayer.copy()
    layers = calculator.layers(trilayer)
    lifted.cell[2, 2] += 40
    lifted.positions[layers == 2, 2] += 20
    parts = [lifted[layers == 2], lifted[layers != 2]]
    assert calculator.get_potential_energy(lifted) == pytest.approx(
        sum(calculator.get_potential_energy(p) for p in parts), abs=1e-8
    )
    size = largest_blocks(calculator.get_wannier_hamiltonian(lifted), layers)
    assert size[0, 2] == size[1, 2] == 0 and size[0, 1] > 0.3


def test_symmetric_stack_relaxes_symmetrically(calculator, trilayer):
    """Forces of the ideal stack have its symmetry: the symmetrised next structure is that structure."""
    atoms = trilayer.copy()
    atoms.positions += 0.1 * calculator.get_forces(atoms)
    assert symmetry(atoms, 1e-4).point_group == symmetry(trilayer).point_group == "C3h"
    assert symmetrised(atoms, 1e-4).positions == pytest.approx(atoms.positions, abs=1e-6)


def test_more_layers_than_the_data_warn_once(trilayer):
    model = copy.deepcopy(load_model("mos2-bilayer"))
    model.config["layers"] = [1, 2]
    calculator = WanderCalculator(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.get_forces(twisted_bilayer("MoS2", 1, 0))
    with pytest.warns(UserWarning, match="3 layers; the data of model 'mos2-bilayer' have at most 2"):
        calculator.get_forces(trilayer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.get_forces(displaced(trilayer, 0.01))
        del model.config["layers"]
        WanderCalculator(model).get_forces(trilayer)
