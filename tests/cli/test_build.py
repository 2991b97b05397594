"""The command `build`, as a user types it."""

import pytest
from ase.io import read, write

from ase_wander.cli import main


def run(*words):
    return main(["build", *map(str, words)])


def test_builds_what_was_asked(tmp_path, capsys):
    assert run("MoS2", "--m", 2, "--r", 1, "-o", tmp_path / "a.extxyz") == 0
    atoms = read(tmp_path / "a.extxyz")
    assert len(atoms) == 114 and atoms.info["stacking"] == "R"
    assert run("MoS2", "--angle", 5.1, "--tolerance", 0.1, "--stacking", "H", "-o", tmp_path / "b.vasp") == 0
    out = capsys.readouterr().out
    assert len(read(tmp_path / "b.vasp")) == 762 and "5.085848" in out and "H stacking" in out
    assert "what more atoms buy" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.extxyz", "b.vasp"]


def test_lists(capsys):
    assert run("graphene", "--list", "--max-atoms", 100) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("21.786789" in line and " 28 " in line for line in lines) and len(lines) == 1 + 8
    assert run("--materials") == 0
    assert "MoS2" in capsys.readouterr().out


def test_unequal_layers_and_stacks(tmp_path, capsys):
    assert run("MoS2", "--top", "WSe2", "--list", "--max-strain", 0.02, "--max-atoms", 200) == 0
    assert "13+12" in capsys.readouterr().out
    assert run("graphene", "--angles", 0, 21.787, 0, "-o", tmp_path / "three.extxyz") == 0
    atoms = read(tmp_path / "three.extxyz")
    assert len(atoms) == 42 and "21.786789" in capsys.readouterr().out
    assert (
        run(
            "hBN",
            "--top",
            "graphene",
            "--angle",
            21.787,
            "--tolerance",
            0.1,
            "--max-strain",
            0.02,
            "-o",
            tmp_path / "two.extxyz",
        )
        == 0
    )
    assert len(read(tmp_path / "two.extxyz")) == 28 and "strain 1." in capsys.readouterr().out
    assert run("hBN", "--top", "graphene", "--m", 1, "--r", 1, "-o", tmp_path / "no.extxyz") != 0
    assert "--m does not go with --top" in capsys.readouterr().err


def test_takes_a_file_with_one_layer(tmp_path):
    from ase_wander.moire import monolayer

    layer = monolayer("WSe2")
    layer.center(vacuum=8, axis=2)
    write(tmp_path / "layer.extxyz", layer)
    assert run(tmp_path / "layer.extxyz", "--m", 1, "--r", 1, "-o", tmp_path / "cell.extxyz") == 0
    assert read(tmp_path / "cell.extxyz").symbols.get_chemical_formula() == "Se28W14"


@pytest.mark.parametrize(
    "words, message",
    [
        (["MoS2", "--m", 2, "--r", 2, "-o", "x.extxyz"], "(1, 1)"),
        (["MoS9", "--m", 2, "--r", 1, "-o", "x.extxyz"], "unknown material"),
        (["MoS2", "--m", 2, "--r", 1, "-o", "x"], "extension"),
        (["MoS2", "--m", 2, "--r", 1, "-o", "x.docx"], ".docx"),
        (["MoS2", "--m", 2, "--r", 1, "-o", "nowhere/x.cif"], "no such folder"),
        (["MoS2", "--angle", 12, "--max-atoms", 300, "-o", "x.extxyz"], "nearest"),
        (["MoS2", "--list", "--angle-range", 59.99, 59.995], "no exact cell"),
        ([], "name a material"),
    ],
)
def test_errors_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*words) != 0
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_overwritten_unasked(tmp_path, capsys):
    target = tmp_path / "cell.extxyz"
    target.write_text("mine")
    assert run("MoS2", "--m", 1, "--r", 1, "-o", target) != 0
    assert target.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert run("MoS2", "--m", 1, "--r", 1, "-o", target, "--force") == 0
    assert len(read(target)) == 42


def test_a_cell_without_a_name_gets_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("MoS2", "--m", 2, "--r", 1) == 0
    assert len(read("MoS2-13.17.extxyz")) == 114
    assert run("MoS2", "--m", 2, "--r", 1) == 2 and "exists already" in capsys.readouterr().err
