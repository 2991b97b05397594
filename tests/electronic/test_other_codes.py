"""Quantities with a gauge in them against WannierBerri, PythTB and sisl: the same crystal, carried over in memory.

`pip install "ase_wander[interop]"` has these codes; without one of them its tests are skipped, and say so.
"""

import time

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ase_wander.electronic.properties.spin import spin_texture
from ase_wander.electronic.properties.topology import berry_curvature, berry_flux
from ase_wander.electronic.properties.velocities import HBAR, velocities
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.transforms import reordered
from tests.electronic_helpers import COUPLING, bilayer, p_model, random_model, setting

K = np.array([[0.13, 0.29, 0.0], [0.41, -0.17, 0.0]])


def spinor(name=None, shuffled=False):
    """The polar bilayer with spin-orbit coupling, its orbitals in the usual order or in none."""
    h = with_spin_orbit(p_model(bilayer() if name is None else setting(name)[0]), COUPLING)
    return reordered(h, np.random.default_rng(5).permutation(h.n_orbitals)) if shuffled else h


@pytest.fixture
def evaluate():
    pytest.importorskip("wannierberri", reason="NEEDS WANNIERBERRI: pip install wannierberri numba")
    pytest.importorskip("numba", reason="NEEDS NUMBA, which WannierBerri uses")
    from wannierberri.evaluate_k import evaluate_k

    def at(h, k):
        return evaluate_k(h.to_wannierberri(), k=k, quantities=["energy", "band_gradients", "berry_curvature", "spin"])

    return at


@pytest.mark.parametrize("name", [None, "in other cells", "any plane", "left-handed", "periodic and cut"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_wannierberri_has_the_same_velocities_curvatures_and_spins(evaluate, name, shuffled):
    h = spinor(name, shuffled)
    for k in K:
        theirs = evaluate(h, k)
        energies, velocity = velocities(h, k)
        assert theirs["energy"] == pytest.approx(energies[0], abs=1e-9)
        assert theirs["band_gradients"] == pytest.approx(velocity[0] * HBAR, abs=1e-7)
        assert theirs["spin"] == pytest.approx(spin_texture(h, k)[1][0], abs=1e-7)
        normal = np.cross(*h.atoms.cell.array[:2])
        curvature = theirs["berry_curvature"][: h.n_occupied].sum(axis=0) @ normal / np.linalg.norm(normal)
        # ours is about the upward normal, which a left-handed cell has on the other side
        sign = -1 if name == "left-handed" else 1
        assert sign * curvature == pytest.approx(berry_curvature(h, k, range(h.n_occupied))[0], rel=1e-6, abs=1e-7)


def test_wannierberri_refuses_what_does_not_fit(evaluate):
    with pytest.raises(ValueError, match="GB"):
        spinor().to_wannierberri(max_bytes=1e3)


def solved(model, k):
    """Energies of a pythtb model of either version, (n_orbitals,)."""
    solve = model.solve_ham if hasattr(model, "solve_ham") else model.solve_all
    return np.sort(np.ravel(solve(np.array([k]))))


def test_pythtb_has_the_same_curvature():
    pythtb = pytest.importorskip("pythtb", reason="NEEDS PYTHTB: pip install pythtb")
    h, shape, group = spinor(shuffled=True), (12, 12), np.arange(12)
    model = h.to_pythtb()
    assert solved(model, K[0, :2]) == pytest.approx(h.eigenvalues(K[0])[0], abs=1e-9)
    ours = berry_flux(h, group, shape)
    if hasattr(pythtb, "WFArray"):
        mesh = pythtb.Mesh(["k", "k"])
        mesh.build_grid(shape=(13, 13), gamma_centered=False, k_endpoints=True)
        states = pythtb.WFArray(model.lattice, mesh)
        states.solve_model(model)
        theirs = np.asarray(states.berry_flux(plane=(0, 1), state_idx=group.tolist()))
    else:
        states = pythtb.wf_array(model, [13, 13])
        states.solve_on_grid([0.0, 0.0])
        theirs = np.asarray(states.berry_flux(group.tolist(), individual_phases=True))
    assert theirs[: shape[0], : shape[1]] == pytest.approx(ours, abs=1e-9)


def test_pythtb_of_many_hoppings_is_made_in_moments():
    """Setting one hopping after the other took PythTB 1.8 their number squared: ten minutes for 42 atoms of MoS2."""
    pytest.importorskip("pythtb", reason="NEEDS PYTHTB: pip install pythtb")
    h = random_model(n_atoms=10, cutoff=7.0)
    assert sum(block.nnz for block in h.blocks) > 20_000
    start = time.process_time()
    model = h.to_pythtb()
    assert time.process_time() - start < 3.0
    assert solved(model, K[0, :2]) == pytest.approx(h.eigenvalues(K[0])[0], abs=1e-9)


@pytest.mark.parametrize("shuffled", [False, True])
def test_sisl_spinors_have_the_same_bands_and_spins(shuffled):
    sisl = pytest.importorskip("sisl", reason="NEEDS SISL: pip install sisl")
    h = spinor(shuffled=shuffled)
    other = h.to_sisl(spin="spin-orbit")
    assert other.spin.is_spinorbit and other.geometry.no == 12
    for k in K:
        state = other.eigenstate(k)
        assert state.eig == pytest.approx(h.eigenvalues(k)[0], abs=1e-9)
        moments = np.asarray(state.spin_moment())
        moments = moments.T if moments.shape[0] == 3 else moments
        assert moments == pytest.approx(spin_texture(h, k)[1][0], abs=1e-6)
    with pytest.raises(ValueError, match="no spin"):
        p_model(bilayer()).to_sisl(spin="spin-orbit")
    assert sisl.__version__


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("spin", [False, True])
def test_sisl_orbitals_sit_on_their_atoms(shuffled, spin):
    """Decoupled atoms of different on-site energies: the states of each lie on it alone."""
    pytest.importorskip("sisl", reason="NEEDS SISL: pip install sisl")
    h = p_model(bilayer())
    energy = np.arange(4.0)
    h = h.replace(
        cell_shifts=[[0, 0, 0]],
        blocks=[csr_matrix(np.diag(energy[h.orbitals["atom"]]))],
    )
    if spin:
        h = with_spin_orbit(h, {"B": {1: 0.0}})
    if shuffled:
        h = reordered(h, np.random.default_rng(0).permutation(h.n_orbitals))
    other = h.to_sisl()
    state = other.eigenstate([0, 0, 0])
    for a in range(4):
        mine = np.abs(state.eig - energy[a]) < 1e-6
        weight = np.abs(state.state[mine]) ** 2
        assert mine.sum() == (6 if spin else 3)
        assert weight[:, other.geometry.a2o(a, all=True)].sum(axis=1) == pytest.approx(np.ones(mine.sum()))
