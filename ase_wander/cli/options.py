"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import math
import os

#: Model of commands that are given no material by name.
DEFAULT_MODEL = "mos2-bilayer"


def positive_int(text: str) -> int:
    """An integer above zero, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return value


def thread_count(text: str) -> int:
    """A number of threads that this machine can run, for argparse; absurd ones crash the interpreter."""
    value, most = positive_int(text), max(64, 8 * (os.cpu_count() or 1))
    if value > most:
        raise argparse.ArgumentTypeError(f"{value} threads on {os.cpu_count()} cores; at most {most}")
    return value


def positive_float(text: str) -> float:
    """A finite number above zero, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def folder_name(text: str) -> str:
    """The name of a folder, for argparse; an empty one would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name is no folder; . is the current one")
    return text


def add_model_options(parser, default=DEFAULT_MODEL, of="the material") -> None:
    """--model, --dtype, --device, --threads; `default` None: the command chooses the first model of something."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        help="name (see `ase-wander models`) or folder of a model; default " + (default or f"the first model of {of}"),
    )
    group.add_argument("--dtype", default="float64", choices=["float64", "float32"], help="default %(default)s")
    group.add_argument("--device", default="cpu", help="torch device; default %(default)s")
    group.add_argument("--threads", type=thread_count, help="CPU threads; default: torch's choice")


def add_file(parser, **options) -> None:
    """FILE: a structure."""
    parser.add_argument(
        "file", metavar="FILE", help="structure in any format that ASE reads (its last frame)", **options
    )


def add_out(parser, what="the results") -> None:
    """--out: the folder of a command that can be resumed."""
    parser.add_argument("--out", required=True, type=folder_name, metavar="DIR", help=f"folder for {what}")


def add_structure_options(parser) -> None:
    """--pbc."""
    parser.add_argument(
        "--pbc",
        choices=["TTF", "TTT"],
        help="periodic directions in place of the file's: TTF is one stack alone in vacuum",
    )


def add_twist_options(parser, otherwise="") -> None:
    """--m, --r, --angle, --tolerance, --stacking; `otherwise` says where another tolerance holds."""
    parser.add_argument("--m", type=int, help="with --r: coprime pair of Lopes dos Santos et al., PRB 86, 155449")
    parser.add_argument("--r", type=int)
    parser.add_argument(
        "--angle",
        type=float,
        help="twist in degrees instead of --m and --r: the smallest exact cell near it; negative for the mirror image",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help=f"of --angle, degrees; default 2 %% of the angle, at least 0.02{otherwise}",
    )
    parser.add_argument(
        "--stacking",
        choices=["R", "H"],
        default="R",
        help="layers parallel (R) or antiparallel (H); default %(default)s",
    )


def add_jobs(parser, what) -> None:
    """--jobs: processes at a time."""
    parser.add_argument("--jobs", type=positive_int, default=1, help=f"{what}; default %(default)s")
