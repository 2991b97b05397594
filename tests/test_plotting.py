"""Figures show what they are given: gap, k-points, cell, periodicity."""

import numpy as np
import pytest
from ase import Atoms
from ase.spectrum.band_structure import BandStructure
from matplotlib.colors import to_rgb

from ase_wander.plotting import (
    band_edges,
    plot_bands,
    plot_corrugation,
    plot_density,
    plot_dos,
    plot_fat_bands,
    plot_parity,
    plot_spin_texture,
    plot_unfolded,
    save_figure,
    with_subscripts,
)
from ase_wander.plotting.corrugation import _tile


@pytest.fixture
def sheet():
    """A hexagonal cell of 10 Å."""
    return Atoms("H", cell=[[10, 0, 0], [-5, 75**0.5, 0], [0, 0, 20]], pbc=(True, True, False))


def two_bands(sheet, gap=1.0):
    """Graphene with a mass: E = ± sqrt(|f|^2 + gap^2/4) about -5 eV; the gap is direct, at K."""
    path = sheet.cell.bandpath("GMKG", npoints=61, pbc=sheet.pbc)
    k = path.kpts
    f = 1 + np.exp(2j * np.pi * k[:, 0]) + np.exp(2j * np.pi * (k[:, 0] + k[:, 1]))
    e = np.sqrt(np.abs(f) ** 2 + gap**2 / 4)
    return BandStructure(path, -5 + np.stack([-e, e], axis=1)[None], reference=-5.0)


def test_band_edges_of_massive_dirac_fermions(sheet):
    bs = two_bands(sheet, gap=0.8)
    edges = band_edges(bs)
    assert edges["cbm"] - edges["vbm"] == pytest.approx(0.8) and edges["k_vbm"] == edges["k_cbm"]
    np.testing.assert_allclose(bs.path.kpts[edges["k_vbm"]], [1 / 3, 1 / 3, 0])
    assert band_edges(bs, fermi=-6.0) is None and band_edges(bs, fermi=0.0) is None


@pytest.mark.parametrize("gap", [1.0, 0.1])
def test_the_gap_is_written_on_the_bands(sheet, gap, tmp_path):
    ax = plot_bands(two_bands(sheet, gap))
    words = " ".join([text.get_text() for text in ax.texts] + [ax.get_title(loc="right")]).replace("\n", " ")
    assert f"gap {gap:.3f} eV" in words and "direct" in words and "K" in words
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Γ", "M", "K", "Γ"]
    save_figure(ax, tmp_path / "bands.png")
    assert (tmp_path / "bands.png").stat().st_size > 10_000


def test_energies_from_vacuum_are_not_shifted(sheet):
    ax = plot_bands(two_bands(sheet), zero="vacuum", window=(-9, -1))
    drawn = np.concatenate([line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 61])
    assert drawn.min() == pytest.approx(-5 - np.sqrt(9.25)) and "vac" in ax.get_ylabel()


def test_a_metal_has_no_gap_mark(sheet):
    ax = plot_bands(two_bands(sheet), fermi=-6.0)
    assert not any("gap" in text.get_text() for text in ax.texts) and "F" in ax.get_ylabel()


def test_copies_of_the_cell_repeat_the_map(sheet):
    """A periodic function tiled over the plane is that function at every copy."""
    rng = np.random.default_rng(0)
    points, cell = rng.uniform(-30, 30, (20, 2)), sheet.cell.array[:2, :2]
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    centre = 0.5 * (cell[0] + cell[1])
    tiled, values = _tile(points, np.cos(points @ reciprocal[0]), cell, 25.0)
    np.testing.assert_allclose(np.cos((tiled + centre) @ reciprocal[0]), values, atol=1e-9)
    assert np.linalg.norm(tiled, axis=1).max() > 25 and len(tiled) > 20 * 25


def test_corrugation_shows_the_numbers(sheet):
    n = np.stack(np.meshgrid(np.arange(6), np.arange(6)), -1).reshape(-1, 2) / 6
    distance = 6.3 + 0.1 * np.cos(2 * np.pi * n[:, 0])
    ax = plot_corrugation(sheet, n @ sheet.cell.array[:2, :2], distance)
    picture = np.asarray(ax.images[0].get_array())
    assert np.isfinite(picture).all() and ax.get_aspect() == 1
    np.testing.assert_allclose([picture.min(), picture.max()], [6.2, 6.4], atol=0.01)
    assert "Å" in ax.figure.axes[-1].get_ylabel()


def test_parity_prints_error_and_r2():
    x = np.linspace(-1, 1, 101)
    (text,) = plot_parity(x, x + 0.01, quantity="force", unit="eV/Å").texts
    assert "MAE = 0.01 eV/Å" in text.get_text() and "0.99971" in text.get_text()
    assert len(plot_parity(np.repeat(x, 60), np.repeat(x, 60), quantity="H", unit="eV").figure.axes) == 2
    with pytest.raises(ValueError, match="101 reference values against 3"):
        plot_parity(x, x[:3], quantity="force", unit="eV/Å")


def test_formula_subscripts():
    assert with_subscripts("MoS2, 13.17°") == "MoS$_{2}$, 13.17°"


def test_empty_regions_without_their_bands_are_hatched(sheet):
    """Where bands that were not computed may lie, the figure says so; within them it does not."""
    bs = two_bands(sheet)
    bs.complete = (-6.0, -4.0)
    words = lambda ax: [text.get_text() for text in ax.texts]
    assert words(plot_bands(bs, window=(-9, 9), zero="vacuum")).count("not all bands computed") == 2
    bs.complete = (-np.inf, np.inf)
    assert "not all bands computed" not in words(plot_bands(bs, window=(-9, 9), zero="vacuum"))


