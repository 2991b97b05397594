"""Bad input is one line; a mistake of ours, or inside a library, keeps its traceback."""

import argparse

import numpy as np
import pytest

from ase_wander import cli
from ase_wander.checks import read_mapping


def run(monkeypatch, function, *words):
    """`ase-wander` with a command that calls `function`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.set_defaults(main=lambda arguments: function())
    monkeypatch.setattr(cli, "build_parser", lambda command: parser)
    return cli.main(["models", *words])


def test_what_this_package_refuses_is_one_line(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, lambda: read_mapping(tmp_path / "none.yaml", ["name"])) == 2
    error = capsys.readouterr().err
    assert error.startswith("ase-wander: error: ") and "none.yaml: no such file" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "function",
    [lambda: np.zeros(3).reshape(2, 2), lambda: [].index(1), lambda: int("many"), lambda: {}["key"]],
    ids=["numpy", "list", "builtin", "key"],
)
def test_an_error_of_a_library_is_not_shown_as_bad_input(monkeypatch, function):
    with pytest.raises((ValueError, KeyError)):
        run(monkeypatch, function)


def test_debug_shows_the_traceback_of_bad_input_too(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        run(monkeypatch, lambda: read_mapping(tmp_path / "none.yaml", ["name"]), "--debug")
