"""Velocities, masses, weights, unfolding, fields, spin-orbit, topology, optics: identities and known models."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, kron

from ase_wander.electronic.filling import level_at_density, monkhorst_pack
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.properties.analysis import (
    atomic_density,
    band_group,
    density_map,
    fat_bands,
    matrix_elements,
)
from ase_wander.electronic.properties.optics import optical_conductivity
from ase_wander.electronic.properties.topology import chern_number, z2_invariant
from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.properties.velocities import HBAR, effective_mass, velocities
from ase_wander.electronic.spinorbit import angular_momentum, with_spin_orbit
from ase_wander.electronic.supercell import make_supercell
from ase_wander.electronic.transforms import difference, in_electric_field, truncation_error
from tests.electronic_helpers import REFERENCE, graphene_model, random_model


@pytest.mark.parametrize("complex_", [False, True])
def test_velocity_is_the_slope(complex_):
    h = random_model(complex_=complex_)
    cell, step = h.atoms.cell.array, 1e-4
    k = np.array([0.12, 0.33, 0])
    _, velocity = velocities(h, k)
    for axis in (0, 1):
        dk = step * cell[:, axis] / (2 * np.pi)
        slope = (h.eigenvalues(k + dk) - h.eigenvalues(k - dk))[0] / (2 * step) / HBAR
        assert np.abs(velocity[0, :, axis] - slope).max() < 1e-5
    assert np.abs(velocity[0, :, 2]).max() < 1e-12


def test_dirac_cone_leaves_with_plus_and_minus_v():
    """hbar v = (sqrt(3) / 2) a t at K, where both bands meet."""
    _, velocity = velocities(graphene_model(), [1 / 3, 1 / 3, 0])
    v = np.sqrt(3) / 2 * 2.46 * 2.7 / HBAR
    assert velocity[0, :, :2] == pytest.approx(np.array([[-v, -v], [v, v]]), abs=1e-9)


def test_effective_mass_of_gapped_graphene():
    """E = sqrt(D^2 + (hbar v k)^2): m = D / v^2, the same in all directions."""
    h = graphene_model(onsite=0.0)
    blocks = [b.copy() for b in h.blocks]
    home = h.cell_shifts.tolist().index([0, 0, 0])
    blocks[home] = (blocks[home] + csr_matrix(np.diag([0.5, -0.5]))).tocsr()
    h = h.replace(blocks=blocks)
    expected = 7.619964231 * 0.5 / (np.sqrt(3) / 2 * 2.46 * 2.7) ** 2
    masses, _ = effective_mass(h, [1 / 3, 1 / 3, 0], band=1)
    assert masses == pytest.approx([expected] * 2, rel=1e-3)
    masses, _ = effective_mass(h, [1 / 3, 1 / 3, 0], band=0)
    assert masses == pytest.approx([-expected] * 2, rel=1e-3)
    with pytest.raises(ValueError, match="degenerate"):
        effective_mass(graphene_model(), [1 / 3, 1 / 3, 0], band=0)


def test_weights_and_maps_are_normalised():
    h = random_model()
    h.atoms.set_array("layer", np.array([0, 0, 1, 1]))
    energies, weights = fat_bands(h, [[0.1, 0.2, 0], [0, 0, 0]])
    assert set(weights) == {"layer 0", "layer 1"} and np.allclose(sum(weights.values()), 1)
    state = h.eigenstates([0.1, 0.2, 0])[1][0][:, 3]
    assert atomic_density(h, state).sum() == pytest.approx(1)
    _, density = density_map(h, state, (40, 40), width=0.5)
    area = np.linalg.det(h.atoms.cell.array[:2, :2])
    assert density.mean() * area == pytest.approx(1, abs=1e-9) and density.min() > -1e-6
    group = band_group(energies, np.arange(16), [4, 5])
    assert group["width"] == pytest.approx(energies[:, 4:6].max() - energies[:, 4:6].min())
    assert group["gap_above"] == pytest.approx(energies[:, 6].min() - energies[:, 5].max())
    with pytest.raises(ValueError, match="band 99"):
        band_group(energies, np.arange(16), [99])


def test_unfolding_recovers_the_primitive_bands():
    """In a perfect supercell every weight is 0 or 1, and the ones are the primitive bands."""
    h = random_model()
    big = make_supercell(h, [[2, 1, 0], [-1, 2, 0], [0, 0, 1]])
    kpts = np.array([[0.11, 0.23, 0], [0.41, -0.27, 0]])
    energies, weights = unfold(big, h.atoms.cell.array, kpts)
    assert np.abs(weights - np.rint(weights)).max() < 1e-9
    assert weights.sum(axis=1) == pytest.approx([h.n_orbitals] * 2)
    for e, w, k in zip(energies, weights, kpts):
        assert np.abs(e[w > 0.5] - h.eigenvalues(k)[0]).max() < 1e-9
    with pytest.raises(ValueError, match="no supercell"):
        unfold(big, h.atoms.cell.array * 1.3, kpts)


def test_uniform_field_moves_bands_as_layers_do():
    """Without coupling between heights a field shifts each level by its own potential; screening divides it."""
    h = random_model()
    same = h.replace(centres=np.tile(h.centres.mean(axis=0), (h.n_orbitals, 1)) + [0, 0, 2.0])
    k = [[0.1, 0.2, 0]]
    assert np.allclose(
        in_electric_field(same, 0.3, origin=0.0).eigenvalues(k), same.eigenvalues(k) + 0.3 * same.centres[0, 2]
    )
    step = 1e-4
    _, states = h.eigenstates(k)
    dipole = (np.abs(states[0]) ** 2 * (h.centres[:, 2] - h.centres[:, 2].mean())[:, None]).sum(axis=0)
    slope = (
        in_electric_field(h, step, screening=2).eigenvalues(k) - in_electric_field(h, -step, 2).eigenvalues(k)
    ) / step
    assert np.abs(slope[0] - dipole).max() < 1e-4


def test_first_order_shift_is_a_diagonal_matrix_element():
    h, k, step = random_model(), np.array([0.1, 0.2, 0]), 1e-5
    after, before = (h.replace(blocks=[b * (1 + sign * step * n) for n, b in enumerate(h.blocks)]) for sign in (1, -1))
    # Blocks scaled by their number: R and -R unequally, so only the Hermitian part of dH shifts the bands.
    dh = difference(after, before, 2 * step)
    _, states = h.eigenstates(k)
    matrix = dh.at_k(k).toarray()
    hermitian = (matrix + matrix.conj().T) / 2
    energies, shifted = (
        np.linalg.eigvalsh(h.at_k(k).toarray()),
        np.linalg.eigvalsh(h.at_k(k).toarray() + step * hermitian),
    )
    diagonal = np.diag(matrix_elements(dh, k, states[0])).real
    assert np.abs((shifted - energies) / step - diagonal).max() < 1e-3 * np.abs(diagonal).max()


def test_truncation_bounds_hold():
    h = random_model()
    cut = h.truncate(0.3)
    kpts = np.random.default_rng(0).random((6, 3))
    error = np.abs(cut.eigenvalues(kpts) - h.eigenvalues(kpts)).max(axis=1)
    bound = truncation_error(h, cut, kpts)
    assert (error <= bound + 1e-12).all() and (bound <= cut.info["truncation_bound"]).all()
    assert error.max() > 0.01 and sum(b.nnz for b in cut.blocks) < sum(b.nnz for b in h.blocks)


def test_carriers_fill_the_dirac_cone():
    """E_F = hbar v sqrt(pi n) for electrons, the same below for holes."""
    h = graphene_model(onsite=0.0)
    kpts, weights = monkhorst_pack((180, 180, 1))
    n = 5e13
    expected = np.sqrt(3) / 2 * 2.46 * 2.7 * np.sqrt(np.pi * n * 1e-16)
    assert level_at_density(h, n, kpts, weights) == pytest.approx(expected, rel=0.08)
    assert level_at_density(h, -n, kpts, weights) == pytest.approx(-expected, rel=0.08)


@pytest.mark.parametrize("ell", [1, 2, 3])
def test_angular_momentum_algebra(ell):
    lx, ly, lz = angular_momentum(ell)
    assert np.abs(lx @ ly - ly @ lx - 1j * lz).max() < 1e-12
    assert np.abs(lx @ lx + ly @ ly + lz @ lz - ell * (ell + 1) * np.eye(2 * ell + 1)).max() < 1e-12
    assert max(np.abs(x.real).max() for x in (lx, ly, lz)) < 1e-12
    if ell == 1:
        # L_z turns x into y: L_z |px> = i |py>, in the order py, pz, px
        assert lz[0, 2] == pytest.approx(1j) and lx[1, 0] == pytest.approx(1j)


def test_spin_orbit_levels_of_an_atom():
    """lambda L.S on a p shell: two states at -lambda, four at lambda / 2."""
    h = random_model()
    free = h.replace(blocks=[b * 0 for b in h.blocks])
    levels = with_spin_orbit(free, {"S": {1: 0.4}}).eigenvalues([0, 0, 0])[0]
    assert levels == pytest.approx(np.sort([-0.4] * 4 + [0] * 20 + [0.2] * 8), abs=1e-12)
    spinor = with_spin_orbit(h, {"Mo": {2: 0.3}, "S": {1: 0.4}})
    at = spinor.eigenvalues([[0.1, 0.2, 0], [-0.1, -0.2, 0]])
    assert np.abs(at[0] - at[1]).max() < 1e-10, "time reversal"
    assert np.abs(np.diff(spinor.eigenvalues([0.5, 0, 0])[0])[::2]).max() < 1e-10, "Kramers"
    assert spinor.n_occupied == 14
    with pytest.raises(ValueError, match="spin already"):
        with_spin_orbit(spinor)
    with pytest.raises(ValueError, match="complete shell"):
        with_spin_orbit(graphene_model(), {"C": {1: 0.1}})


def test_valley_splitting_of_a_monolayer():
    """The valence band of MoS2 at K splits by about 0.15 eV (e.g. Z. Y. Zhu et al., PRB 84, 153402)."""
    h = with_spin_orbit(WannierHamiltonian.from_dataset_file(REFERENCE / "ml_0000.npz"))
    k = [1 / 3, 1 / 3, 0] if h.atoms.cell.angles()[2] > 90 else [2 / 3, 1 / 3, 0]
    bands = h.eigenvalues(k)[0]
    assert 0.13 < bands[h.n_occupied - 1] - bands[h.n_occupied - 2] < 0.17


def haldane(phase, staggered, spin=False):
    """Haldane's model: t = 1, t2 = 0.1 e^{i phase} round each hexagon; two copies of opposite phase with `spin`."""
    h = graphene_model(t=-1.0, onsite=0.0)
    matrices = {tuple(r): b.toarray().astype(complex) for r, b in zip(h.cell_shifts.tolist(), h.blocks)}
    for r in ((1, 0, 0), (0, 1, 0), (-1, -1, 0)):
        for sign, element in ((1, 0.1 * np.exp(1j * phase)), (-1, 0.1 * np.exp(-1j * phase))):
            block = matrices.setdefault(tuple(sign * np.array(r)), np.zeros((2, 2), complex))
            block += np.diag([element, np.conj(element)])
    matrices[0, 0, 0] = matrices[0, 0, 0] + np.diag([staggered, -staggered])
    shifts = np.array(list(matrices))
    blocks = [csr_matrix(b) for b in matrices.values()]
    if not spin:
        return WannierHamiltonian(h.atoms, h.orbitals, shifts, blocks, 2)
    up = WannierHamiltonian(h.atoms, h.orbitals, shifts, blocks, 2)
    orbitals = np.concatenate([h.orbitals, h.orbitals])
    both = []
    for b in up.blocks:
        # time-reversed partner of opposite spin: H_down(R) = H_up(R)*
        spins = kron(np.diag([1, 0]), b) + kron(np.diag([0, 1]), b.conj())
        both.append(spins.tocsr())
    return WannierHamiltonian(h.atoms, orbitals, shifts, both, 2, spin_degeneracy=1)


