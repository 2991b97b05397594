"""Tables of an ablation from the results of its runs: Markdown for the documentation, rich for the console."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...files import atomic_write
from .noise import DISTURBANCES
from .table import SPLITS, load_result

#: Columns: heading, digits, and whether more is better.
QUANTITIES = {
    "elements": ("H meV", 3, False),
    "onsite": ("on-site meV", 2, False),
    "intra": ("intra meV", 3, False),
    "inter": ("inter meV", 3, False),
    "intra_near": ("intra < 6 Å meV", 3, False),
    "intra_far": ("intra > 6 Å meV", 3, False),
    "inter_near": ("inter < 6 Å meV", 3, False),
    "inter_far": ("inter > 6 Å meV", 3, False),
    "inter_r2": ("inter R²", 4, True),
    "eigenvalues": ("bands meV", 2, False),
    "gap": ("gap meV", 2, False),
    "layer_level": ("layer level meV", 2, False),
    "force": ("force meV/Å", 2, False),
    "energy": ("energy meV/atom", 2, False),
}
SINGLE = {
    "nonzeros_per_row": ("non-zeros per row", 0),
    "parameters": ("parameters", 0),
    "cutoff": ("cutoff Å", 1),
    "n_raer": ("RAER", 0),
}
SHORT = {"held-out": "held out", "range": "range", "kind": "kind"}


def collect(table, folder) -> dict:
    """Results of the table's runs that exist: {(row name, seed): result}."""
    found = {}
    for run in table.runs():
        result = load_result(folder, run)
        if result:
            found[run.row.name, run.seed] = result
    return found


def value(result, column):
    """Entry of a result: "split.quantity" or a name; None where it has none."""
    split, _, quantity = column.rpartition(".")
    return result.get(split, {}).get(quantity) if split else result.get(quantity)


def statistics(table, results, row, column):
    """Values (n_seeds found,) of a column."""
    found = [value(results[row.name, seed], column) for seed in table.seeds if (row.name, seed) in results]
    return np.array([v for v in found if v is not None], float)


def heading(column) -> str:
    """Name of a column in a table."""
    split, _, quantity = column.rpartition(".")
    return f"{SHORT[split]}: {QUANTITIES[quantity][0]}" if split else SINGLE[quantity][0]


def check_columns(table) -> None:
    """ValueError naming the first column that does not exist."""
    for name, group in table.groups.items():
        for column in group["columns"]:
            split, _, quantity = str(column).rpartition(".")
            if not ((split in SPLITS and quantity in QUANTITIES) or (not split and quantity in SINGLE)):
                raise ValueError(
                    f"{table.path}: groups.{name}: no column {column!r}; columns: {', '.join(SINGLE)}, and "
                    f"{', '.join(QUANTITIES)} of {', '.join(SPLITS)} as in held-out.elements"
                )


def cells(table, results, name):
    """Headings and rows of text of one group.

    The best mean of a column is in bold, spreads are standard deviations over seeds.
    """
    group, rows = table.groups[name], [row for row in table.rows if name in row.groups]
    columns = group["columns"]
    found = {column: [statistics(table, results, row, column) for row in rows] for column in columns}
    out = []
    for number, row in enumerate(rows):
        line = [row.groups[name]]
        for column in columns:
            own, means = found[column][number], [v.mean() for v in found[column] if len(v)]
            split, _, quantity = column.rpartition(".")
            if not len(own):
                line.append("")
                continue
            digits = QUANTITIES[quantity][1] if split else SINGLE[quantity][1]
            text = f"{own.mean():,.{digits}f}" + (f" ± {own.std(ddof=1):.{digits}f}" if split and len(own) > 1 else "")
            best = split and len(means) > 1 and own.mean() == (max if QUANTITIES[quantity][2] else min)(means)
            line.append(f"**{text}**" if best else text)
        missing = [seed for seed in table.seeds if (row.name, seed) not in results]
        if missing:
            line[0] += (
                " (no run yet)"
                if len(missing) == len(table.seeds)
                else f" ({len(table.seeds) - len(missing)} of {len(table.seeds)} seeds)"
            )
        out.append(line)
    return ["row"] + [heading(c) for c in columns], out


def progress_line(table, results, name=None) -> str:
    """Number of runs behind the tables, "" when all are there."""
    rows = [row for row in table.rows if name is None or name in row.groups]
    total, done = len(rows) * len(table.seeds), sum((row.name, seed) in results for row in rows for seed in table.seeds)
    return "" if done == total else f"Partial: {done} of {total} runs are done."


def markdown(header, rows) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + [
        "| " + " | ".join(row) + " |" for row in rows
    ]


def group_lines(table, results, name) -> list[str]:
    """Title, state and table of one group."""
    partial = progress_line(table, results, name)
    return (
        [f"**{table.groups[name]['title']}**", ""]
        + ([f"*{partial}*", ""] if partial else [])
        + markdown(*cells(table, results, name))
    )


def noise_cells(noise):
    """Headings and rows of the errors of H against those of bands."""
    rows = []
    for kind, words in DISTURBANCES.items():
        for key, found in noise.items():
            if key.rsplit(" ", 1)[0] == kind:
                what = f"{words}: {key.rsplit(' ', 1)[1]} Å" if kind == "cut" else words
                rows.append(
                    [what, *(f"{found[q]:.{d}f}" for q, d in (("elements", 3), ("eigenvalues", 2), ("gap", 2)))]
                )
    return ["disturbance of the reference", "H meV", "bands meV", "gap meV"], rows


def split_lines(table) -> list[str]:
    """Sizes of the training set and of the sets for judging."""
    mild = lambda chosen: sum(c.assumed_sigma <= 0.03 + 1e-9 for c in chosen)
    atoms = lambda chosen: f"{min(len(c.atoms) for c in chosen)}-{max(len(c.atoms) for c in chosen)}"
    rows = [["training", str(len(table.splits["train"])), "", atoms(table.splits["train"])]]
    rows += [[SPLITS[s], str(len(table.splits[s])), str(mild(table.splits[s])), atoms(table.splits[s])] for s in SPLITS]
    return markdown(["configurations", "all", "judged (sigma <= 0.03 Å)", "atoms"], rows)


def update_document(file, parts) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end NAME -->` in a Markdown file.

    ValueError when a marker is missing.
    """
    file = Path(file)
    text = file.read_text(encoding="utf-8")
    for name, lines in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        if text.count(start) != 1 or text.count(end) != 1 or text.index(end) < text.index(start):
            raise ValueError(f"{file}: no pair of markers {start} ... {end}")
        before, rest = text.split(start)
        text = before + start + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1]
    atomic_write(file, text)
