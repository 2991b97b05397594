"""Command `data`: show, compute, convert reference data, and propose what to compute next."""

from __future__ import annotations

import signal
from contextlib import contextmanager

from .common import CommandError, console
from .data_converge import add_converge
from .data_propose import add_propose
from .options import positive_int

#: Actions; `ase-wander data PATH` is short for `ase-wander data show PATH`.
ACTIONS = ("show", "make", "status", "compare", "converge", "convert", "propose")


def with_action(argv: list[str]) -> list[str]:
    """Arguments of the program, with `show` in front of a path that follows `data` at once."""
    first = argv.index("data") + 1
    if first < len(argv) and argv[first] not in (*ACTIONS, "-h", "--help"):
        return [*argv[:first], "show", *argv[first:]]
    return argv


def add_parser(subparsers):
    data = subparsers.add_parser("data", help="make reference data, look at them, convert them")
    actions = data.add_subparsers(dest="action", metavar="action", required=True)
    show = actions.add_parser("show", help="what a data set holds (`ase-wander data PATH` is short for it)")
    show.add_argument("data", help="folder, extended XYZ file or Wannier90 output")
    show.set_defaults(main=run_show)
    make = actions.add_parser("make", help="compute the configurations of a plan; goes on where it was interrupted")
    make.add_argument("config", help="YAML configuration, see docs/data.md and models/*/data.yaml")
    make.add_argument(
        "--out", required=True, help="folder of the campaign: results, Hamiltonians, structures.extxyz, ase.db"
    )
    make.add_argument(
        "--workers",
        type=positive_int,
        default=1,
        help="configurations at a time on this machine, each on one core; default %(default)s",
    )
    make.add_argument(
        "--dask", metavar="ADDRESS", help='address of a dask scheduler, or "local": machines instead of --workers'
    )
    make.add_argument("--limit", type=positive_int, help="only the first so many configurations of the plan")
    make.add_argument("--only", nargs="+", metavar="NAME", help="only these configurations")
    make.add_argument("--retry", action="store_true", help="compute failed configurations again")
    make.add_argument(
        "--recompute", action="store_true", help="put results of another recipe or structure aside and compute again"
    )
    make.add_argument(
        "--dry-run", action="store_true", help="write the planned structures to OUT/planned.extxyz and compute nothing"
    )
    make.set_defaults(main=run_make)
    status = actions.add_parser("status", help="how far a campaign is, and why configurations failed")
    status.add_argument("folder")
    status.set_defaults(main=run_status)
    add_converge(actions)
    compare = actions.add_parser(
        "compare", help="how far the labels of two data sets differ where they share configurations"
    )
    compare.add_argument("one", help="folder, extended XYZ file or Wannier90 output")
    compare.add_argument("two")
    compare.set_defaults(main=run_compare)
    convert = actions.add_parser("convert", help="folder of reference data to ASE database or back")
    convert.add_argument(
        "source", help="folder, extended XYZ file, Wannier90 output, or ASE database (*.db, postgresql://...)"
    )
    convert.add_argument("target", help="new folder, or ASE database")
    convert.add_argument(
        "--compact",
        type=float,
        metavar="CUTOFF",
        help="Hamiltonians at a third of their size: pairs up to CUTOFF (Å), one of each pair and its reverse, rounded "
        "to 1 µeV",
    )
    convert.set_defaults(main=run_convert)
    add_propose(actions)


def run_show(arguments):
    from collections import Counter

    import numpy as np
    from rich.table import Table

    from ..data.dataset import dataset_hash, is_validation, load_dataset

    configurations = load_dataset(arguments.data)
    table = Table("kind", "configurations", "validation", "atoms", "sigma (Å)", "with Hamiltonian")
    for kind in sorted(Counter(c.kind for c in configurations)):
        chosen = [c for c in configurations if c.kind == kind]
        sigmas = [c.sigma for c in chosen]
        table.add_row(
            kind,
            str(len(chosen)),
            str(sum(is_validation(c.name) for c in chosen)),
            "/".join(map(str, sorted({len(c.atoms) for c in chosen}))),
            f"{np.nanmin(sigmas):g}-{np.nanmax(sigmas):g}" if np.isfinite(sigmas).any() else "unknown",
            str(sum(c.hamiltonian is not None for c in chosen)),
        )
    out = console(stderr=False)
    out.print(table)
    out.print(
        f"{len(configurations)} configurations, {sum(len(c.atoms) for c in configurations)} atoms, "
        f"data hash {dataset_hash(configurations)[:16]}"
    )


