"""The manifold found from gaps and projectability; DFT against interpolated bands: number, figure, refusal."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ase_wander.data.dft.bands_check import BandError, check_bands, require_bands
from ase_wander.data.dft.bands_figure import points_on_path
from ase_wander.data.dft.recipe import Recipe
from ase_wander.data.wannier.manifold import find_manifold, frozen_window, isolated_groups, recipe_with_manifold
from ase_wander.electronic.kpath import resolve_path
from tests.wannier_toy import ENTANGLED, ISOLATED, SHELLS, Toy


def stacked(labels, below=2, above=2, gap=3.0):
    """Labels with flat bands of foreign character under and over those of the toy."""
    e, n_k, n = labels.eigenvalues, len(labels.kpts), labels.amplitudes.shape[2]
    low = e.min() - gap - np.arange(below)[::-1] + np.zeros((n_k, 1))
    high = e.max() + gap + np.arange(above) + np.zeros((n_k, 1))
    foreign = [1e-4 * np.ones((n_k, count, n), complex) for count in (below, above)]
    return replace(
        labels,
        eigenvalues=np.hstack([low, e, high]),
        amplitudes=np.concatenate([foreign[0], labels.amplitudes, foreign[1]], axis=1),
    )


def test_isolated_group_is_found_among_others():
    labels = stacked(Toy().labels())
    found = find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi)
    assert found.is_isolated and (found.first, found.last) == (2, 3)
    assert (found.below, found.above) == pytest.approx((3.0, 3.0)) and found.share == pytest.approx(1, abs=1e-6)
    assert "bands 2 to 3 are isolated: 3.00 eV below, 3.00 eV above" in str(found)


def test_the_projectors_decide_between_isolated_groups():
    """Two pairs of bands, both isolated: the pair that the orbitals reach, not the one they do not."""
    labels = stacked(Toy().labels(), below=2, above=1)
    groups = isolated_groups(labels.eigenvalues, labels.amplitudes, covered=0.0)
    assert [g.first for g in groups] == [0, 2]
    swapped = labels.amplitudes[:, [2, 3, 0, 1, 4]]
    assert find_manifold(labels.eigenvalues, swapped, labels.efermi).first == 0


def test_entangled_window_ends_at_foreign_states():
    """Bands that cross: the window reaches to the states that are not the orbitals', and holds no more states than
    orbitals.
    """
    toy = Toy(third=4.0)
    labels = toy.labels()
    e, shares = labels.eigenvalues - labels.efermi, labels.projectability()
    found = find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi)
    low, high = found.window
    inside = (e >= low) & (e <= high)
    assert not found.is_isolated and low < -1 and high > 1
    assert shares[inside].min() == pytest.approx(found.share) and found.share > 0.5 and inside.sum(axis=1).max() <= 2
    assert "entangled: frozen from" in str(found)
    recipe, again = recipe_with_manifold(Recipe.from_dict({"shells": SHELLS}), labels)
    assert recipe.window == pytest.approx((low, high), abs=0.01) and again == found
    assert recipe.fade["centre"] == pytest.approx(high + 3, abs=0.01)
    own = {"height": 30.0, "centre": 5.0, "width": 4.0, "gate": 0.1}
    assert (
        recipe_with_manifold(replace(recipe, window=None, fade=own), labels)[0].fade == own
    )  # weights of the user stay


def test_window_never_holds_more_states_than_orbitals():
    """Three bands that are each two thirds the orbitals': the edge farther from the Fermi level gives way."""
    e = np.array([[-2.0, -0.5, 1.5, 4.0]])
    amplitudes = np.array([[[1, 0], [0, 1], [1, 1], [0, 0]]], complex)
    found = frozen_window(np.vstack([e, e]), np.vstack([amplitudes, amplitudes]), 0.0)
    assert ((e > found.window[0]) & (e < found.window[1])).sum() == 2 and found.window[1] == pytest.approx(1.45)


def test_neither_isolated_nor_at_the_fermi_level():
    labels = stacked(Toy(third=7.0).labels(), above=0)
    crossing = np.linspace(-1, 1, len(labels.kpts))[:, None]  # a foreign band through the Fermi level
    labels = replace(
        labels,
        eigenvalues=np.hstack([labels.eigenvalues, crossing]),
        amplitudes=np.concatenate([labels.amplitudes, 1e-4 * np.ones((len(crossing), 1, 2))], axis=1),
    )
    order = np.argsort(labels.eigenvalues, axis=1)
    labels = replace(
        labels,
        eigenvalues=np.take_along_axis(labels.eigenvalues, order, 1),
        amplitudes=np.take_along_axis(labels.amplitudes, order[:, :, None], 1),
    )
    with pytest.raises(
        ValueError,
        match=r"no manifold found: no isolated group of 2 bands, and at the Fermi level band \d of k-point .* only 0 % "
        "the orbitals'",
    ):
        find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi)
    with pytest.raises(ValueError, match="1 bands cannot hold 2 Wannier functions: compute more bands"):
        find_manifold(labels.eigenvalues[:, :1], labels.amplitudes[:, :1], 0.0)


