"""The report of an evaluation: what counts as near the gap, per formula unit, one build of H, residuals, tables,
figures.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from ase_wander import load_model
from ase_wander.cli import main
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.filling import filling_level
from ase_wander.evaluation.evaluate import _common_formula, _different, evaluate, formula_units
from ase_wander.evaluation.figures import plot_bands_errors, write_figures
from ase_wander.evaluation.hamiltonian_errors import eigenvalue_errors
from ase_wander.evaluation.report import (
    learning_curve,
    shipped_learning_curve,
    symmetry_lines,
    table_lines,
    uncertainty_lines,
    write_report,
)
from ase_wander.evaluation.symmetry import hermiticity, symmetry_checks
from tests.mos2_small import DATA
from tests.reference_model import Reference


# ---------------------------------------------------------------- near the gap, or the Fermi level
def test_of_an_insulator_near_means_from_the_edges_of_its_gap(configurations):
    c = configurations[2]
    difference, weight, gap = eigenvalue_errors(Reference(c, 28.0, 0.02), c, window=0.5)
    e = c.load_blocks()["eigenvalues"]
    top, bottom = e[:, 13].max(), e[:, 14].min()
    assert bottom > top and len(difference) == ((e > top - 0.5) & (e < bottom + 0.5)).sum() == len(weight)
    assert np.average(difference, weights=weight) == pytest.approx(0.02, abs=2e-3) and abs(gap) < 0.01


@pytest.mark.parametrize("n_electrons, has_gap", [(20.0, True), (21.0, False)])
def test_of_a_metal_near_means_around_its_fermi_level(configurations, n_electrons, has_gap):
    """Holes in the valence bands: no gap to be wrong of with an odd number, one of zero width with an even one."""
    c = configurations[2]
    data = c.load_blocks()
    e, level = (
        data["eigenvalues"],
        filling_level(data["eigenvalues"], data["kweights"] / data["kweights"].sum(), n_electrons / 2),
    )
    difference, _, gap = eigenvalue_errors(Reference(c, n_electrons), c)
    assert len(difference) == (np.abs(e - level) < 1).sum() and np.abs(difference).max() < 0.03
    assert gap == 0 if has_gap else np.isnan(gap)


def test_levels_that_the_reference_did_not_reach_are_left_out(configurations, monkeypatch):
    c = configurations[2]
    whole = c.load_blocks()
    e = whole["eigenvalues"]
    cut = {**whole, "eigenvalues": np.minimum(e, np.sort(e, 1)[:, 14:15]), "kept": np.arange(e.shape[1]) < 15}
    monkeypatch.setattr(type(c), "load_reference", lambda self, n_orbitals=None: cut)
    difference, _, gap = eigenvalue_errors(Reference(c, 28.0), c)
    assert len(difference) < ((e > e[:, 13].max() - 1) & (e < e[:, 14].min() + 1)).sum()
    assert np.abs(difference).max() < 0.03 and abs(gap) < 0.01


@pytest.mark.parametrize("n_electrons", [0.0, 44.0])
def test_bands_all_empty_or_full_are_refused(configurations, n_electrons):
    with pytest.raises(ValueError, match="neither gap nor Fermi level"):
        eigenvalue_errors(Reference(configurations[2], n_electrons), configurations[2])


# ---------------------------------------------------------------- the report
def test_formula_units():
    assert [formula_units(np.repeat([42, 16], n)) for n in ((4, 8), (1, 2))] == [4, 1]
    assert formula_units(np.full(8, 6)) == 8 and formula_units(np.repeat([5, 7], 9)) == 9


def test_formula_of_the_layers(configurations):
    assert _common_formula(configurations) == "MoS2"
    other = load_dataset(DATA)
    other[0].atoms.numbers[:] = 6
    assert _common_formula(other) == "formula unit"


def test_each_hamiltonian_is_built_once(model, configurations, monkeypatch):
    built = []
    once = type(model).hamiltonian
    monkeypatch.setattr(
        type(model), "hamiltonian", lambda self, atoms, *rest: built.append(len(atoms)) or once(self, atoms, *rest)
    )
    monkeypatch.setattr("ase_wander.evaluation.evaluate.symmetry_checks", lambda *_: {})
    report = evaluate(model, configurations, None)
    assert len(built) == len(configurations) == report["n_configurations"]


def test_every_configuration_counts_once_in_the_figure_of_bands_as_in_the_report():
    eigenvalues = [(np.full(3, 0.010), np.ones(3)), (np.full(90, 0.002), np.full(90, 0.5))]
    first = plot_bands_errors(eigenvalues, [0.001, -0.002])
    assert "MAE = 6 meV" in first.texts[0].get_text()
    ticks = first.figure.axes[1].get_xticks()
    assert np.array_equal(ticks, ticks.round())


def test_a_folder_that_cannot_be_is_refused_before_anything_is_evaluated(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ase_wander.evaluation.evaluate.evaluate", lambda *_: pytest.fail("evaluated"))
    (tmp_path / "file").touch()
    assert main(["evaluate", "mos2-bilayer", str(DATA), "--out", str(tmp_path / "file")]) == 2
    assert "file: is a file, not a folder" in capsys.readouterr().err


def test_the_whole_report(model, configurations, tmp_path):
    samples, learning = {}, {"forcefield": [{"step": 1, "validation": {"force": 3.0}}]}
    report = evaluate(model, configurations, None, samples=samples, learning=learning)
    write_report(report, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    names = {file.name for file in write_figures(samples, tmp_path)}
    assert names == {
        "parity_forces.png",
        "parity_energies.png",
        "parity_elements.png",
        "eigenvalues.png",
        "reliability.png",
    }
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)
    assert "net force on a layer per MoS2" in table_lines(report)[3]
    assert report["trust"]["calibration"] == "as shipped" and len(uncertainty_lines(report)) == 5
    assert len(symmetry_lines(report)) == 5
    assert report["table"]["vacuum_step"] is None or report["table"]["vacuum_step"] >= 0


def test_a_model_without_charges_or_uncertainty(configurations):
    from ase_wander.training.train import new_model
    from tests.training_setup import CONFIG

    plain = new_model({**CONFIG, "heads": {**CONFIG["heads"], "smearing": 0}}).double()
    report = evaluate(plain, configurations[:1], None)
    assert report["trust"] is None and uncertainty_lines(report) == [] and report["table"]["vacuum_step"] is None


def test_bars_are_those_of_the_model(model, configurations, monkeypatch):
    """First bars and aims stand in the configuration of a model.

    A report without any, as of before there were some, is read alike.
    """
    assert "bars" in model.config and "bars" not in load_model("graphene-bilayer").config
    monkeypatch.setitem(model.config, "bars", {"elements": [0.75, 0.25]})
    report = evaluate(model, configurations[:1], None)
    lines = table_lines(json.loads(json.dumps(report)))
    assert lines[0].endswith("| measured | first bar | aim |") and lines[5].endswith(" | 0.75 | 0.25 |")
    assert {line.count("|") for line in lines} == {6} and lines[4].endswith(" |  |  |")
    plain = table_lines({k: v for k, v in report.items() if k != "bars"})
    assert plain[0] == "| quantity | unit | measured |" and {line.count("|") for line in plain} == {4}
    assert all(long.startswith(short) for long, short in zip(lines, plain))
    monkeypatch.setitem(model.config, "bars", {"element": [0.75, 0.25]})
    with pytest.raises(
        ValueError, match="config.json of the model mos2-bilayer: bars.element: unknown; known: force_mild"
    ):
        evaluate(model, configurations[:1], None)


def test_configurations_of_different_kinds_come_first(configurations):
    assert [c.kind for c in _different(configurations, 2)] == ["ml", "p1"] and len(_different(configurations, 9)) == 4


# ---------------------------------------------------------------- residuals
def test_residuals_are_rounding(model, configurations):
    found = symmetry_checks(model, configurations[1:3])
    assert (
        found["covariance"]["hamiltonian"] < 1e-10
        and found["covariance"]["forces"] < 1e-10
        and found["hermiticity"] == 0
    )
    assert (
        0 < found["precision"]["forces"] < 1e-3
        and 0 < found["precision"]["hamiltonian"] < 1e-3
        and found["precision"]["energy"] < 1e-4
    )
    assert model.dtype.itemsize == 8  # the model itself stays as it is


def test_residuals_see_a_broken_symmetry(model, configurations, monkeypatch):
    once = type(model).hamiltonian

    def tilted(self, atoms, layers):
        blocks = once(self, atoms, layers)
        x = blocks.vectors(atoms)[:, 0]  # a preferred axis, odd under exchange
        return replace(blocks, block=blocks.block + np.repeat(1e-3 * x, blocks.sizes))

    monkeypatch.setattr(type(model), "hamiltonian", tilted)
    found = symmetry_checks(model, configurations[2:3])
    assert found["covariance"]["hamiltonian"] > 1e-3 and found["hermiticity"] > 1e-3


def test_a_block_without_partner_is_no_hermitian_hamiltonian():
    block = np.array([[1.0, 2.0]])
    assert hermiticity({(0, 1, 0, 0, 0): block, (1, 0, 0, 0, 0): block.T}) == 0
    assert hermiticity({(0, 1, 1, 0, 0): block}) == 2


# ---------------------------------------------------------------- learning curve and command
def write_run(folder, n_rows=200):
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config": {"stages": [{"name": "forcefield"}, {"name": "never"}]}}))
    rows = [
        {
            "step": k + 1,
            "train": {"force_meV": 9.0 / (k + 1)},
            **({"validation": {"force": 5.0 / (k + 1)}} if k % 2 else {}),
        }
        for k in range(n_rows)
    ]
    (folder / "forcefield.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_learning_curve_keeps_first_and_last(tmp_path):
    curve = learning_curve(write_run(tmp_path / "run"), 7)
    assert list(curve) == ["forcefield"] and len(curve["forcefield"]) == 7
    assert [curve["forcefield"][k]["step"] for k in (0, -1)] == [2, 200]
    (tmp_path / "run" / "run.json").write_text("[]")
    with pytest.raises(ValueError, match="run.json: not a readable record"):
        learning_curve(tmp_path / "run")


def test_evaluate_with_a_run(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ase_wander.evaluation.figures.write_figures", lambda *_: None)
    before, model = model.trust, load_model("mos2-bilayer")
    model.trust = None
    folder, out = model.save(tmp_path / "model"), tmp_path / "out"
    assert (
        main(
            [
                "evaluate",
                str(folder),
                str(DATA),
                "--out",
                str(out),
                "--run",
                str(write_run(tmp_path / "run")),
                "--fit-uncertainty",
            ]
        )
        == 0
    )
    assert np.allclose(load_model(folder).trust.forces, before.forces, rtol=1e-3)
    shown = capsys.readouterr().out
    assert "| turned, mirrored and permuted atoms" in shown and "| force on an atom |" in shown
    report = json.loads((out / "report.json").read_text())
    assert len(report["learning"]["forcefield"]) == 60 and (out / "learning.png").exists()
    (folder / "report.json").write_text(json.dumps(report))
    assert (
        shipped_learning_curve(folder, report["sha256"]) == report["learning"]
        and shipped_learning_curve(folder, "other") is None
    )
    assert main(["evaluate", str(folder), str(DATA), "--run", str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
