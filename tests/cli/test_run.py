"""The commands that leave results: whole files, resumable, never over those of other settings."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase.io import read, write
from ase.io.jsonio import read_json

from ase_wander.cli import main
from ase_wander.cli.common import CommandError, ResultFolder
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.moire import symmetry, twisted_bilayer
from ase_wander.published.model import PublishedModel
from ase_wander.published.networks import published_networks
from ase_wander.published.template import ideal_template
from tests.published_toy import bilayer

RUN = ["run", "MoS2", "--m", "1", "--r", "1", "--dmax", "1e-5", "--npoints", "13", "--n-bands", "20"]

FILES = {
    "structure.extxyz",
    "relaxation.traj",
    "hamiltonian.npz",
    "bands.json",
    "bands.png",
    "corrugation.png",
    "summary.json",
    "settings.json",
}


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a finished run that was stopped once on the way."""
    out = tmp_path_factory.mktemp("run") / "deep" / "first-light"
    assert run(*RUN, "--out", out, "--steps", 3) == 1
    assert {path.name for path in out.iterdir()} == {"settings.json", "relaxation.unfinished.traj"}
    assert run(*RUN, "--out", out) == 0
    return out


def test_run_leaves_its_results_and_nothing_else(finished):
    assert {path.name for path in finished.iterdir()} == FILES


def test_a_stopped_relaxation_goes_on(finished):
    """The trajectory starts with the built cell, has no frame twice and goes down to the wanted force."""
    frames = read(finished / "relaxation.traj", ":")
    moves = [np.abs(b.positions - a.positions).max() for a, b in pairwise(frames)]
    assert min(moves) > 0 and len(frames) - 1 == json.loads((finished / "summary.json").read_text())["steps"] > 3
    assert frames[-1].get_potential_energy() < frames[0].get_potential_energy()
    assert np.linalg.norm(frames[-1].get_forces(), axis=1).max() < 0.02


def test_results_belong_together(finished):
    """Structure, Hamiltonian, bands and summary speak of the same atoms and the same gap."""
    atoms, summary = read(finished / "structure.extxyz"), json.loads((finished / "summary.json").read_text())
    h, bs = WannierHamiltonian.load(finished / "hamiltonian.npz"), read_json(finished / "bands.json")
    assert len(atoms) == summary["n_atoms"] == 42 and summary["twist_angle"] == pytest.approx(21.786789, abs=1e-6)
    np.testing.assert_allclose(h.atoms.positions, atoms.positions, atol=1e-7)
    np.testing.assert_allclose(bs.energies[0], h.eigenvalues(bs.path.kpts, 20), atol=1e-9)
    n_occupied = 7 * 14
    assert summary["band_indices"] == [n_occupied - 10, n_occupied + 9]
    edges = h.eigenvalues(bs.path.kpts)[:, n_occupied - 1 : n_occupied + 1]
    assert summary["gap"] == pytest.approx(edges[:, 1].min() - edges[:, 0].max(), abs=1e-9)
    assert (
        summary["interlayer_distance_min"] <= summary["interlayer_distance_mean"] <= summary["interlayer_distance_max"]
    )


def test_pictures_are_pictures(finished):
    from matplotlib.image import imread

    for name in ("bands.png", "corrugation.png"):
        picture = imread(finished / name)
        assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05


def test_the_same_command_again_changes_no_result(finished, capsys):
    kept = {
        name: (finished / name).read_bytes()
        for name in ("structure.extxyz", "relaxation.traj", "hamiltonian.npz", "bands.json")
    }
    assert run(*RUN, "--out", finished) == 0
    assert all((finished / name).read_bytes() == content for name, content in kept.items())
    assert "finished before" in capsys.readouterr().err


def test_other_settings_are_refused(finished, capsys):
    kept = {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}
    assert run(*RUN, "--out", finished, "--stacking", "H") == 2
    assert "stacking 'R' there, 'H' now" in capsys.readouterr().err
    assert run("relax", finished / "structure.extxyz", "--out", finished) == 2
    assert "`ase-wander run`" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in finished.iterdir()} == kept