def test_recipe_without_manifold_finds_it():
    """Neither semicore nor window: the same H as with the number of bands given."""
    labels = stacked(Toy().labels())
    by_itself = labels.hamiltonian_file(Recipe.from_dict({"shells": SHELLS}))
    by_hand = labels.hamiltonian_file(Recipe.from_dict({"shells": SHELLS, "semicore": {"C": 1}}))
    assert np.array_equal(by_itself["block"], by_hand["block"])


@pytest.mark.parametrize("third, recipe", [(None, ISOLATED), (7.0, ENTANGLED)])
def test_bands_on_the_grid_are_exact_before_truncation(third, recipe):
    labels = Toy(third=third).labels()
    check = check_bands(labels, replace(recipe, extent=40.0))
    assert check.worst < 1e-5 and len(check.dft) >= 20
    short = check_bands(labels, replace(recipe, extent=2.0))  # second neighbours are cut
    assert short.rms > 0.1 and short.worst >= short.rms


def test_bands_off_the_grid_against_the_exact_ones():
    """Interpolation: hoppings end inside the k-grid's cell, so every point of the path is exact."""
    toy = Toy(n=8)
    path = resolve_path(toy.atoms, "GMKG", 25)
    exact, _ = toy.states(path.kpts)
    check = check_bands(toy.labels(), replace(ISOLATED, extent=40.0), kpts=path.kpts, eigenvalues=exact)
    assert check.worst < 1e-5 and len(check.dft) == 50


def test_refusal_names_the_number_and_the_place(tmp_path):
    labels, figure = Toy(third=7.0).labels(), tmp_path / "bands.png"
    with pytest.raises(BandError, match=r"meV rms.*max_band_error is 20 meV; worst at k = \[.*\], [+-]\d") as caught:
        require_bands(labels, replace(ENTANGLED, extent=2.0), figure=figure, title="toy")
    assert figure.stat().st_size > 10_000 and "states from -4.00 to 3.20 eV" in str(
        caught.value
    )  # the figure shows why
    assert require_bands(labels, replace(ENTANGLED, extent=40.0)).rms < 1e-5
    assert list(tmp_path.iterdir()) == [figure]


def test_nothing_to_compare_is_no_agreement():
    with pytest.raises(BandError, match="no state of the orbitals from 0.3 to 0.4 eV .* widen the window"):
        require_bands(Toy(third=7.0).labels(), replace(ENTANGLED, window=(0.3, 0.4)))


def test_refusal_says_where_bands_are_missing():
    """A k-point whose upper p_z band was not among those computed."""
    labels = Toy(third=7.0).labels()
    amplitudes = labels.amplitudes.copy()
    amplitudes[4, 1:] = 1e-3 * amplitudes[4, :1]
    with pytest.raises(BandError, match=r"the bands at k = \[.*\] do not reach all orbitals: compute more bands"):
        require_bands(replace(labels, amplitudes=amplitudes), replace(ENTANGLED, extent=3.0))


def test_grid_points_on_the_path():
    """6 x 6: four points on Γ-M, K, three on K-Γ; those at -k, and in other zones, are found too."""
    toy = Toy(n=6)
    path = resolve_path(toy.atoms, "GMKG", 200)
    x, index = points_on_path(path, toy.labels().kpts)
    axis, ticks, _ = path.get_linear_kpoint_axis()
    assert [np.sum((x >= a - 1e-6) & (x <= b + 1e-6)) for a, b in itertools.pairwise(ticks)] == [4, 2, 3]
    for at, k in zip(x, toy.labels().kpts[index]):  # same energies as the path's nearest point
        near = path.kpts[np.abs(axis - at).argmin()]
        assert np.linalg.eigvalsh(toy.hamiltonian(near)) == pytest.approx(
            np.linalg.eigvalsh(toy.hamiltonian(k)), abs=0.3
        )


@pytest.mark.slow
def test_manifold_of_molybdenum_disulphide():
    """Mo 4d and S 3p: bands 6 to 16 of a monolayer, more than 1 eV apart."""
    pytest.importorskip("gpaw", reason="NEEDS gpaw: pip install ase-wander[dft]")
    from ase.build import mx2

    from ase_wander.data.dft import gpaw as gpaw_dft

    atoms = mx2("MoS2", a=3.18, thickness=3.13, vacuum=4.0)
    atoms.pbc = (True, True, False)
    recipe = Recipe.from_dict(
        {
            "shells": {"Mo": [2], "S": [1]},
            "cutoff": 250.0,
            "length": 9.0,
            "dispersion": None,
            "bands": {"Mo": 9, "S": 6},
            "converged_bands": {"Mo": 8, "S": 5.5},
        }
    )
    labels = gpaw_dft.compute(atoms, recipe)
    found = find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi)
    assert (found.first, found.last) == (6, 16) and found.below > 4 and found.above > 1 and found.share > 0.8
    assert require_bands(labels, replace(recipe, extent=20.0)).worst < 1e-4
