"""Bad input on the command line: one line that says what and where, exit code 2, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

import ase_wander.cli
from ase_wander.cli import main
from ase_wander.moire import twisted_bilayer
from tests.cli_helpers import fails

COMMANDS = ("relax", "bands")


@pytest.fixture
def aligned():
    """Six atoms: a bilayer without twist."""
    return twisted_bilayer("MoS2", m=1, r=0)


def with_unknown_element(atoms):
    atoms.symbols[3] = "Xe"
    return atoms, "Xe"


def without_pbc(atoms):
    atoms.pbc = False
    return atoms, "pbc"


def with_overlap(atoms):
    atoms.positions[4] = atoms.positions[3] + [0.3, 0, 0]
    return atoms, "atoms 3 (Mo) and 4 (S) overlap"


def bulk_crystal(atoms):
    return bulk("Mo", cubic=True), "bulk crystal"


def molecule(atoms):
    return Atoms("S2", [[0, 0, 0], [1.9, 0, 0]], cell=[20, 20, 20], pbc=(True, True, False)), "molecule"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("spoil", [with_unknown_element, without_pbc, with_overlap, bulk_crystal, molecule])
def test_structures_that_no_model_can_treat(spoil, command, aligned, tmp_path, capsys):
    atoms, message = spoil(aligned)
    write(tmp_path / "atoms.extxyz", atoms)
    assert message in fails(capsys, tmp_path, command, tmp_path / "atoms.extxyz", "--out", tmp_path / "out")


@pytest.mark.parametrize("command", COMMANDS)
def test_positions_that_are_not_numbers(command, aligned, tmp_path, capsys):
    aligned.positions[2, 1] = np.nan
    write(tmp_path / "atoms.traj", aligned)
    error = fails(capsys, tmp_path, command, tmp_path / "atoms.traj", "--out", tmp_path / "out")
    assert "atom 2 (S)" in error and "finite" in error


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "name, content, message",
    [
        ("empty.extxyz", "", "empty"),
        ("prose.xyz", "Dear reader,\nthis is no structure.\n", "no structure"),
        ("prose.cif", "Dear reader,\nthis is no structure.\n", "no structure"),
        ("prose", "Dear reader,\nthis is no structure.\n", "no structure"),
        ("cut.extxyz", '6\nLattice="3 0 0 0 3 0 0 0 9" Properties=species:S:1:pos:R:3\nMo 0 0 0\n', "no structure"),
    ],
)
def test_files_that_hold_no_structure(command, name, content, message, tmp_path, capsys):
    (tmp_path / name).write_text(content)
    error = fails(capsys, tmp_path, command, tmp_path / name, "--out", tmp_path / "out")
    assert message in error and name in error


@pytest.mark.parametrize("command", COMMANDS)
def test_files_that_are_not_there(command, tmp_path, capsys):
    assert "nowhere.cif: no such file" in fails(
        capsys, tmp_path, command, tmp_path / "nowhere.cif", "--out", tmp_path / "out"
    )
    assert "folder" in fails(capsys, tmp_path, command, tmp_path, "--out", tmp_path / "out")


def test_unknown_model_lists_the_known_ones(tmp_path, capsys):
    error = fails(
        capsys, tmp_path, "run", "MoS2", "--m", 2, "--r", 1, "--model", "mos3-bilayer", "--out", tmp_path / "out"
    )
    assert "mos3-bilayer" in error and "mos2-bilayer" in error
    assert "mos2-bilayer" in fails(capsys, tmp_path, "models", "mos3-bilayer")


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"not weights"), "weights.safetensors"),
        (
            lambda folder: (folder / "weights.safetensors").write_bytes(
                (folder / "weights.safetensors").read_bytes()[:-100]
            ),
            "weights.safetensors",
        ),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"kind": "elsewhere"}'), "config.json"),
    ],
)
def test_damaged_and_foreign_models(spoil, message, tmp_path, capsys):
    from shutil import copytree

    from ase_wander.catalogue import find_models

    model = tmp_path / "model"
    copytree(find_models()["mos2-bilayer"], model)
    spoil(model)
    assert message in fails(
        capsys, tmp_path, "run", "MoS2", "--m", 1, "--r", 1, "--model", model, "--out", tmp_path / "out"
    )


def test_pickled_weights_are_never_opened(tmp_path, capsys):
    """A pickle runs code when opened: the file that this one would create must not appear."""
    import os
    import pickle
    from shutil import copytree

    from ase_wander.catalogue import find_models

    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "opened"),)

    model = tmp_path / "model"
    copytree(find_models()["mos2-bilayer"], model)
    (model / "weights.safetensors").write_bytes(pickle.dumps(Touch()))
    fails(capsys, tmp_path, "run", "MoS2", "--m", 1, "--r", 1, "--model", model, "--out", tmp_path / "out")
    assert not (tmp_path / "opened").exists()


def test_unknown_special_points(aligned, tmp_path, capsys):
    write(tmp_path / "atoms.extxyz", aligned)
    error = fails(capsys, tmp_path, "bands", tmp_path / "atoms.extxyz", "--path", "GXK", "--out", tmp_path / "out")
    assert "X" in error and "G, K, M" in error
    error = fails(capsys, tmp_path, "run", "MoS2", "--m", 1, "--r", 1, "--path", "GXK", "--out", tmp_path / "out")
    assert "X" in error


@pytest.mark.parametrize(
    "words, message",
    [
        (["run", "MoS3", "--m", "2", "--r", "1"], "MoS3"),
        (["run", "WSe2", "--m", "2", "--r", "1"], "W"),
        (["run", "MoS2", "--m", "2"], "m and r"),
        (["run", "MoS2", "--m", "2", "--r", "1", "--fmax", "-1"], "--fmax"),
        (["run", "MoS2", "--m", "2", "--r", "1", "--npoints", "0"], "--npoints"),
        (["run", "MoS2", "--m", "2", "--r", "1", "--device", "abacus"], "abacus"),
        (["bands"], "--hamiltonian"),
        (["bands", "--hamiltonian", "nowhere.npz"], "nowhere.npz"),
        (["fly"], "fly"),
    ],
)
def test_words_that_make_no_sense(words, message, tmp_path, capsys):
    out = [] if words == ["fly"] else ["--out", tmp_path / "out"]
    assert message in fails(capsys, tmp_path, *words, *out)


def test_a_file_that_is_no_hamiltonian(tmp_path, capsys):
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    assert "other.npz" in fails(
        capsys, tmp_path, "bands", "--hamiltonian", tmp_path / "other.npz", "--out", tmp_path / "out"
    )


def test_the_program_itself(tmp_path):
    """The same through a real process: exit status, one line on standard error, nothing else."""
    (tmp_path / "empty.extxyz").write_text("")
    environment = os.environ | {"PYTHONPATH": str(Path(ase_wander.cli.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "ase_wander.cli", "relax", "empty.extxyz", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ase-wander: error: empty.extxyz: the file is empty\n"
    assert [path.name for path in tmp_path.iterdir()] == ["empty.extxyz"]


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="no such file"):
        main(["relax", str(tmp_path / "nowhere.cif"), "--out", str(tmp_path / "out"), "--debug"])