@pytest.mark.parametrize("part, frames_left", [(0.0, 0), (0.01, 0), (0.9, 3)])
def test_a_trajectory_cut_short_goes_on_from_its_whole_frames(part, frames_left, tmp_path, capsys):
    assert run(*RUN, "--out", tmp_path / "out", "--steps", 3) == 1
    unfinished = tmp_path / "out" / "relaxation.unfinished.traj"
    whole = read(unfinished, ":")
    content = unfinished.read_bytes()
    unfinished.write_bytes(content[: int(part * len(content))])
    capsys.readouterr()
    assert run(*RUN, "--out", tmp_path / "out", "--steps", 1) == 1
    assert f"damaged, {frames_left} frame(s)" in capsys.readouterr().err
    again = read(unfinished, ":")
    assert len(again) == max(frames_left, 1) + 1
    np.testing.assert_array_equal(
        [a.positions for a in again[:frames_left]], [a.positions for a in whole[:frames_left]]
    )


def test_a_damaged_result_is_named(finished, tmp_path, capsys):
    from shutil import copytree

    copytree(finished, tmp_path / "out")
    (tmp_path / "out" / "relaxation.traj").write_bytes(b"x")
    assert run(*RUN, "--out", tmp_path / "out") == 2
    assert "relaxation.traj: damaged" in capsys.readouterr().err


def test_the_parts_give_what_the_run_gave(finished, tmp_path):
    """`bands` of the relaxed structure, or of the saved Hamiltonian, draws the bands of the run."""
    reference = read_json(finished / "bands.json").energies
    options = ["--npoints", 13, "--n-bands", 20]
    assert run("bands", finished / "structure.extxyz", "--out", tmp_path / "a", *options) == 0
    np.testing.assert_allclose(read_json(tmp_path / "a" / "bands.json").energies, reference, atol=1e-6)
    assert run("bands", "--hamiltonian", finished / "hamiltonian.npz", "--out", tmp_path / "b", *options) == 0
    np.testing.assert_allclose(read_json(tmp_path / "b" / "bands.json").energies, reference, atol=1e-9)
    assert run("relax", finished / "structure.extxyz", "--out", tmp_path / "c", "--dmax", 1e-5) == 0
    np.testing.assert_allclose(
        read(tmp_path / "c" / "structure.extxyz").positions, read(finished / "structure.extxyz").positions, atol=2e-5
    )


