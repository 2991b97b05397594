"""The figure of an ablation: inputs, errors of H against errors of bands, cutoffs, sizes of the RAER."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ...plotting import ACCENT, CONDUCTION, STYLE, VALENCE
from .noise import DISTURBANCES
from .results import progress_line, statistics
from .table import SPLITS

COLOURS = {"held-out": VALENCE, "range": CONDUCTION, "kind": ACCENT}
MARKERS = {"held-out": "o", "range": "s", "kind": "D"}
LINES = {
    "even": ("-", "#000000"),
    "proportional": ("--", "#666666"),
    "common": (":", "#444444"),
    "cut": ("-.", "#CC79A7"),
}


def plot_ablation(table, results, noise):
    """Figure with a panel for each group that has results, and one for H against bands."""
    panels = [
        (draw, rows)
        for draw, name in ((_inputs, "inputs"), (_cutoffs, "cutoff"), (_sizes, "raer"))
        for rows in [
            [row for row in table.rows if name in row.groups and any((row.name, s) in results for s in table.seeds)]
        ]
        if rows
    ]
    panels.append((_bands, table.rows))
    with rc_context(STYLE):
        n = len(panels)
        figure = Figure(figsize=(5.2 * min(n, 2), 0.5 + 4.2 * -(-n // 2)), layout="constrained")
        axes = figure.subplots(-(-n // 2), min(n, 2), squeeze=False).ravel()
        for ax in axes[n:]:
            ax.axis("off")
        for ax, (draw, rows) in zip(axes, panels):
            draw(ax, table, results, rows, noise)
        if results:
            figure.legend(
                [Line2D([], [], color=COLOURS[s], marker=MARKERS[s], ls="", ms=5) for s in SPLITS],
                SPLITS.values(),
                ncols=3 if len(panels) > 1 else 1,
                loc="outside upper center",
                title=progress_line(table, results) or None,
            )
        else:
            figure.suptitle(progress_line(table, results), fontsize="medium")
    return figure


def _points(ax, x, values, split, **style):
    """Mean and, where there are several seeds, their range."""
    middle = np.array([v.mean() for v in values])
    spread = np.array([[v.mean() - v.min(), v.max() - v.mean()] for v in values]).T
    ax.errorbar(x, middle, yerr=spread, color=COLOURS[split], marker=MARKERS[split], ms=4.5, capsize=2, **style)


def _styles(ax, styles):
    """Legend of line styles {text: style} below a panel; the colours stand above the figure."""
    ax.legend(
        [Line2D([], [], color="#4D4D4D", marker="o", ms=4, **style) for style in styles.values()],
        styles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
    )


def _plain(axis):
    """Numbers as 1, 2, 5, 10 on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_minor_formatter(lambda x, _: "")


def _known(table, results, rows, column):
    pairs = [(row, statistics(table, results, row, column)) for row in rows]
    return [(row, v) for row, v in pairs if len(v)]


def _inputs(ax, table, results, rows, noise):
    styles = {"intra-layer": {}, "inter-layer": dict(mfc="white")}
    for number, split in enumerate(SPLITS):
        for column, style in zip(("intra", "inter"), styles.values()):
            known = _known(table, results, rows, f"{split}.{column}")
            if known:
                place = np.array([rows.index(row) for row, _ in known]) + 0.2 * (number - 1)
                middle = [v.mean() for _, v in known]
                spread = np.array([[v.mean() - v.min(), v.max() - v.mean()] for _, v in known]).T
                ax.errorbar(
                    middle,
                    place,
                    xerr=spread,
                    ls="",
                    color=COLOURS[split],
                    marker=MARKERS[split],
                    ms=4.5,
                    capsize=2,
                    **style,
                )
    ax.set_yticks(range(len(rows)), [fill(row.groups["inputs"], 24) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xscale("log")
    ax.set_xlabel("hoppings, MAE (meV)")
    _plain(ax.xaxis)
    ax.grid(axis="x", alpha=0.3)
    _styles(ax, {text: dict(ls="") | style for text, style in styles.items()})


def _cutoffs(ax, table, results, rows, noise):
    styles = {"with eigenvalues in the loss": dict(ls="-"), "without": dict(ls="--", mfc="white")}
    for bands, style in zip((True, False), styles.values()):
        for split in SPLITS:
            known = sorted(
                (
                    (statistics(table, results, row, "cutoff").mean(), v)
                    for row, v in _known(
                        table,
                        results,
                        [r for r in rows if (r.weights.get("eigenvalues", 1) != 0) == bands],
                        f"{split}.eigenvalues",
                    )
                ),
                key=lambda pair: pair[0],
            )
            if known:
                _points(ax, [x for x, _ in known], [v for _, v in known], split, **style)
    ax.set_xticks(sorted({float(statistics(table, results, row, "cutoff").mean()) for row in rows}))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_xlabel("cutoff of H (Å)")
    ax.set_ylabel("eigenvalues near the gap, MAE (meV)")
    ax.set_yscale("log")
    _plain(ax.yaxis)
    _styles(ax, styles)


def _sizes(ax, table, results, rows, noise):
    styles = {"elements of H (meV)": dict(ls="-"), "force (meV/Å)": dict(ls=":", mfc="white")}
    for split in SPLITS:
        for column, style in zip(("elements", "force"), styles.values()):
            known = sorted(
                (
                    (statistics(table, results, row, "n_raer").mean(), v)
                    for row, v in _known(table, results, rows, f"{split}.{column}")
                ),
                key=lambda pair: pair[0],
            )
            if known:
                _points(ax, [x for x, _ in known], [v for _, v in known], split, **style)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_xlabel("numbers in the RAER")
    ax.set_ylabel("MAE")
    _plain(ax.yaxis)
    _styles(ax, styles)


def _bands(ax, table, results, rows, noise):
    for kind, words in DISTURBANCES.items():
        found = [v for k, v in noise.items() if k.rsplit(" ", 1)[0] == kind]
        if found:
            found = sorted((v for v in found if v["elements"] > 0), key=lambda v: v["elements"])
            style, colour = LINES[kind]
            ax.plot(
                [v["elements"] for v in found],
                [v["eigenvalues"] for v in found],
                ls=style,
                color=colour,
                lw=1.2,
                label=words,
            )
    for split in SPLITS:
        x, y = (
            np.concatenate([statistics(table, results, row, f"{split}.{q}") for row in rows] or [np.zeros(0)])
            for q in ("elements", "eigenvalues")
        )
        if len(x) == len(y) and len(x):
            ax.plot(x, y, ls="", marker=MARKERS[split], color=COLOURS[split], ms=3.5, alpha=0.7, mew=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("elements of H, MAE (meV)")
    ax.set_ylabel("eigenvalues near the gap, MAE (meV)")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize="small")
