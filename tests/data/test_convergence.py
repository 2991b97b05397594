"""Convergence of one structure: rows shared, resumed, refused; the table, the recommendation, the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import graphene

from ase_wander import cli
from ase_wander.data.dft import convergence
from ase_wander.data.dft.convergence import band_gap, differences, plot_convergence, recommended, run_series, series
from ase_wander.data.dft.labels import Labels
from ase_wander.data.dft.recipe import Recipe

RECIPE = Recipe.from_dict({"shells": {"C": ["pz"]}, "cutoff": 400.0, "length": 14.0, "window": [-2.0, 2.0]})

CONFIG = """
name: settling
recipe: {cutoff: 400.0, length: 14.0, shells: {C: [pz]}, bands: {C: 6}, converged_bands: {C: 5}, window: [-3.0, 2.0]}
sampling:
  material: graphene
  lattice_constant: 2.46
  kinds:
    - {prefix: p1, count: 2, gap: [[3.3, 0], [3.4, 1]]}
"""


@pytest.fixture
def engine(monkeypatch):
    """Stands in for DFT: every quantity settles as 1/cutoff^2 and 1/n^2; counts its calls."""
    calls = []

    def compute(atoms, recipe, log=None):
        calls.append((recipe.cutoff, recipe.grid(atoms)[0]))
        if recipe.cutoff == 666:
            raise ValueError("the self-consistent cycle\n did not converge")
        error = (200 / recipe.cutoff) ** 4 + 1 / recipe.grid(atoms)[0] ** 4
        return Labels(
            atoms=atoms,
            energy=len(atoms) * (-9 + error),
            forces=error * np.ones((len(atoms), 3)),
            stress=error * np.ones(6) * 0.01,
            efermi=-4.5 + error,
            kpts=np.zeros((1, 3)),
            kweights=np.ones(1),
            grid=np.array(recipe.grid(atoms)),
            eigenvalues=np.array([[-6.0, -3.0]]),
            amplitudes=np.ones((1, 2, 2), complex),
            vacuum_top=0.0,
            vacuum_bottom=0.0,
            seconds=2.0,
        )

    monkeypatch.setattr(convergence, "compute", compute)
    return calls


def atoms():
    a = graphene(a=2.46, vacuum=6.0)
    a.pbc = (True, True, False)
    return a


def test_rows_of_both_series():
    """Cutoffs ascend on the recipe's grid; lengths that give the same grid count once."""
    rows = series(RECIPE, atoms(), [500, 300, 400], [14.0, 7.0, 14.5])
    assert [(r.series, r.recipe.cutoff, r.grid(atoms())) for r in rows] == [
        ("cutoff", 300, (6, 6)),
        ("cutoff", 400, (6, 6)),
        ("cutoff", 500, (6, 6)),
        ("k-grid", 400, (3, 3)),
        ("k-grid", 400, (6, 6)),
    ]


def test_series_settle_and_the_cheapest_row_is_recommended(engine, tmp_path):
    rows = run_series(atoms(), series(RECIPE, atoms(), [300, 600, 1200, 1500], [7, 20, 40, 60]), tmp_path)
    d = differences(rows)
    for name in ("cutoff", "k-grid"):
        energies = [x["energy"] for row, x in zip(rows, d) if row.series == name]
        assert energies == sorted(energies, reverse=True) and energies[-1] == 0
    assert d[0]["force"] == pytest.approx((200 / 300) ** 4 - (200 / 1500) ** 4)
    assert d[0]["stress"] == pytest.approx(d[0]["force"] * 0.01 * 160.21766, rel=1e-6)
    best = recommended(rows, "cutoff")
    assert best.recipe.cutoff == 1200 and recommended(rows, "k-grid").grid(atoms()) == (9, 9)
    assert recommended(rows[:2], "cutoff") is None  # only the finest is left


