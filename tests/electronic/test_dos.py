"""Density of states: sum rules, and the kernel polynomials against exact diagonalisation."""

import numpy as np
import pytest

from ase_wander.electronic.filling import monkhorst_pack
from ase_wander.electronic.properties.dos import (
    BlochOperator,
    density_of_states,
    local_density_of_states,
    orbital_groups,
)
from ase_wander.electronic.solvers import chebyshev
from ase_wander.electronic.supercell import make_supercell
from tests.electronic_helpers import graphene_model, random_model


def integral(dos):
    return np.trapezoid(dos.get_weights(), dos.get_energies())


@pytest.mark.parametrize("method", ["exact", "kpm"])
def test_integral_counts_the_states(method):
    h = random_model(complex_=True)
    dos = density_of_states(h, method=method, kpts=[[0.1, 0.2, 0], [0.4, 0, 0]])
    assert integral(dos) == pytest.approx(2 * h.n_orbitals, rel=2e-3)


@pytest.mark.parametrize("method", ["exact", "kpm"])
@pytest.mark.parametrize("project", ["layer", "species", "atom", "shell"])
def test_projections(method, project):
    """Each part holds its group's states; exact parts add up to the total, kernel ones are right within error bars."""
    h = random_model()
    h.atoms.set_array("layer", np.array([0, 0, 1, 1]))
    k = [[0.1, 0.2, 0]]
    parts = density_of_states(h, method=method, project=project, kpts=k, width=0.2)
    groups = orbital_groups(h, project)
    assert [part.info["label"] for part in parts] == list(groups) and len(groups) > 1
    grid = parts[0].get_energies()
    for number, (part, index) in enumerate(zip(parts, groups.values())):
        assert integral(part) == pytest.approx(2 * len(index), rel=2e-2)
        if method == "kpm":
            local = 2 * local_density_of_states(h, index, grid, k[0], width=0.2).sum(axis=0)
            assert np.sqrt(np.mean(((part.get_weights() - local) / (parts.error[number] + 1e-3)) ** 2)) < 1.8
    if method == "exact":
        total = density_of_states(h, grid, method="exact", kpts=k, width=0.2)
        assert np.abs(sum(part.get_weights() for part in parts) - total.get_weights()).max() < 1e-10


def test_kernel_polynomials_against_exact_moments():
    """Moments of a full set of unit vectors are the exact ones: tr T_n(x)."""
    h = random_model(complex_=True)
    k = np.array([0.1, 0.3, 0])
    levels = h.eigenvalues(k)[0]
    low, high = chebyshev.spectral_bounds(BlochOperator(h, k))
    assert low < levels[0] and levels[-1] < high
    centre, half = (high + low) / 2, (high - low) / 2
    moments = chebyshev.chebyshev_moments(BlochOperator(h, k), np.eye(h.n_orbitals, dtype=complex), 41, centre, half)
    exact = np.cos(np.multiply.outer(np.arange(41), np.arccos((levels - centre) / half))).sum(axis=1)
    assert np.abs(moments.sum(axis=1) - exact).max() < 1e-10
    x = (levels[7] + levels[8]) / 2
    long = chebyshev.chebyshev_moments(BlochOperator(h, k), np.eye(h.n_orbitals, dtype=complex), 4000, centre, half)
    count = chebyshev.integrated_count(long.sum(axis=1), np.array([(x - centre) / half]))
    assert count[0] == pytest.approx(8, abs=0.1)


def test_error_bars_cover_the_truth():
    """Stochastic minus exact trace, in units of the error bar, has unit variance."""
    h = make_supercell(random_model(), (4, 4, 1))
    grid = np.linspace(-4, 4, 9)
    k = np.array([[0.1, 0.2, 0]])
    exact = local_density_of_states(h, np.arange(h.n_orbitals), grid, k[0], width=0.3).sum(axis=0) * 2
    scores = []
    for seed in range(6):
        dos = density_of_states(h, grid, kpts=k, method="kpm", width=0.3, n_vectors=24, seed=seed)
        scores.append((dos.get_weights() - exact) / dos.error)
    assert 0.5 < np.sqrt(np.mean(np.square(scores))) < 1.7


def test_graphene_density_is_linear_at_the_dirac_point():
    """g(E) = 2 A |E| / (pi (hbar v)^2), hbar v = (sqrt(3)/2) a t, both spins and valleys."""
    h = graphene_model(onsite=0.0)
    kpts, weights = monkhorst_pack((100, 100, 1))
    grid = np.array([-0.5, 0.5])
    dos = density_of_states(h, grid, kpts=kpts, weights=weights, width=0.12).get_weights()
    area = 2.46**2 * np.sqrt(3) / 2
    assert dos == pytest.approx(2 * area * np.abs(grid) / (np.pi * (np.sqrt(3) / 2 * 2.46 * 2.7) ** 2), rel=0.08)


def test_bad_input_is_named():
    h = graphene_model()
    with pytest.raises(ValueError, match="width"):
        density_of_states(h, width=0)
    with pytest.raises(ValueError, match="method"):
        density_of_states(h, method="fast")
    with pytest.raises(ValueError, match="evenly spaced"):
        density_of_states(h, [0, 1, 3])
    with pytest.raises(ValueError, match="project"):
        density_of_states(h, project="orbit")