def test_interrupted_bands_go_on(finished, tmp_path, monkeypatch, capsys):
    """Stopped between two k-points, the next call solves the rest only, and gives the same bands."""
    from ase_wander.electronic.solvers import kpoints, parallel

    solve_one, solved = kpoints.solve_one, []

    def stops_at_the_fifth(h, k, *rest):
        if len(solved) == 5:
            raise KeyboardInterrupt
        solved.append(k)
        return solve_one(h, k, *rest)

    command = [
        "bands",
        "--hamiltonian",
        finished / "hamiltonian.npz",
        "--out",
        tmp_path / "out",
        "--npoints",
        13,
        "--n-bands",
        20,
    ]
    for module in (kpoints, parallel):
        monkeypatch.setattr(module, "solve_one", stops_at_the_fifth)
    assert run(*command) == 130 and "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "out" / "bands.json").exists()
    solved.clear()

    def counted(h, k, request, *rest):
        if request.n_bands == 20:  # the Fermi level asks for two bands on a grid of its own
            solved.append(k)
        return solve_one(h, k, request, *rest)

    for module in (kpoints, parallel):
        monkeypatch.setattr(module, "solve_one", counted)
    assert run(*command) == 0 and len(solved) == 13 - 5
    np.testing.assert_allclose(
        read_json(tmp_path / "out" / "bands.json").energies, read_json(finished / "bands.json").energies, atol=1e-9
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bands.json",
        "bands.png",
        "hamiltonian.npz",
        "settings.json",
        "summary.json",
    ]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    folder = ResultFolder(tmp_path / "out", {"command": "test"})
    assert not folder.claim(["a.txt"]) and folder.claim(["a.txt"])
    with pytest.raises(RuntimeError), folder.writing("a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in folder.path.iterdir()] == ["settings.json"]
    with folder.writing("a.txt") as temporary:
        temporary.write_text("whole")
    assert (folder / "a.txt").read_text() == "whole"


def test_files_from_elsewhere_are_not_overwritten(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(CommandError, match="a.txt from elsewhere"):
        ResultFolder(tmp_path, {"command": "test"}).claim(["a.txt"])


def test_models_prints_the_table_of_the_card(capsys):
    assert run("models") == 0
    listing = capsys.readouterr().out
    assert run("models", "mos2-bilayer") == 0
    card = capsys.readouterr().out
    assert "mos2-bilayer" in listing and "|" in card
    header = next(line for line in card.splitlines() if line.startswith("|"))
    assert all(cell.strip() in listing for cell in header.strip("|").split("|"))


def test_relaxation_inside_the_symmetry(tmp_path, capsys):
    """Stopped and continued, rattled below the tolerance: the layer group of the built cell is exact at the end."""
    atoms = twisted_bilayer("MoS2", 1, 1)
    atoms.rattle(3e-4, seed=1)
    write(tmp_path / "atoms.extxyz", atoms)
    words = ["relax", tmp_path / "atoms.extxyz", "--symmetry", "0.01", "--dmax", "1e-4", "--out", tmp_path / "out"]
    assert run(*words, "--steps", 2) == 1
    assert run(*words) == 0
    relaxed = read(tmp_path / "out" / "structure.extxyz")
    assert symmetry(atoms, 1e-5).point_group == "C1" and symmetry(relaxed, 1e-5).point_group == "D3"
    assert "D3" in json.loads((tmp_path / "out" / "summary.json").read_text())["symmetry"]
    assert not read(tmp_path / "out" / "relaxation.traj").constraints
    capsys.readouterr()
    assert run(*words[:2], "--out", tmp_path / "out") == 2  # other settings
    assert "symmetry" in capsys.readouterr().err
    assert run(*words[:2], "--symmetry", "1e-5", "--out", tmp_path / "other") == 2
    assert "no symmetry up to 1e-05" in capsys.readouterr().err


def test_two_processes_in_one_folder(tmp_path, capsys):
    """The second is refused while the first holds the folder, however the first ends."""
    write(tmp_path / "atoms.extxyz", twisted_bilayer("MoS2", 1, 0))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    words = ["relax", tmp_path / "atoms.extxyz", "--out", tmp_path / "out"]
    try:
        assert run(*words) == 2
        assert "another process works there" in capsys.readouterr().err
    finally:
        holder.kill()
        holder.wait()
    assert run(*words) == 0


#: Locks a folder as a command does, and waits to be killed.
HOLD = """
import sys, time
from pathlib import Path
from ase_wander.cli import common
folder = Path(sys.argv[1])
folder.mkdir()
common._lock(folder)
print("locked", flush=True)
time.sleep(600)
"""


def test_relaxation_with_forces_alone(tmp_path, capsys):
    """A model without energies relaxes too; its net force does not move the stack."""
    torch.manual_seed(11)
    PublishedModel(published_networks().eval(), ideal_template(), "untrained").save(tmp_path / "model")
    atoms = bilayer(2, 0.03)
    write(tmp_path / "atoms.extxyz", atoms)
    assert (
        run(
            "relax",
            tmp_path / "atoms.extxyz",
            "--model",
            tmp_path / "model",
            "--fmax",
            "0.4",
            "--dmax",
            "0.1",
            "--out",
            tmp_path / "out",
        )
        == 0
    )
    assert "the model has none" in capsys.readouterr().out
    relaxed = read(tmp_path / "out" / "structure.extxyz")
    assert relaxed.get_center_of_mass() == pytest.approx(atoms.get_center_of_mass(), abs=1e-6)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["energy"] is None


def test_run_takes_the_model_of_the_material():
    from ase_wander.cli.run import model_of

    assert model_of("graphene") == "graphene-bilayer" and model_of("mos2") == "mos2-bilayer"
    with pytest.raises(ValueError, match="no model of hBN"):
        model_of("hBN")
    with pytest.raises(ValueError, match="unknown material"):
        model_of("MoS2x")
