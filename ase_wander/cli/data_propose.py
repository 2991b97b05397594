"""Action `propose` of the command `data`: structures that a model knows least about."""

from __future__ import annotations

from contextlib import contextmanager

from .common import CommandError, console
from .options import add_model_options, positive_int
from .progress import counting


def add_propose(actions):
    propose = actions.add_parser("propose", help="structures that a model knows least about, to be computed next")
    source = propose.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--trajectory", nargs="+", metavar="FILE", help="candidates: frames of trajectories or structure files"
    )
    source.add_argument(
        "--moire",
        metavar="FILE",
        help="candidates: untwisted cells with local registry, gap and strain of a moiré structure's sites",
    )
    propose.add_argument(
        "-n", "--number", type=positive_int, default=10, help="structures to propose; default %(default)s"
    )
    propose.add_argument("--every", type=positive_int, default=1, help="only every so many frames of a trajectory")
    propose.add_argument(
        "--max-atoms", type=positive_int, default=60, help="larger frames are refused; default %(default)s"
    )
    propose.add_argument(
        "--candidates", type=positive_int, default=200, help="moiré sites at most; default %(default)s"
    )
    propose.add_argument(
        "--prefix", default="al", help="names of the structures: PREFIX_0000, ...; default %(default)s"
    )
    propose.add_argument("--out", required=True, help="extended XYZ file, for `structures:` of `ase-wander data make`")
    add_model_options(propose)
    propose.set_defaults(main=run_propose)


def run_propose(arguments):
    from pathlib import Path

    from ..data.database import write_frames
    from ..data.sampling.active import judge, named, propose
    from .common import make_calculator

    if Path(arguments.out).suffix not in (".extxyz", ".xyz"):
        raise CommandError(f"{arguments.out}: structures are written as extended XYZ (*.extxyz)")
    candidates = _patches(arguments) if arguments.moire else _frames(arguments)
    calculator = make_calculator(arguments)
    with _quiet(), counting("candidates", len(candidates)) as report:
        judged = judge(candidates, calculator.get_uncertainty, calculator.get_descriptors, report)
    chosen = propose(judged, arguments.number)
    frames = named(chosen, arguments.prefix)
    Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
    write_frames(arguments.out, frames)
    _print_proposal(frames, chosen, judged, arguments.out)


def _frames(arguments):
    """Frames of trajectories as slabs, refused where they are too large to be computed."""
    from ..data.sampling.active import as_slab
    from ..data.sampling.patches import VACUUM
    from ..data.sampling.trajectories import read_frames

    out = []
    for file in arguments.trajectory:
        for number, atoms in read_frames(file, arguments.every):
            if len(atoms) > arguments.max_atoms:
                raise CommandError(
                    f"{file}, frame {number}: {len(atoms)} atoms, more than --max-atoms {arguments.max_atoms}; for a "
                    f"moiré cell use --moire {file}"
                )
            try:
                out.append(as_slab(atoms, VACUUM))
            except ValueError as error:
                raise CommandError(f"{file}, frame {number}: {error}") from None
            out[-1].info.update(source=f"{file}:{number}")
    return out


def _patches(arguments):
    """Untwisted cells of the sites of a moiré structure."""
    from ..data.sampling.patches import local_patches
    from .common import read_structure

    atoms = read_structure(arguments.moire)
    try:
        out = local_patches(atoms, limit=arguments.candidates)
    except ValueError as error:
        raise CommandError(f"{arguments.moire}: {error}") from None
    for patch in out:
        patch.info["source"] = str(arguments.moire)
    return out


@contextmanager
def _quiet():
    """Silence the calculator's warnings: candidates are expected to lie outside the training data."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _print_proposal(frames, chosen, judged, file):
    from rich.table import Table

    table = Table("name", "atoms", "gap (Å)", "shift", "force uncertainty (meV/Å)")
    for atoms in frames:
        shift = atoms.info.get("shift")
        table.add_row(
            atoms.info["config_id"],
            str(len(atoms)),
            f"{atoms.info['gap']:.3f}" if "gap" in atoms.info else "-",
            " ".join(f"{x:.3f}" for x in shift) if shift is not None else "-",
            f"{1e3 * atoms.info['force_uncertainty']:.1f}",
        )
    out = console(stderr=False)
    out.print(table)
    values = sorted(c.uncertainty for c in judged)
    out.print(
        f"{len(frames)} of {len(judged)} candidates written to {file}; median uncertainty of all "
        f"{1e3 * values[len(values) // 2]:.1f} meV/Å",
        markup=False,
    )