# ---------------------------------------------------------------- campaigns
def run_make(arguments):
    from rich.live import Live

    from ..data.campaign.config import load_campaign
    from ..data.campaign.run import run_campaign

    config = load_campaign(arguments.config, arguments.limit, arguments.only)
    if arguments.dry_run:
        return _dry_run(config, arguments.out)
    out = console()
    with _terminated_as_interrupted(), Live(console=out, refresh_per_second=2, transient=True) as live:

        def report(status):
            if out.is_terminal:
                live.update(status_table(status))

        status = run_campaign(
            config,
            arguments.out,
            n_workers=arguments.workers,
            dask=arguments.dask,
            retry=arguments.retry,
            recompute=arguments.recompute,
            progress=report,
        )
    print_status(status, console(stderr=False))
    return 0 if status.count("done") == len(status.entries) else 1


def _dry_run(config, folder):
    from pathlib import Path

    from ..data.database import write_frames

    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise CommandError(f"{folder}: is a file, not a folder")
    path.mkdir(parents=True, exist_ok=True)
    write_frames(path / "planned.extxyz", config.configurations)
    out = console(stderr=False)
    out.print(f"{len(config.configurations)} structures written to {path / 'planned.extxyz'}")


@contextmanager
def _terminated_as_interrupted():
    """End a campaign on SIGTERM as on an interrupt: stop its processes, collect what is finished."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_status(arguments):
    from ..data.campaign.status import read_status

    print_status(read_status(arguments.folder), console(stderr=False))


def print_status(status, out, n_reasons: int = 10):
    """Table of a campaign's status, and why configurations failed."""
    out.print(status_table(status))
    failed = [e for e in status.entries if e.state == "failed"]
    for e in failed[:n_reasons]:
        out.print(f"{e.name} failed: {e.reason}", markup=False)
    if len(failed) > n_reasons:
        out.print(f"... and {len(failed) - n_reasons} more, see failed/*.json")


def status_table(status):
    """States by kind of configuration, wall times and the time left."""
    from rich.table import Table

    table = Table("kind", title=status.name, title_style="bold", caption=_caption(status), caption_justify="left")
    for heading in ("atoms", "done", "failed", "running", "left", "time each"):
        table.add_column(heading, justify="right")
    kinds = status.by_kind()
    for kind, counts in kinds.items():
        sizes = sorted({e.n_atoms for e in status.entries if e.kind == kind})
        table.add_row(kind, "/".join(map(str, sizes)), *_counts(counts), duration(status.seconds(kind)))
    if len(kinds) > 1:
        table.add_section()
        table.add_row(
            "all",
            "",
            *_counts(sum(kinds.values(), start=type(next(iter(kinds.values())))())),
            duration(status.seconds()),
            style="bold",
        )
    return table


def _counts(counts):
    other = sum(counts[s] for s in ("left", "labelled", "stale"))
    return [
        str(counts["done"]),
        f"[red]{counts['failed']}[/red]" if counts["failed"] else "0",
        str(counts["running"]),
        str(other),
    ]


def _caption(status):
    left, running = status.count("left", "labelled", "stale"), status.count("running")
    if not left and not running:
        return f"{status.count('done')} of {len(status.entries)} configurations done"
    if not status.n_workers:
        return "waiting for a machine of the cluster"
    time = status.time_left()
    processes = f"{status.n_workers} process{'es' if status.n_workers > 1 else ''} at a time"
    return f"time left with {processes}: {duration(time)}" if time else "time left: known after the first configuration"


def duration(seconds) -> str:
    """Wall time for people: 48 s, 12 min, 3 h 20 min."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


# ---------------------------------------------------------------- comparison, conversion
def run_compare(arguments):
    from rich.table import Table

    from ..data.compare import compare

    table = Table(title="largest differences", title_style="bold")
    table.add_column("name", no_wrap=True)
    for heading in ("atoms", "energy\n(meV)", "forces\n(meV/Å)", "stress\n(meV/Å³)", "eigenvalues\n(meV)", "H\n(meV)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for d in compare(arguments.one, arguments.two):
        values = (d.energy, d.forces, d.stress, d.eigenvalues, d.elements)
        table.add_row(d.name, str(d.n_atoms), *("-" if x != x else f"{1e3 * x:.3g}" for x in values))
    console(stderr=False).print(table)


def run_convert(arguments):
    from ..data.convert import convert
    from ..data.database import redacted

    if arguments.compact is not None and not arguments.compact > 0:
        raise CommandError(f"--compact {arguments.compact:g}: a positive distance in Å")
    number = convert(arguments.source, arguments.target, cutoff=arguments.compact)
    console(stderr=False).print(
        f"{number} configuration{'s' if number > 1 else ''} written to {redacted(arguments.target)}", markup=False
    )
