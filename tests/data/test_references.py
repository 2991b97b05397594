"""References without a Hamiltonian: what a recipe with `symmetry` writes, and how a model is judged by it."""

import json

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from ase_wander.cli import main
from ase_wander.data.dataset import load_dataset
from ase_wander.data.dft.recipe import Recipe
from ase_wander.evaluation.evaluate import evaluate
from ase_wander.evaluation.hamiltonian_errors import eigenvalue_errors
from tests import toy_engine
from tests.campaign_toy import write_config

pytestmark = pytest.mark.usefixtures("toy")


# ---------------------------------------------------------------- made by a campaign
def test_a_recipe_with_symmetry_writes_bands_without_a_hamiltonian(tmp_path, inline):
    """The same eigenvalues, energies and forces, no blocks; the recipe before it stays valid."""
    whole, bands = tmp_path / "whole", tmp_path / "bands"
    for out, change in ((whole, {}), (bands, {"recipe": {**toy_engine.RECIPE, "symmetry": True}})):
        out.mkdir()
        assert main(["data", "make", str(write_config(out, **change)), "--out", str(out)]) == 0
    for one, two in zip(load_dataset(whole), load_dataset(bands)):
        assert one.has("hamiltonian") and not two.has("hamiltonian") and two.has("eigenvalues")
        a, b = one.load_blocks(), two.load_reference()
        assert np.array_equal(a["eigenvalues"], b["eigenvalues"]) and np.array_equal(a["kpts"], b["kpts"])
        assert "block" not in b and "band_error" not in b
        assert np.array_equal(one.results["forces"], two.results["forces"])
    default = Recipe.from_dict(toy_engine.RECIPE)
    assert default == Recipe.from_dict({**toy_engine.RECIPE, "symmetry": False})
    assert main(["data", "make", str(bands / "data.yaml"), "--out", str(bands)]) == 0  # nothing left to do


@pytest.mark.parametrize(
    "change, message",
    [({"symmetry": 1}, "symmetry: 1 is not true"), ({"symmetry": True, "engine": "espresso"}, "espresso")],
)
def test_bad_symmetry_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict({"shells": {"C": ["pz"]}, **change})


# ---------------------------------------------------------------- judged by it
@pytest.fixture
def references(configurations, tmp_path):
    """One bilayer thrice: eigenvalues on the vacuum level, the same on another zero, forces alone."""
    c = next(c for c in configurations if c.name.startswith("p1"))
    data, frames = c.load_blocks(), []
    (tmp_path / "hamiltonians").mkdir()
    for name in ("bv_0000", "bn_0000", "fo_0000"):
        atoms = c.atoms.copy()
        atoms.info["config_id"] = name
        if name == "fo_0000":
            atoms.calc = SinglePointCalculator(atoms, energy=c.results["energy"], forces=c.results["forces"])
        frames.append(atoms)
    names = ("kpts", "kweights", "eigenvalues", "numbers", "positions", "cell")
    arrays = {k: data[k] for k in names}
    np.savez(tmp_path / "hamiltonians" / "bv_0000.npz", **arrays)
    arrays["eigenvalues"] = arrays["eigenvalues"] + 3.7
    np.savez(tmp_path / "hamiltonians" / "bn_0000.npz", **arrays, zero="none")
    ase.io.write(tmp_path / "structures.extxyz", frames)
    return c, load_dataset(tmp_path)


def test_bands_and_forces_are_judged_without_a_hamiltonian(model, references):
    """Eigenvalues alone give the errors that the whole file gives.

    Those on a zero of their own lose the mean error and no more.
    """
    whole, (vacuum, own, forces) = references
    d, w, gap = eigenvalue_errors(model, whole)
    for c in (vacuum, own):
        other, weight, other_gap = eigenvalue_errors(model, c)
        shift = 0.0 if c is vacuum else np.average(d, weights=w)
        assert other == pytest.approx(d - shift, abs=1e-9) and np.array_equal(weight, w)
        assert other_gap == pytest.approx(gap, abs=1e-9)
    report = evaluate(model, [vacuum, own, forces], validation_fraction=None)
    rows = {r["name"]: r for r in report["configurations"]}
    assert "force" not in rows["bv_0000"] and "eigenvalues" not in rows["fo_0000"]
    assert rows["fo_0000"]["force"] > 0 and rows["bn_0000"]["aligned"]
    mean = np.average(d, weights=w)
    assert rows["bn_0000"]["eigenvalues"] == pytest.approx(np.average(np.abs(d - mean), weights=w))
    assert report["table"].get("elements") is None and report["classes"] == []


def test_the_command_takes_them(model, references, tmp_path, capsys):
    assert main(["evaluate", "mos2-bilayer", str(tmp_path), "--all", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "3 configurations" in printed and "eigenvalues of bn_0000 are on a zero of their own" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["table"]["eigenvalues"] > 0 and report["table"]["force_mild"] > 0
