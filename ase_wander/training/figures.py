"""Learning curves of a run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..files import writing
from ..plotting import ACCENT, CONDUCTION, STYLE, VALENCE, save_figure
from .progress import ERRORS

#: Curves of one panel, in the colours of Okabe and Ito.
COLOURS = (VALENCE, CONDUCTION, ACCENT, "#CC79A7", "#E69F00", "#56B4E9")
LINES = {"validation": dict(lw=1.6), "train": dict(lw=1.0, ls=(0, (3, 1.5)), alpha=0.8)}
PANELS = {"meV/Å": "force (meV/Å)", "meV/atom": "energy (meV/atom)", "meV": "Hamiltonian (meV)"}


def plot_learning_curves(run, stages, folder) -> None:
    """`learning.png` in `folder` from the logs of a run directory, see `plot_logs`.

    Stages without a log are left out.
    """
    logs = {stage: Path(run) / f"{stage}.jsonl" for stage in stages}
    plot_logs(
        {
            stage: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            for stage, log in logs.items()
        },
        folder,
    )


def plot_logs(logs, folder) -> None:
    """Draw `learning.png`: errors against steps, a panel for each unit, stages one after the other.

    `logs` holds by stage rows with `step` and, now and then, `validation` and `train`: dicts of errors.

    Solid lines are validation errors of the averaged weights; dashed ones are the mean over training batches of all
    displacements since the last validation, with the weights and the noise of each step.
    """
    rows, first_step, starts = [], 0, []
    for stage, found in logs.items():
        rows += [{**r, "total": first_step + r["step"], "number": len(starts)} for r in found]
        starts.append((first_step, stage))
        first_step += found[-1]["step"] if found else 0
    curves = {}  # by unit and label: stage numbers, steps and errors of validation and training
    for name, (label, unit, in_training) in ERRORS.items():
        for key, part in ((name, "validation"), (in_training, "train")):
            points = np.array([(r["number"], r["total"], r[part][key]) for r in rows if r.get(part, {}).get(key)])
            if len(points):
                curves.setdefault(unit, {}).setdefault(label, {})[part] = points
    if curves:
        with writing(Path(folder) / "learning.png") as temporary:  # a run redraws it while it goes on
            save_figure(_learning_panels(curves, [*starts, (first_step, "")])[0], temporary)


def _learning_panels(curves, starts):
    """Axes of `plot_learning_curves`; every panel reaches over the stages that have its errors."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.4 + 2.2 * len(curves)), layout="constrained")
        axes = figure.subplots(len(curves), squeeze=False)[:, 0]
        for ax, (unit, panel) in zip(axes, curves.items()):
            numbers = set()
            for colour, (label, parts) in zip(COLOURS, panel.items()):
                for part, points in parts.items():
                    for number in np.unique(points[:, 0]).astype(int):  # no line across a restart
                        steps, errors = points[points[:, 0] == number, 1:].T
                        ax.plot(steps, errors, color=colour, marker="." if len(steps) == 1 else None, **LINES[part])
                        numbers.add(number)
                ax.plot([], [], color=colour, lw=1.6, label=label)
            for part, style in LINES.items():
                ax.plot([], [], color="0.4", label={"train": "training"}.get(part, part), **style)
            left, right = starts[min(numbers)][0], starts[max(numbers) + 1][0]
            ax.set(yscale="log", ylabel=PANELS[unit], xlim=(left, right))
            _plain_decades(ax.yaxis, *ax.get_ylim())
            ax.grid(True, which="major", color="0.92", lw=0.7)
            for (begin, stage), (end, _) in itertools.pairwise(starts):
                if left <= begin < end <= right:
                    ax.axvline(begin, color="0.6", lw=0.8, zorder=0)
                    rotation = 0 if end - begin > 0.017 * len(stage) * (right - left) else 25
                    ax.text(
                        (begin + end) / 2,
                        1.02,
                        stage,
                        transform=ax.get_xaxis_transform(),
                        ha="center" if not rotation else "left",
                        va="bottom",
                        fontsize=8.5,
                        color="0.25",
                        rotation=rotation,
                    )
            ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.03), fontsize=8, handlelength=1.7)
        axes[-1].set_xlabel("optimiser step")
    return axes


def _plain_decades(axis, low, high):
    """Numbers as 0.1, 1, 10; also 2 and 5 of every decade where few decades are shown."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(NullFormatter())
    if high < 100 * low:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(plain)