def test_haldane_phases():
    """|C| = 1 below the staggered potential 3 sqrt(3) t2 sin(phase), 0 above; the sign follows the phase."""
    c = chern_number(haldane(np.pi / 2, 0.2), [0], (12, 12))
    assert abs(c) == 1
    assert chern_number(haldane(-np.pi / 2, 0.2), [0], (12, 12)) == -c
    assert chern_number(haldane(np.pi / 2, 0.2), [1], (12, 12)) == -c
    assert chern_number(haldane(np.pi / 2, 0.7), [0], (12, 12)) == 0
    with pytest.raises(ValueError, match="touch"):
        chern_number(graphene_model(), [0], (12, 12))


def test_kane_mele_phases():
    assert z2_invariant(haldane(np.pi / 2, 0.2, spin=True), [0, 1], 21, 24) == 1
    assert z2_invariant(haldane(np.pi / 2, 0.7, spin=True), [0, 1], 21, 24) == 0


def test_graphene_absorbs_as_it_must():
    """Re sigma = e^2 / 4 hbar in the Dirac range (trigonal warping adds (E / t)^2 / 36 and so on)."""
    h = graphene_model(onsite=0.0)
    kpts, weights = monkhorst_pack((84, 84, 1))
    sigma = optical_conductivity(h, [1.0, 1.3], kpts, weights, fermi_level=0.0, width=0.15)
    assert sigma == pytest.approx([1.0, 1.0], abs=0.07)
    other = optical_conductivity(h, [1.3], kpts, weights, fermi_level=0.0, width=0.15, axes=(1, 1))
    assert other == pytest.approx(sigma[1:], rel=0.03)
