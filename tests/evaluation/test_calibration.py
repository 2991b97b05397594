"""Distances and calibration of the uncertainty: size, power, unlike surroundings, cross validation."""

import numpy as np
import pytest

from ase_wander.evaluation.uncertainty import (
    UNLIKE,
    area_under_curve,
    calibrate,
    cross_validated,
    observe,
    predicted,
    scores,
)
from ase_wander.nn.uncertainty import deviation, features


def test_distance_is_the_variance_of_a_linear_layer(model, configurations):
    """D^2 = N phi (Phi^T Phi)^-1 phi, phi = (1, x): what a least-squares fit to the training atoms does not know, per
    unit of noise,
    in the directions that they span."""
    training = [c for c in configurations if c.name not in ("ml_0001", "p1_0040")]
    found = [model.environment(c.atoms, c.layers) for c in training]
    species, x = np.concatenate([g.species for g, _ in found]), np.concatenate([features(e) for _, e in found])
    for z in (0, 1):
        own = (x[species == z] - model.trust.mean[z]) @ model.trust.whiten[z]
        values, directions = np.linalg.eigh(np.cov(x[species == z].T, bias=True))
        spanned = values > 1e-5 * values[-1]  # eigenvalues below the floor are lifted to it
        phi = np.column_stack([np.ones((species == z).sum()), x[species == z] @ directions[:, spanned]])
        leverage = np.einsum("nf,fg,ng->n", phi, np.linalg.pinv(phi.T @ phi, rcond=1e-12, hermitian=True), phi)
        assert np.allclose(1 + (own[:, spanned] ** 2).sum(1), len(phi) * leverage, rtol=1e-3)


def test_calibration_finds_size_and_power():
    rng = np.random.default_rng(0)
    distance, species = rng.uniform(2, 60, 6000), rng.integers(0, 2, 6000)
    sigma = np.array([0.002, 0.005])[species] * distance**1.3
    square = (sigma[:, None] * rng.normal(size=(6000, 3))) ** 2
    found = calibrate(distance, square.mean(1), species, 3)
    assert np.allclose(found[[0, 1, 3]], [np.log(0.002), np.log(0.005), 1.3], atol=0.05)
    assert found[2] == pytest.approx(found[:2].mean(), abs=0.1)  # a species that was not seen


def test_calibration_finds_what_unlike_surroundings_do():
    """Errors that are g^t times as large; where there were none of a species, ln g keeps its prior."""
    rng = np.random.default_rng(2)
    n, g = 8000, np.array([2.5, 1.3])
    distance, species, unlike = rng.uniform(2, 60, n), rng.integers(0, 2, n), rng.uniform(0, 0.5, n)
    unlike[rng.random(n) < 0.3] = 0.0
    sigma = 0.003 * g[species] ** unlike * distance**1.2
    square = ((sigma[:, None] * rng.normal(size=(n, 3))) ** 2).mean(1)
    found = calibrate(distance, square, species, 3, unlike)
    assert np.allclose(found[[0, 1, 6]], [np.log(0.003)] * 2 + [1.2], atol=0.05)
    assert np.allclose(found[3:5], np.log(g), atol=0.1) and found[5] == pytest.approx(UNLIKE, abs=1e-3)
    assert np.allclose(deviation(found, distance, species, unlike), sigma, rtol=0.1)
    single = calibrate(
        distance[unlike == 0], square[unlike == 0], species[unlike == 0], 3, np.zeros((unlike == 0).sum())
    )
    assert np.allclose(single[:3], found[:3], atol=0.1) and np.allclose(single[3:6], UNLIKE)


def test_scores_of_errors_that_are_as_predicted():
    rng = np.random.default_rng(1)
    sigma = [10 ** rng.uniform(-3, -1, 50) for _ in range(20)]
    rows = [{"forces": s[:, None] * rng.normal(size=(50, 3)), "energy": 0.0} for s in sigma]
    found = scores(rows, {"forces": sigma, "hamiltonian": [], "energy": []})["forces"]
    assert found["within_1"] == pytest.approx(0.683, abs=0.03) and found["within_2"] == pytest.approx(0.954, abs=0.02)
    assert found["auc"] > 0.95 and found["rank"] > 0.9
    assert area_under_curve(np.array([1.0, 2, 3, 3]), np.array([False, True, False, True])) == pytest.approx(2.5 / 4)
    assert area_under_curve(np.ones(4), np.zeros(4, bool)) is None


def test_each_configuration_is_judged_by_the_others(model, configurations):
    rows = [observe(model, c) for c in configurations]
    inside, outside = predicted(rows, model.trust.arrays()), cross_validated(rows, 2)
    assert [len(s) for s in outside["forces"]] == [len(c.atoms) for c in configurations] and len(outside["energy"]) == 4
    rows[0]["forces"] = 100 * rows[0]["forces"]  # its own errors say nothing of its deviations
    again = cross_validated(rows, 2)
    assert np.allclose(again["forces"][0], outside["forces"][0]) and not np.allclose(
        again["forces"][1], outside["forces"][1]
    )
    assert not np.allclose(inside["forces"][0], outside["forces"][0], rtol=1e-6)
