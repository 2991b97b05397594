"""dH/dR against differences of H, sum rules, and the shifts of bands that follow from it."""

import numpy as np
import pytest
import torch

from ase_wander import WannierHamiltonian, load_model
from ase_wander.electronic.properties.coupling import deformation_potentials, electron_phonon, zero_point_pattern
from ase_wander.electronic.transforms import difference
from ase_wander.model.derivatives import atomic_derivatives, hamiltonian_derivative
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from tests.helpers import displaced

K = np.array([0.11, 0.23, 0.0])


@pytest.fixture(scope="module")
def atoms():
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, 3)


@pytest.fixture(scope="module")
def charged():
    """Untrained, with effective charges, so that the slab's potential is part of H."""
    torch.manual_seed(1)
    model = (
        WanderModel(
            {
                "species": ["Mo", "S"],
                "shells": {"Mo": [2], "S": [1]},
                "electrons": {"Mo": 6, "S": 4},
                "heads": {"n_channels": 4, "n_scalars": 8, "hidden": 16, "n_gated": 4},
            }
        )
        .double()
        .eval()
    )
    torch.nn.init.normal_(model.heads.charge.weight, std=0.5)
    return model


def hamiltonian(model, atoms, layers):
    *blocks, n_electrons = model.hamiltonian(atoms, layers)
    return WannierHamiltonian.from_blocks(atoms, model.shells, *blocks, n_electrons)


def by_differences(model, atoms, layers, direction, strain, step):
    """Central difference of fourth order in `step`."""

    def at(x):
        moved = atoms.copy()
        moved.positions += x * direction
        moved.set_cell(moved.cell.array @ (np.eye(3) + x * strain).T, scale_atoms=True)
        return hamiltonian(model, moved, layers)

    near, far = (difference(at(n * step), at(-n * step), 2 * n * step).at_k(K) for n in (1, 2))
    return (4 * near - far) / 3


@pytest.mark.parametrize("kind", ["displacement", "strain"])
@pytest.mark.parametrize("name", ["trained", "charged"])
def test_derivative_is_that_of_central_differences(name, kind, atoms, charged):
    model = charged if name == "charged" else load_model("mos2-bilayer")
    generator = np.random.default_rng(0)
    direction, strain = generator.normal(size=(len(atoms), 3)), generator.normal(size=(3, 3))
    direction, strain = (direction, 0 * strain) if kind == "displacement" else (0 * direction, strain)
    layers = atoms.arrays["layer"]
    exact = hamiltonian_derivative(model, atoms, direction, strain=strain, layers=layers).at_k(K)
    # 30 neighbour shells move at once under strain: a smaller step keeps the fourth-order error below 1e-7
    expected = by_differences(model, atoms, layers, direction, strain, 1e-4 if kind == "displacement" else 2e-5)
    assert abs(exact - expected).max() < 1e-6 * abs(exact).max()


def test_the_potential_of_the_slab_moves_with_the_atoms(atoms, charged):
    """Without charges the derivative is another one, by far more than the tolerance above."""
    direction = np.zeros((len(atoms), 3))
    direction[0, 2] = 1.0
    charges, neutral = charged, WanderModel(charged.config).double().eval()
    neutral.load_state_dict(charges.state_dict())
    torch.nn.init.zeros_(neutral.heads.charge.weight)
    on, off = (hamiltonian_derivative(m, atoms, direction).at_k(K) for m in (charges, neutral))
    assert abs((on - off).diagonal()).max() > 1e-3 * abs(on).max()


def test_a_shift_of_all_atoms_changes_nothing(atoms, charged):
    layer = atoms[atoms.arrays["layer"] == 0]
    parts = atomic_derivatives(charged, layer, range(len(layer)))
    scale = max(abs(dh.at_k(K)).max() for dh in parts.values())
    for axis in range(3):
        assert abs(sum(parts[i, axis].at_k(K) for i in range(len(layer)))).max() < 1e-9 * scale