def test_a_metal_off_the_path_has_no_gap(sheet):
    """A semimetal's bands along a path that misses the points where they touch."""
    bs = two_bands(sheet)
    bs.is_metal = True
    assert band_edges(bs) is None
    assert not any("gap" in text.get_text() for text in plot_bands(bs).texts)


def test_colours_of_the_corrugation_end_at_the_distances_of_the_table(sheet):
    rng = np.random.default_rng(3)
    positions = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2) / 5 @ sheet.cell.array[:2, :2]
    distance = 6.3 + 0.1 * rng.random(25)
    limits = plot_corrugation(sheet, positions, distance).images[0].get_clim()
    assert limits == pytest.approx((distance.min(), distance.max()), abs=1e-9)


ENERGIES = np.linspace(-1, 1, 122).reshape(61, 2)
HALF = np.full((61, 2), 0.5)


def test_colours_of_fat_bands_are_those_of_their_groups(sheet):
    """A state on one group has its colour; half and half is the mean of both; thin where it lives elsewhere."""
    path = two_bands(sheet).path
    weights = {"a": np.stack([np.ones(61), HALF[:, 0]], axis=1), "b": np.stack([np.zeros(61), HALF[:, 0]], axis=1)}
    ax = plot_fat_bands(path, ENERGIES, weights)
    first, second = (c.get_colors()[0][:3] for c in ax.collections)
    handles = [np.array(to_rgb(line.get_color())) for line in ax.get_legend().get_lines()]
    np.testing.assert_allclose(first, handles[0])
    np.testing.assert_allclose(second, (handles[0] + handles[1]) / 2)
    thin = plot_fat_bands(path, ENERGIES, {"a": 0 * HALF}).collections[0].get_linewidths()
    assert max(thin) < min(ax.collections[0].get_linewidths())


def test_dots_of_unfolded_bands_have_the_area_of_their_weights(sheet):
    path = two_bands(sheet).path
    weights = np.stack([np.ones(61), np.full(61, 0.25)], axis=1)
    sizes = plot_unfolded(path, ENERGIES, weights).collections[0].get_sizes().reshape(61, 2)
    np.testing.assert_allclose(sizes[:, 0], 4 * sizes[:, 1])
    assert not len(plot_unfolded(path, ENERGIES, 0 * weights).collections[0].get_offsets())


def test_a_density_has_the_period_of_the_cell(sheet):
    """A lattice vector further the colour is the same; the middle of the map is the origin."""
    cell = sheet.cell.array[:2, :2]
    s = np.stack(np.meshgrid(np.arange(60) / 60, np.arange(60) / 60, indexing="ij"), axis=-1)
    density = 2 + np.cos(2 * np.pi * s).sum(axis=-1)
    image = plot_density(cell, density, label="x", width=40).images[0].get_array()
    assert image.shape == (420, 420) and image[209:211, 209:211].min() == pytest.approx(4, abs=0.01)
    step = 419 / 40 * 10  # pixels of the first lattice vector, along x
    np.testing.assert_allclose(image[:, : 420 - 105], image[:, 105:], atol=0.1 + abs(step - 105) * 0.1)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda p: plot_fat_bands("GMKG", ENERGIES, {"a": HALF}), "takes the BandPath"),
        (lambda p: plot_fat_bands(p, ENERGIES[:3], {"a": HALF}), "the path has 61 k-points"),
        (lambda p: plot_fat_bands(p, ENERGIES * np.nan, {"a": HALF}), "not all finite"),
        (lambda p: plot_fat_bands(p, ENERGIES, HALF), "map names of groups"),
        (lambda p: plot_fat_bands(p, ENERGIES, {}), "0 groups"),
        (lambda p: plot_fat_bands(p, ENERGIES, {str(k): HALF for k in range(7)}), "7 groups"),
        (lambda p: plot_fat_bands(p, ENERGIES, {"a": HALF[:3]}), "a: shape"),
        (lambda p: plot_fat_bands(p, ENERGIES, {"a": HALF}, zero="vbm"), "here it is an energy"),
        (lambda p: plot_unfolded(p, ENERGIES, 3 * HALF), "shares lie between 0 and 1"),
        (lambda p: plot_unfolded(p, ENERGIES, HALF, window=(1, 0)), "the lower one first"),
        (lambda p: plot_spin_texture(p, ENERGIES, HALF), "n_k, n_bands, 3"),
        (lambda p: plot_spin_texture(p, ENERGIES, np.zeros((61, 2, 3)), "z"), "0, 1 or 2"),
        (lambda p: plot_density(np.eye(3), HALF, label="x"), "two vectors"),
        (lambda p: plot_density(np.eye(2), HALF[:, :1], label="x"), "grid of finite numbers"),
        (lambda p: plot_density(np.eye(2), HALF, label="x", width=-1), "width is -1"),
        (lambda p: plot_dos(5), "no density of states"),
    ],
)
def test_what_cannot_be_drawn(sheet, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(two_bands(sheet).path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window": (2, -2)}, "the lower one first"),
        ({"window": (np.nan, 1)}, "two finite energies"),
        ({"window": 5}, "two finite energies"),
        ({"zero": "VBM"}, "'vbm', 'vacuum' or"),
        ({"zero": np.nan}, "'vbm', 'vacuum' or"),
        ({"fermi": np.nan}, "fermi is nan"),
    ],
)
def test_axes_that_are_none(sheet, options, message):
    with pytest.raises(ValueError, match=message):
        plot_bands(two_bands(sheet), **options)
