"""Spin-orbit coupling and energy windows of commands: the same numbers and refusals as in Python."""

import json

import numpy as np
import pytest
from ase.build import mx2
from ase.io import write
from ase.io.jsonio import read_json

from ase_wander import WanderCalculator, WannierHamiltonian
from ase_wander.cli import main
from ase_wander.cli.spinorbit import coupling_strengths
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.moire import twisted_bilayer
from tests.cli_helpers import fails


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """File of a monolayer of MoS2."""
    file = tmp_path_factory.mktemp("layer") / "layer.extxyz"
    write(file, mx2("MoS2", a=3.16, vacuum=10))
    return file


def run(*words):
    return main([str(word) for word in words])


def test_coupling_splits_the_valence_band_at_k(layer, tmp_path, capsys):
    """About 150 meV (D. Xiao et al., PRL 108, 196802: 148), the bands of `with_spin_orbit`, said in the table."""
    words = ["bands", layer, "--path", "GMK", "--npoints", 9, "--n-bands", 8, "--out", tmp_path / "out"]
    assert run(*words, "--spin-orbit") == 0
    assert "Mo d 0.075, S p 0.052 eV" in capsys.readouterr().out
    bs = read_json(tmp_path / "out" / "bands.json")
    valence = bs.energies[0, -1, 2:4]
    assert 0.12 < np.ptp(valence) < 0.18
    atoms = mx2("MoS2", a=3.16, vacuum=10)
    h = with_spin_orbit(WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(atoms))
    np.testing.assert_allclose(bs.energies[0], h.eigenvalues(bs.path.kpts, 8), atol=1e-7)
    saved = WannierHamiltonian.load(tmp_path / "out" / "hamiltonian.npz")
    assert saved.spin_degeneracy == 1 and saved.n_orbitals == 22
    # again, from the folder: nothing is doubled twice; other settings are other results
    assert run(*words, "--spin-orbit", "--window", -1, 2) == 0
    capsys.readouterr()
    assert "spin_orbit" in fails(capsys, tmp_path, *words)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["spin_orbit"]["Mo"] == {"2": 0.075}


def test_constants_of_ones_own(layer, tmp_path):
    """No coupling leaves every level twice."""
    words = ["bands", layer, "--path", "GK", "--npoints", 3, "--n-bands", 8, "--out", tmp_path / "out"]
    assert run(*words, "--strengths", "Mo:d=0,S:p=0.0") == 0
    energies = read_json(tmp_path / "out" / "bands.json").energies[0]
    np.testing.assert_allclose(energies[:, ::2], energies[:, 1::2], atol=1e-9)
    assert coupling_strengths("Mo:d=0.075,S:p=0.052") == {"Mo": {2: 0.075}, "S": {1: 0.052}}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--strengths", "Mo:d"], "not of the form Mo:d=0.075"),
        (["--strengths", "Mo:x=1"], "not of the form Mo:d=0.075"),
        (["--strengths", "Xx:d=1"], "not of the form Mo:d=0.075"),
        (["--strengths", "Mo:d=nan"], "'nan' is not a finite number"),
        (["--strengths", "Mo:d=1,Mo:d=2"], "Mo:d is given twice"),
        (["--strengths", "W:d=0.2"], "no orbital of this Hamiltonian couples"),
        (["--window", "2", "-2"], "LOW 2 eV is not below HIGH -2 eV"),
        (["--window", "0", "inf"], "'inf' is not a finite number"),
        (["--window", "1"], "expected 2 arguments"),
    ],
)
def test_refusals(layer, tmp_path, capsys, words, message):
    assert message in fails(capsys, tmp_path, "bands", layer, "--out", tmp_path / "out", *words)


def test_what_cannot_couple_is_refused_before_it_is_relaxed(tmp_path, capsys):
    words = ["run", "graphene", "--m", 1, "--r", 1, "--spin-orbit", "--out", tmp_path / "out"]
    error = fails(capsys, tmp_path, *words)
    assert "no spin-orbit constant is known for C" in error and "--strengths" in error
    assert "L.S needs a complete shell" in fails(capsys, tmp_path, *words, "--strengths", "C:p=0.006")


def test_run_says_what_is_left_of_the_gap(tmp_path, capsys):
    """A relaxation ten times looser leaves more of the gap open, and the estimate is of the size of the truth."""
    left, gap = [], []
    for k, dmax in enumerate((0.02, 1e-5)):
        words = ["run", "MoS2", "--m", 1, "--r", 1, "--npoints", 4, "--fmax", 0.5, "--dmax", dmax]
        assert run(*words, "--out", tmp_path / str(k)) == 0
        assert "gap converged" in capsys.readouterr().out
        summary = json.loads((tmp_path / str(k) / "summary.json").read_text())
        left.append(summary["gap_left"])
        gap.append(summary["gap"])
        assert summary["distance_left"] <= 2 * dmax
    assert abs(left[1]) < 2e-5 < abs(left[0])
    assert gap[1] - gap[0] == pytest.approx(left[0], rel=0.7)


def test_spin_twice_is_refused(tmp_path, capsys):
    h = with_spin_orbit(WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(twisted_bilayer("MoS2", angle=0)))
    h.info.clear()
    h.save(tmp_path / "h.npz")
    words = ["bands", "--hamiltonian", tmp_path / "h.npz", "--out", tmp_path / "out", "--spin-orbit"]
    assert "spin already" in fails(capsys, tmp_path, *words)
