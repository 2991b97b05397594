"""Spin of Bloch states: known spinors, Kramers pairs, orbitals of either spin in any order, figures."""

import numpy as np
import pytest

from ase_wander.electronic.orbitals import order_by_atom, spin_pairs
from ase_wander.electronic.properties.spin import plot_spin_texture, spin_expectation, spin_texture
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.transforms import reordered
from tests.electronic_helpers import COUPLING, bilayer, p_model


@pytest.fixture(scope="module")
def spinor():
    return with_spin_orbit(p_model(bilayer()), COUPLING)


def test_spinors_along_the_axes(spinor):
    """(1, 0), (1, 1) / sqrt2 and (1, i) / sqrt2 point along z, x and y."""
    states = np.zeros((24, 3), complex)
    states[4] = [1, 1 / np.sqrt(2), 1 / np.sqrt(2)]
    states[4 + 12] = [0, 1 / np.sqrt(2), 1j / np.sqrt(2)]
    expected = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert spin_expectation(spinor, states) == pytest.approx(np.array(expected), abs=1e-12)
    order = np.random.default_rng(0).permutation(24)
    assert spin_expectation(reordered(spinor, order), states[order]) == pytest.approx(np.array(expected), abs=1e-12)


def test_time_reversal_turns_the_spin_round(spinor):
    k = np.array([0.13, 0.29, 0])
    spins = [spin_texture(spinor, q)[1][0] for q in (k, -k)]
    assert spins[0] == pytest.approx(-spins[1], abs=1e-8) and np.abs(spins[0]).max() > 0.3


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (1, 2, -2)])
def test_kramers_pairs_are_split_along_the_axis(spinor, axis):
    """At Gamma all bands are pairs: opposite spins, along the axis as large as a state of the pair can have it."""
    energies, spins = spin_texture(spinor, [0, 0, 0], axis=axis)
    assert np.abs(np.diff(energies[0])[::2]).max() < 1e-9
    along = spins[0] @ np.array(axis) / np.linalg.norm(axis)
    assert along[::2] == pytest.approx(-along[1::2], abs=1e-6) and (along[1::2] >= -1e-12).all()
    assert spins[0, ::2] == pytest.approx(-spins[0, 1::2], abs=1e-6)


def test_a_path_and_its_figure(spinor):
    for path, npoints in (("GMKG", 20), ("GM,KG", 10), ("G", 1)):
        bs = spinor.band_structure(path, npoints, n_bands=6)
        energies, spins = spin_texture(spinor, bs.path, n_bands=6)
        assert energies == pytest.approx(bs.energies[0], abs=1e-9) and spins.shape == (len(bs.path.kpts), 6, 3)
        ax = plot_spin_texture(bs.path, energies, spins)
        points = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets())])
        assert len(points) == energies.size and ax.get_xticklabels()[0].get_text() == "Γ"
    assert spin_texture(spinor, "GMKG")[0].shape == (60, 24)


def test_pairs_of_orbitals(spinor):
    order = np.random.default_rng(3).permutation(24)
    orbitals = spinor.orbitals[order]
    pairs = spin_pairs(orbitals)
    up, down = orbitals[pairs[:, 0]], orbitals[pairs[:, 1]]
    assert (up["spin"] == 1).all() and (down["spin"] == -1).all()
    for name in ("atom", "l", "m"):
        assert np.array_equal(up[name], down[name])
    assert (np.diff(up["atom"]) >= 0).all()
    assert np.array_equal(order_by_atom(spinor.orbitals), np.arange(24))


def test_refusals(spinor):
    with pytest.raises(ValueError, match="add spin-orbit coupling"):
        spin_texture(p_model(bilayer()), [0, 0, 0])
    with pytest.raises(ValueError, match="axis"):
        spin_texture(spinor, [0, 0, 0], axis=(0, 0, 0))
    silent = spinor.orbitals.copy()
    silent["spin"] = 0
    with pytest.raises(ValueError, match="orbital 0 .atom 0, py. has no spin"):
        spin_texture(spinor.replace(orbitals=silent), [0, 0, 0])
    lonely = spinor.orbitals.copy()
    lonely["atom"][3] = 2
    with pytest.raises(ValueError, match="no partner of the other spin"):
        spin_pairs(lonely)
    with pytest.raises(ValueError, match="no orbital of this Hamiltonian couples"):
        with_spin_orbit(p_model(bilayer()), {"Mo": {2: 0.1}})
    twice = p_model(bilayer())
    twice.orbitals["m"][1] = -1
    with pytest.raises(ValueError, match="atom 0 .B. has one orbital of l = 1 twice"):
        with_spin_orbit(twice, COUPLING)
