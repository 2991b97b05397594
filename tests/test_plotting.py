"""Figures show what they are given: gap, k-points, cell, periodicity."""

import numpy as np
import pytest
from ase import Atoms
from ase.spectrum.band_structure import BandStructure

from ase_wander.plotting import (
    band_edges,
    plot_bands,
    plot_corrugation,
    plot_parity,
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
