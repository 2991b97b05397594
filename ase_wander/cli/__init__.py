"""The command line `ase-wander`: finds the command's module, turns bad input into one line.

Only the module of the chosen command is imported, so that `ase-wander build` does not wait for torch.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import warnings

from .common import PROGRAM, CommandError, release_locks, version

#: Command: module with `add_parser(subparsers)`, and what `--help` says of it.
COMMANDS = {
    "build": ("ase_wander.cli.build", "build an exact cell of a twisted bilayer"),
    "relax": ("ase_wander.cli.relax", "relax any layered structure that ASE reads"),
    "bands": ("ase_wander.cli.bands", "Wannier Hamiltonian and bands of a structure, or bands of a saved Hamiltonian"),
    "plot": (
        "ase_wander.cli.plot",
        "figures: fat bands, unfolded bands, spin texture, density maps, density of states",
    ),
    "run": ("ase_wander.cli.run", "build, relax, Hamiltonian, bands and figures of a twisted bilayer in one go"),
    "view": ("ase_wander.cli.view", "results of a run as one HTML file: structure, layer distance, bands, states"),
    "models": ("ase_wander.cli.models", "list the trained models, or export the published one"),
    "train": ("ase_wander.cli.train", "train a model"),
    "evaluate": ("ase_wander.cli.train", "errors of a model on reference data"),
    "ablation": ("ase_wander.cli.ablation", "train and judge the rows of an ablation table"),
    "data": ("ase_wander.cli.data", "make reference data, look at them, convert them"),
    "completion": ("ase_wander.cli.completion", "script of completions for bash, zsh or fish"),
}

#: Exceptions that mean bad input (or a cell too large): their message is shown as one line, without a traceback.
#: A ValueError means it only where this package raised it; one out of a library is a mistake of ours.
INPUT_ERRORS = (OSError, CommandError, MemoryError)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and to which -1e-3 is a number as it is to Python."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^-(inf|nan)$")

    def error(self, message):
        self.exit(2, f"{PROGRAM}: error: {message} (see {self.prog} --help)\n")


def build_parser(command: str | None = None) -> Parser:
    """The parser of all commands; only the arguments of `command` are known in full."""
    parser = Parser(
        prog=PROGRAM,
        description="Relax a moiré bilayer and draw its bands from one loaded model.",
        epilog="--debug anywhere on the line shows the traceback of an error.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    if command in COMMANDS:
        importlib.import_module(COMMANDS[command][0]).add_parser(subparsers)
    for name, (_, summary) in COMMANDS.items():
        if name not in subparsers.choices:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; default `sys.argv[1:]`.

    Returns
    -------
    int
        0 when done, 1 when a relaxation did not converge, 2 for bad input, 130 when interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv:
        build_parser().print_help()
        return 0
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    command = next((argument for argument in argv if not argument.startswith("-")), None)
    if command == "data":
        from .data import with_action

        argv = with_action(argv)
    shown, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        arguments = build_parser(command).parse_args(argv)
        return int(arguments.main(arguments) or 0)
    except KeyboardInterrupt:
        if debug:
            raise
        return _fail("interrupted; what was finished is kept", 130)
    except BrokenPipeError:  # `ase-wander models | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug or not _is_bad_input(error):
            raise
        return _fail(_one_line(error), getattr(error, "exit_code", 2))
    finally:
        warnings.showwarning = shown
        release_locks()


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """One line for the user, without the place in the code."""
    print(f"{PROGRAM}: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _is_bad_input(error):
    if isinstance(error, INPUT_ERRORS):
        return True
    if isinstance(error, ValueError) and _is_our_own(error):
        return True
    from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError

    return isinstance(error, (CalculatorError, PropertyNotImplementedError))


def _is_our_own(error):
    """Whether the innermost frame of the traceback, the one that raised the error, is in this package."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "").split(".")[0] == __name__.split(".")[0]


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message, code):
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    return code