def test_a_row_is_computed_once(engine, tmp_path):
    """The series share a calculation, a second run repeats none, another structure or recipe repeats all."""
    rows = series(RECIPE, atoms(), [300, 400], [7, 14])
    run_series(atoms(), rows, tmp_path)
    assert engine == [(300, 6), (400, 6), (400, 3)]
    run_series(atoms(), rows, tmp_path)
    assert len(engine) == 3
    (tmp_path / "400eV_3x3.npz").unlink()
    run_series(atoms(), rows, tmp_path)
    assert engine[3:] == [(400, 3)]
    moved = atoms()
    moved.positions[0, 0] += 0.1
    run_series(moved, rows, tmp_path)
    assert len(engine) == 7
    run_series(moved, series(replace(RECIPE, smearing=0.1), atoms(), [300, 400]), tmp_path)
    assert len(engine) == 9


def test_a_failed_row_does_not_stop_the_others(engine, tmp_path):
    rows = run_series(atoms(), series(RECIPE, atoms(), [400, 666, 800]), tmp_path)
    assert [row.labels is None for row in rows] == [False, True, False]
    assert rows[1].reason == "the self-consistent cycle did not converge" and differences(rows)[1] is None


@pytest.mark.parametrize(
    "cutoffs, lengths, message",
    [
        ([], [], "neither cutoffs nor lengths"),
        ([300], [], "a single cutoff"),
        ([], [7, 7.1], "a single k-grid"),
        ([300, -1], [], "cutoff -1 is not a positive number"),
    ],
)
def test_nothing_to_compare_is_refused(cutoffs, lengths, message):
    with pytest.raises(ValueError, match=message):
        series(RECIPE, atoms(), cutoffs, lengths)


def test_gap_on_the_grid(engine, tmp_path):
    labels = run_series(atoms(), series(RECIPE, atoms(), [300, 400]), tmp_path)[0].labels
    assert band_gap(labels) == pytest.approx(3.0)
    assert band_gap(replace(labels, efermi=-7.0)) == 0.0
    crossing = replace(labels, eigenvalues=np.array([[-6.0, -3.0], [-4.0, -2.0]]))
    assert band_gap(crossing) == 0.0


def test_command(engine, tmp_path, capsys):
    config, out = tmp_path / "data.yaml", tmp_path / "out"
    config.write_text(CONFIG)
    command = ["data", "converge", str(config), "--out", str(out), "--cutoffs", "300", "400", "1000"]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "C4 p1_0000" in text and "+195.93" in text and "cutoff: nothing below the finest" in text
    assert max(len(line) for line in text.splitlines() if "─" in line) <= 80 and "…" not in text
    assert {p.name for p in out.iterdir()} == {
        "300eV_6x6.npz",
        "400eV_6x6.npz",
        "1000eV_6x6.npz",
        "convergence.json",
        "convergence.png",
    }
    assert json.loads((out / "convergence.json").read_text())[0]["differences"]["energy"] == pytest.approx(
        (2 / 3) ** 4 - 0.2**4
    )
    assert cli.main([*command, "666"]) == 1  # a failed row, told in words
    text = capsys.readouterr().out
    assert "666 eV, 6x6: the self-consistent cycle did not converge" in text and "failed" in text


def test_command_refuses_in_one_line(tmp_path, capsys):
    config = tmp_path / "data.yaml"
    config.write_text(CONFIG)
    for extra, message in (
        (["--cutoffs", "300"], "a single cutoff"),
        (["--cutoffs", "300", "400", "--only", "p9"], "no configuration 'p9'"),
        (["--cutoffs", "300", "x"], "'x' is not a positive number"),
    ):
        try:
            code = cli.main(["data", "converge", str(config), "--out", str(tmp_path / "out"), *extra])
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err.strip()
        assert code == 2 and message in error and "\n" not in error


def test_figure_of_one_series(engine, tmp_path):
    rows = run_series(atoms(), series(RECIPE, atoms(), [300, 400, 500]), tmp_path)
    (panel,) = plot_convergence(rows, atoms()).axes
    assert [t.get_text() for t in panel.get_xticklabels()] == ["300", "400"] and panel.get_yscale() == "log"
