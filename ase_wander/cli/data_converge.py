"""`ase-wander data converge`: a table and a figure of energy, forces, stress and levels against cutoff and k-grid."""

from __future__ import annotations

from ..files import atomic_write
from .common import CommandError, console
from .options import add_out, positive_float

FIGURE, TABLE = "convergence.png", "convergence.json"


def add_converge(actions) -> None:
    """Register the action."""
    parser = actions.add_parser(
        "converge",
        help="how results depend on cutoff and k-grid, for one structure of a plan",
        description="Compute one structure at several cutoffs and on several k-grids, print the distance of every row "
        "from the "
        "finest, and draw it. Rows that are there are not computed again.",
    )
    parser.add_argument("config", help="YAML configuration of a campaign: its recipe, and its plan for the structure")
    add_out(parser, "the results of the rows, convergence.json and convergence.png")
    parser.add_argument(
        "--cutoffs",
        nargs="+",
        type=positive_float,
        default=[],
        metavar="EV",
        help="plane-wave cutoffs in eV, on the recipe's grid",
    )
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=positive_float,
        default=[],
        metavar="ANGSTROM",
        help="k-grids with n |a| >= length, at the recipe's cutoff",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--only", metavar="NAME", help="configuration of the plan; default: its first")
    source.add_argument(
        "--structure", metavar="FILE", help="a structure in any format that ASE reads, instead of one of the plan"
    )
    parser.set_defaults(main=run_convergence)


def run_convergence(arguments) -> int:
    """Run the action."""
    from pathlib import Path

    from rich.live import Live

    from ..data.dft.bands_figure import save
    from ..data.dft.convergence import plot_convergence, run_series, series

    atoms, recipe = _structure(arguments)
    if Path(arguments.out).is_file():
        raise CommandError(f"{arguments.out}: is a file, not a folder")
    rows = series(recipe, atoms, arguments.cutoffs, arguments.lengths)
    err = console()
    with Live(console=err, refresh_per_second=2, transient=True) as live:

        def report(done):
            if err.is_terminal:
                live.update(convergence_table(done, atoms, left=len(rows) - len(done)))

        report([])
        rows = run_series(atoms, rows, arguments.out, report)
    out = console(stderr=False)
    out.print(convergence_table(rows, atoms))
    for line in _remarks(rows, atoms):
        out.print(line, markup=False)
    folder = Path(arguments.out)
    _write_json(rows, atoms, folder / TABLE)
    if all(sum(r.series == s and r.labels is not None for r in rows) > 1 for s in {r.series for r in rows}):
        save(plot_convergence(rows, atoms), folder / FIGURE)
        out.print(f"results in {arguments.out}, figure {folder / FIGURE}", markup=False)
    return 1 if any(row.labels is None for row in rows) else 0


def _structure(arguments):
    from ..data.campaign.config import load_campaign
    from .common import read_structure

    config = load_campaign(
        arguments.config, 1 if not arguments.only else None, [arguments.only] if arguments.only else None
    )
    if arguments.structure:
        return read_structure(arguments.structure), config.recipe
    if not config.configurations:
        raise CommandError(f"{arguments.config}: the plan holds no configuration")
    atoms = config.configurations[0]
    return atoms, config.recipe_of(atoms.info["config_id"])


def convergence_table(rows, atoms, left=0):
    """The rows with their distance from the finest of their series."""
    from rich.box import SIMPLE
    from rich.table import Table

    from ..data.dft.convergence import differences, values

    name = atoms.info.get("config_id", "")
    table = Table(
        "cutoff\n(eV)",
        "k-grid",
        box=SIMPLE,
        padding=(0, 1),
        collapse_padding=True,
        title=f"{atoms.get_chemical_formula('metal')} {name}".strip(),
        title_style="bold",
        caption=f"{left} left" if left else "Energies per atom, Fermi level from vacuum; Δ: distance from the finest",
        caption_justify="left",
    )
    for heading in (
        "energy\n(eV)",
        "Δ energy\n(meV)",
        "Δ force\n(meV/Å)",
        "Δ stress\n(GPa)",
        "Fermi\n(eV)",
        "gap\n(eV)",
        "time\n(s)",
    ):
        table.add_column(heading, justify="right")
    last = None
    for row, d in zip(rows, differences(rows)):
        if last not in (None, row.series):
            table.add_section()
        last = row.series
        head = [f"{row.recipe.cutoff:g}", "×".join(map(str, row.grid(atoms)))]
        if d is None:
            table.add_row(*head, "[red]failed[/red]")
            continue
        v = values(row.labels)
        table.add_row(
            *head,
            f"{v['energy']:.4f}",
            f"{1e3 * d['energy']:+.2f}",
            f"{1e3 * d['force']:.1f}",
            f"{d['stress']:.3f}",
            f"{v['fermi']:.3f}",
            f"{v['gap']:.3f}",
            f"{row.labels.seconds:.0f}",
        )
    return table


def _remarks(rows, atoms):
    """Why rows failed, and from which on the results stay put."""
    from ..data.dft.convergence import TOLERANCES, recommended

    for row in rows:
        if row.labels is None:
            yield f"{row.recipe.cutoff:g} eV, {'x'.join(map(str, row.grid(atoms)))}: {row.reason}"
    for name in dict.fromkeys(row.series for row in rows):
        if sum(row.series == name and row.labels is not None for row in rows) < 2:
            continue
        best = recommended(rows, name)
        limits = (
            f"{1e3 * TOLERANCES['energy']:g} meV/atom, {1e3 * TOLERANCES['force']:g} meV/Å, "
            f"{TOLERANCES['stress']:g} GPa, {1e3 * TOLERANCES['fermi']:g} meV"
        )
        if best is None:
            yield f"{name}: nothing below the finest is within {limits} of it"
        else:
            what = (
                f"{best.recipe.cutoff:g} eV"
                if name == "cutoff"
                else f"{'x'.join(map(str, best.grid(atoms)))} (length {best.recipe.length:g})"
            )
            yield f"{name}: {what} is the first within {limits} of the finest"


def _write_json(rows, atoms, path):
    import json

    from ..data.dft.convergence import differences, values

    out = []
    for row, d in zip(rows, differences(rows)):
        entry = {"series": row.series, "cutoff": row.recipe.cutoff, "grid": list(row.grid(atoms))}
        if d is None:
            out.append(entry | {"failed": row.reason})
        else:
            v = values(row.labels)
            out.append(
                entry
                | {
                    "energy": v["energy"],
                    "fermi": v["fermi"],
                    "gap": v["gap"],
                    "differences": d,
                    "seconds": row.labels.seconds,
                }
            )
    atomic_write(path, json.dumps(out, indent=1) + "\n")