def test_a_rotation_turns_the_orbitals(atoms, charged):
    """Under an infinitesimal rotation of atoms and cell H only changes its axes, so its bands do not move."""
    dh = hamiltonian_derivative(charged, atoms, strain=[[0, -1, 0.3], [1, 0, -0.2], [-0.3, 0.2, 0]])
    h = hamiltonian(charged, atoms, atoms.arrays["layer"])
    slopes, _ = deformation_potentials(dh, K, *(x[0] for x in h.eigenstates(K)))
    assert np.abs(slopes).max() < 1e-8 and abs(dh.at_k(K)).max() > 0.1


def test_bands_shift_by_the_diagonal_elements(atoms, charged):
    """Hellmann-Feynman, also inside the degenerate pairs of two layers far apart and alike."""
    twins = twisted_bilayer("MoS2", angle=0.0, gap=30.0, vacuum=20.0)
    for structure, k in ((atoms, K), (twins, np.zeros(3))):
        layers = structure.arrays["layer"]
        strain = np.diag([1.0, 0.4, 0.0])
        dh = hamiltonian_derivative(charged, structure, strain=strain, layers=layers)
        h = hamiltonian(charged, structure, layers)
        energies, states = h.eigenstates(k)
        slopes, turned = deformation_potentials(dh, k, energies[0], states[0])
        step, moved = 1e-5, []
        for n in (1, 2):  # to one side only: copies of a level that split would change places on the other
            strained = structure.copy()
            strained.set_cell(structure.cell.array @ (np.eye(3) + n * step * strain), scale_atoms=True)
            moved.append(hamiltonian(charged, strained, layers).eigenvalues(k)[0])
        expected = (4 * moved[0] - moved[1] - 3 * energies[0]) / (2 * step)
        for group in np.split(np.arange(len(expected)), np.flatnonzero(np.diff(energies[0]) > 1e-6) + 1):
            assert np.sort(slopes[group]) == pytest.approx(np.sort(expected[group]), abs=2e-4)
        assert np.abs(h.at_k(k) @ turned - turned * energies[0]).max() < 1e-6


def test_electron_phonon_elements_are_hermitian_and_scale_with_the_zero_point_motion(atoms, charged):
    """|g|^2 falls as 1/(hbar omega); the pattern obeys sum_i M_i u_i^2 = hbar / (2 omega)."""
    mode = np.random.default_rng(2).normal(size=(len(atoms), 3))
    pattern = zero_point_pattern(atoms, mode, 0.05)
    # hbar^2 / (2 x 0.05 eV) with hbar^2 = 0.00418015929 eV amu Å^2
    assert (atoms.get_masses()[:, None] * pattern**2).sum() == pytest.approx(0.00418015929 / 0.1, rel=1e-6)
    dh = hamiltonian_derivative(charged, atoms, pattern)
    _, states = hamiltonian(charged, atoms, atoms.arrays["layer"]).eigenstates(K)
    g = electron_phonon(dh, K, states[0][:, 15:19])
    assert g.shape == (4, 4) and np.abs(g - g.conj().T).max() < 1e-12
    soft = electron_phonon(
        hamiltonian_derivative(charged, atoms, zero_point_pattern(atoms, mode, 0.0125)), K, states[0][:, 15:19]
    )
    assert np.abs(soft - 2 * g).max() < 1e-12 * np.abs(g).max() + 1e-13
    with pytest.raises(ValueError, match="phonon energy"):
        zero_point_pattern(atoms, mode, -0.01)


def test_bad_requests_are_named(atoms, charged):
    with pytest.raises(ValueError, match="direction.*strain"):
        hamiltonian_derivative(charged, atoms)
    with pytest.raises(ValueError, match=r"direction must be .*\(6, 3\)"):
        hamiltonian_derivative(charged, atoms, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="no atom 6"):
        atomic_derivatives(charged, atoms, [6])
