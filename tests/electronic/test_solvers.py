"""Shift-invert solvers against LAPACK: the same bands, with the right absolute indices."""

import numpy as np
import pytest

from ase_wander.electronic.solvers import eigensolvers, pardiso
from ase_wander.electronic.solvers.eigensolvers import choose_method, nearest_bands, verify_window, window_bands
from ase_wander.electronic.solvers.factorisation import BACKENDS, SingularShift, factorise
from ase_wander.electronic.solvers.lanczos import both_sides, invert_lanczos
from ase_wander.electronic.supercell import make_supercell
from tests.electronic_helpers import graphene_model, random_model

SPARSE = [name for name in BACKENDS if name != "pardiso" or pardiso.available()]


@pytest.fixture(scope="module")
def big():
    """720 orbitals with the degeneracies of a folded zone broken by nothing but k."""
    return make_supercell(random_model(), (9, 5, 1))


@pytest.mark.parametrize("method", SPARSE)
@pytest.mark.parametrize("k", [(0, 0, 0), (0.17, 0.31, 0)])
def test_sparse_equals_dense(big, method, k):
    dense = np.linalg.eigvalsh(big.at_k(k).toarray())
    window = big.band_window(12)
    energies, states = big.eigenstates(k, 12, method=method, verify=True)
    assert np.abs(energies[0] - dense[window.start : window.stop]).max() < 1e-8
    assert np.abs(states[0].conj().T @ states[0] - np.eye(12)).max() < 1e-10
    assert np.abs(big.at_k(k) @ states[0] - states[0] * energies[0]).max() < 1e-7
    sigma = dense[100] + 1e-3
    nearest = dense[np.sort(np.argsort(abs(dense - sigma))[:9])]
    assert np.abs(big.eigenvalues(k, 9, sigma, method=method)[0] - nearest).max() < 1e-8


@pytest.mark.parametrize("method", SPARSE)
def test_inertia_counts_bands(big, method):
    matrix = big.at_k([0.1, 0.2, 0])
    dense = np.linalg.eigvalsh(matrix.toarray())
    for count in (3, 200, 715):
        sigma = (dense[count - 1] + dense[count]) / 2
        factor, shift = factorise(matrix, sigma, method)
        assert shift == sigma and factor.n_below == count


@pytest.mark.parametrize("method", SPARSE)
def test_high_degeneracy_is_not_missed(method):
    """Graphene folded onto Gamma: six-fold and twelve-fold levels, more than one Krylov block holds."""
    h = make_supercell(graphene_model(), (18, 18, 1))
    matrix = h.at_k([0, 0, 0])
    dense = np.linalg.eigvalsh(matrix.toarray())
    pairs = nearest_bands(matrix, 1.61, 40, method)
    assert np.abs(pairs.energies - np.sort(dense[np.argsort(abs(dense - 1.61), kind="stable")[:40]])).max() < 1e-8
    assert np.abs(pairs.vectors.conj().T @ pairs.vectors - np.eye(40)).max() < 1e-10
    pairs = window_bands(matrix, 316, 328, method=method, verify=True)
    assert np.abs(pairs.energies - dense[316:328]).max() < 1e-8


def test_missed_bands_are_noticed(big):
    matrix = big.at_k([0.1, 0.2, 0])
    pairs = window_bands(matrix, 300, 308, method="superlu")
    pairs.energies = np.delete(pairs.energies, 3)
    with pytest.raises(ValueError, match="bands were missed"):
        verify_window(matrix, pairs, "superlu")


@pytest.mark.parametrize("method", SPARSE)
def test_shift_on_an_eigenvalue_is_moved(method):
    h = make_supercell(graphene_model(), (12, 12, 1))
    matrix = h.at_k([0, 0, 0])
    _, shift = factorise(matrix, 0.3, method)
    assert 0 < abs(shift - 0.3) < 0.01
    assert np.abs(nearest_bands(matrix, 0.3, 4, method).energies - 0.3).max() < 1e-9
    with pytest.raises(SingularShift, match="0.3 eV"):
        BACKENDS[method](matrix, 0.3)


