"""Completions come from the parser: commands, options, choices."""

import subprocess

import pytest

from ase_wander.cli import COMMANDS, build_parser, main
from ase_wander.cli.completion import words_of

ASK = 'COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _ase_wander; echo "${{COMPREPLY[@]}}"'


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    """File of the script for bash."""
    from contextlib import redirect_stdout

    file = tmp_path_factory.mktemp("completion") / "script"
    with open(file, "w") as stream, redirect_stdout(stream):
        assert main(["completion", "bash"]) == 0
    return file


@pytest.mark.parametrize(
    "line, expected",
    [
        ("ase-wander rel", {"relax"}),
        ("ase-wander run MoS2 --opt", {"--optimizer"}),
        ("ase-wander run MoS2 --optimizer ''", {"layers", "FIRE", "LBFGS", "BFGS"}),
        ("ase-wander data ma", {"make"}),
        ("ase-wander plot un", {"unfold"}),
        ("ase-wander bands --strength", {"--strengths"}),
        ("ase-wander completion z", {"zsh"}),
        ("ase-wander relax file --optimizer=x mos", set()),
    ],
)
def test_bash(bash, line, expected):
    script = f"source {bash}; {ASK.format(line)}"
    found = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert set(found) == expected


def test_every_command_and_option_is_there(capsys):
    main(["completion", "fish"])
    fish = capsys.readouterr().out
    main(["completion", "zsh"])
    zsh = capsys.readouterr().out
    assert zsh.startswith("#compdef ase-wander\n")
    for name in COMMANDS:
        assert f"-a {name} " in fish
        for option in words_of(build_parser(name))[(name,)].options:
            assert option in zsh and (not option.startswith("--") or f"-l {option[2:]}" in fish), option
    assert all(line.count("'") % 2 == line.count("\\'") % 2 for line in fish.splitlines())
