"""A Hamiltonian that is not Hermitian: general eigenvalues, and refusals of what it does not have."""

import numpy as np
import pytest
from ase import Atoms
from scipy.sparse import csr_matrix

from ase_wander import WannierHamiltonian
from ase_wander.electronic.orbitals import orbital_table
from ase_wander.electronic.properties.dos import density_of_states


def chain(left, right, offset=0.3):
    """Hatano and Nelson: two sites per cell, hopping `left` and `right` along a chain; Hermitian for equal ones."""
    atoms = Atoms("C2", [[0, 0, 0], [1.5, 0, 0]], cell=[3, 3, 20], pbc=(True, True, False))
    inside = csr_matrix([[offset, right], [left, -offset]])
    ahead, behind = csr_matrix([[0, 0], [right, 0]]), csr_matrix([[0, left], [0, 0]])
    return WannierHamiltonian(
        atoms,
        orbital_table(atoms.symbols, {"C": ("pz",)}),
        [[0, 0, 0], [1, 0, 0], [-1, 0, 0]],
        [inside, ahead, behind],
        2,
        check=False,
    )


KPTS = np.array([[x, 0, 0] for x in np.linspace(0, 0.5, 6)])


def closed_form(left, right, offset=0.3):
    """E = +-sqrt(offset^2 + (r + l e^{-ik})(l + r e^{ik})), its real part."""
    phase = np.exp(2j * np.pi * KPTS[:, 0])
    e = np.sqrt(offset**2 + (right + left / phase) * (left + right * phase) + 0j)
    return np.sort(np.stack([e, -e], axis=1).real, axis=1)


def test_bands_are_real_parts_of_general_eigenvalues():
    h = chain(0.8, 1.2)
    assert not h.is_hermitian and chain(1.0, 1.0).is_hermitian
    np.testing.assert_allclose(h.eigenvalues(KPTS), closed_form(0.8, 1.2), atol=1e-12)
    np.testing.assert_allclose(chain(1.0, 1.0).eigenvalues(KPTS), closed_form(1.0, 1.0), atol=1e-12)
    # either triangle alone is the matrix of another chain
    for hopping in (0.8, 1.2):
        assert np.abs(closed_form(0.8, 1.2) - closed_form(hopping, hopping)).max() > 0.1


def test_windows_paths_and_copies():
    h = chain(0.8, 1.2)
    np.testing.assert_allclose(h.eigenvalues(KPTS, 1, sigma=0.2), closed_form(0.8, 1.2)[:, 1:], atol=1e-12)
    lowest = h.band_window(1).start
    np.testing.assert_allclose(h.eigenvalues(KPTS, 1), closed_form(0.8, 1.2)[:, lowest : lowest + 1], atol=1e-12)
    assert h.band_structure("GM", 4).energies.shape == (1, 4, 2)
    assert h.fermi_level() == pytest.approx(0, abs=1e-12)  # the spectrum is symmetric about zero
    assert not h.replace(n_electrons=1).is_hermitian


def test_saved_and_loaded(tmp_path):
    h = chain(0.8, 1.2)
    h.save(tmp_path / "h.npz")
    np.testing.assert_array_equal(WannierHamiltonian.load(tmp_path / "h.npz").eigenvalues(KPTS), h.eigenvalues(KPTS))


def test_what_needs_a_hermitian_one_is_refused():
    h = chain(0.8, 1.2)
    for request, message in (
        (lambda: h.eigenstates(KPTS), "orthonormal states"),
        (lambda: h.eigenvalues(KPTS, method="superlu"), "one triangle"),
        (lambda: density_of_states(h, method="kpm"), "kernel polynomials"),
        (lambda: density_of_states(h, method="exact", project="atom"), "orthonormal states"),
    ):
        with pytest.raises(ValueError, match=message):
            request()
    total = density_of_states(h, kpts=KPTS, method="exact", energies=np.linspace(-4, 4, 801))
    assert np.trapezoid(total.get_weights(), total.get_energies()) == pytest.approx(
        4, abs=1e-3
    )  # two bands, both spins