def test_window_is_found_from_any_guess(big):
    k = np.array([0.4, 0.1, 0])
    matrix = big.at_k(k)
    dense = np.linalg.eigvalsh(matrix.toarray())
    for guess in (None, dense[0] - 3, dense[-1] + 3, dense[500]):
        pairs = window_bands(matrix, 100, 108, guess, method="superlu")
        assert pairs.first == 100 and np.abs(pairs.energies - dense[100:108]).max() < 1e-8


def test_a_window_is_found_with_a_second_factorisation(big, monkeypatch):
    """A shift 80 bands off: the inertia says by how many, the bands around it how far that is in energy."""
    matrix = big.at_k(np.array([0.4, 0.1, 0]))
    dense = np.linalg.eigvalsh(matrix.toarray())
    made = []
    monkeypatch.setattr(eigensolvers, "factorise", lambda *args: made.append(args[1]) or factorise(*args))
    for guess in (dense[220], dense[400]):
        pairs = window_bands(matrix, 300, 308, guess, method="superlu")
        assert np.abs(pairs.energies - dense[300:308]).max() < 1e-8
    assert len(made) == 4


def test_filling_of_graphene_and_of_an_insulator():
    h = graphene_model()
    assert h.fermi_level() == pytest.approx(0.3, abs=1e-9) and h.band_gap() < 1e-9
    # One more electron in 144 cells: the Fermi level of the cone, N = k_F^2 A / pi with E = hbar v k.
    assert random_model().n_occupied == 7
    big = make_supercell(random_model(), (6, 4, 1))
    kpts = np.array([[0, 0, 0], [0.5, 0.2, 0]])
    dense = big.eigenvalues(kpts, method="dense")
    occupied = big.n_occupied
    top, bottom = dense[:, occupied - 1].max(), dense[:, occupied].min()
    if bottom > top:
        assert big.fermi_level(kpts) == pytest.approx((top + bottom) / 2)
    else:
        below = (dense < big.fermi_level(kpts) - 1e-9).sum() / 2
        assert occupied - 1 <= below <= occupied


def test_real_matrices_at_time_reversal_points_stay_real(big):
    from ase_wander.electronic.solvers.onepoint import matrix_at

    assert not np.iscomplexobj(matrix_at(big, np.array([0.5, 0, 0])).data)
    assert np.iscomplexobj(matrix_at(big, np.array([0.5, 0.1, 0])).data)


def test_the_solver_fits_the_matrix():
    """Small: LAPACK. Large and sparse: a sparse factor. Large and full: a dense one, where bands must be counted."""

    def choose(n, n_bands, fill, counted=True):
        return choose_method(n, n_bands, counted=counted, fill=lambda: fill)

    sparse = "pardiso" if pardiso.available() else "superlu"
    assert choose(500, 8, 0.1) == "dense" and choose(5000, 3000, 0.1) == "dense"
    assert choose(1700, 40, 0.9) == "dense" and choose(1700, 8, 0.9) == "ldl"
    assert choose(5000, 8, 0.1) == sparse
    assert choose(5000, 8, 0.9) == "ldl"
    assert choose(5000, 8, 0.9, counted=False) == ("pardiso" if pardiso.available() else "ldl")


def test_a_full_krylov_space_is_continued():
    """Twelve-fold levels and room for 90 vectors: several spaces, each beside what the others found."""
    levels = np.repeat(np.arange(-20.0, 20.0) + 0.3, 12)
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((480, 480)))
    inverse = (q / levels) @ q.T
    theta, vectors = invert_lanczos(lambda b: inverse @ b, 480, float, both_sides(12, 24), block=4, max_dimension=90)
    assert np.sort(1 / theta) == pytest.approx(np.sort(np.repeat([-0.7, 0.3, 1.3], 12)), abs=1e-8)
    assert np.abs(vectors.T @ vectors - np.eye(36)).max() < 1e-10
