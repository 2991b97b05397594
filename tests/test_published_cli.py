"""The published kind on the command line: export, training, evaluation."""

from pathlib import Path

import pytest

from ase_wander import load_model, load_published
from ase_wander.cli import main
from tests.test_cli import fails

EXAMPLE = Path(__file__).resolve().parents[2] / "shared" / "published"


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def example():
    if not (EXAMPLE / "force_model").is_dir():
        pytest.skip(f"NEEDS THE PUBLISHED EXAMPLE: no folder {EXAMPLE}")
    return EXAMPLE


# ---------------------------------------------------------------- export
def test_exported_model_is_the_published_one(example, tmp_path, capsys):
    out = tmp_path / "published"
    assert run("models", "export", example, out) == 0
    assert str(out) in capsys.readouterr().out
    published, exported = load_published(example), load_model(out)
    assert exported.digest == published.digest and exported.layer_offsets == published.layer_offsets
    assert "authors' public example" in (out / "card.md").read_text()
    assert "exists already" in fails(capsys, tmp_path, "models", "export", example, out)
    shifted = tmp_path / "shifted"
    assert run("models", "export", example, shifted, "--layer-offsets", "0.1", "-0.2") == 0
    assert load_model(shifted).layer_offsets == (0.1, -0.2)


def test_export_that_cannot_be(tmp_path, capsys):
    assert "not a folder" in fails(capsys, tmp_path, "models", "export", tmp_path / "nowhere", tmp_path / "out")
    assert "force_input" in fails(capsys, tmp_path, "models", "export", tmp_path, tmp_path / "out")
    assert "two paths" in fails(capsys, tmp_path, "models", "export", tmp_path)
    assert "one name" in fails(capsys, tmp_path, "models", "a", "b")
    assert "export" in fails(capsys, tmp_path, "models", "mos2-bilayer", "--layer-offsets", "0", "0")
