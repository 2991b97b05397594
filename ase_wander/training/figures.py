"""Figures of an evaluation: parity of forces and elements, errors against distance, learning curves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..plotting import ACCENT, CONDUCTION, STYLE, VALENCE, plot_learning_curve, plot_parity, save_figure
from .progress import ERRORS

#: Curves of one panel, in the colours of Okabe and Ito.
COLOURS = (VALENCE, CONDUCTION, ACCENT, "#CC79A7", "#E69F00")
LINES = {"validation": dict(lw=1.6), "train": dict(lw=1.0, ls=(0, (3, 1.5)), alpha=0.8)}
PANELS = {"meV/Å": "force (meV/Å)", "meV/atom": "energy (meV/atom)", "meV": "Hamiltonian (meV)"}

KINDS = ("on-site", "intra-layer", "inter-layer")


def write_figures(samples, folder) -> list[Path]:
    """Draw what `evaluate(..., samples=samples)` has put into the dict `samples`.

    Parameters
    ----------
    samples : dict of lists with one entry per configuration: `forces` and `energies`, pairs (reference, predicted) of arrays
        (eV/Å) and of numbers (eV/atom); `elements`, dicts as `hamiltonian_errors` gives them (eV, Å).
    folder : existing folder

    Returns
    -------
    list of Path
    """
    folder, out = Path(folder), []

    def save(ax, name):
        save_figure(ax, folder / name)
        out.append(folder / name)

    for key, quantity, unit in (("forces", "force", "eV/Å"), ("energies", "energy per atom", "eV")):
        if samples[key]:
            reference, predicted = (np.concatenate([np.ravel(p[k]) for p in samples[key]]) for k in (0, 1))
            save(plot_parity(reference, predicted, quantity=quantity, unit=unit), f"parity_{key}.png")
    if samples["elements"]:
        columns = {k: np.concatenate([e[k] for e in samples["elements"]])
                   for k in ("reference", "predicted", "distance", "kind")}
        for number, kind in enumerate(KINDS):
            m = columns["kind"] == number
            if m.any():
                save(plot_parity(columns["reference"][m], columns["predicted"][m], quantity=f"{kind} element", unit="eV"),
                     f"parity_{kind.replace('-', '')}.png")
        save(_errors_by_distance(columns), "errors_distance.png")
    return out


def _errors_by_distance(columns):
    """Mean size and mean error (meV) of intra- and inter-layer elements in bins of distance."""
    edges = np.linspace(2, 12, 41)
    centres, curves = 0.5 * (edges[1:] + edges[:-1]), {}
    for number, kind in ((1, "intra-layer"), (2, "inter-layer")):
        m = columns["kind"] == number
        place = np.digitize(columns["distance"][m], edges) - 1
        for label, values in (("error", columns["predicted"][m] - columns["reference"][m]), ("size", columns["reference"][m])):
            curves[f"{kind} {label}"] = np.array([1e3 * np.abs(values[place == b]).mean() if (place == b).any() else np.nan
                                                  for b in range(len(centres))])
    return plot_learning_curve(centres, curves, xlabel="distance (Å)", ylabel="mean absolute value (meV)")


def plot_learning_curves(run, stages, folder) -> None:
    """`learning.png` in `folder`: errors against steps, a panel for each unit, with the stages of a run one after the other.

    Solid lines are validation errors of the averaged weights; dashed ones are the mean over training batches of all
    displacements since the last validation, with the weights and the noise of each step. Stages without a log are left out.
    """
    rows, first_step, starts = [], 0, []
    for stage in stages:
        log = Path(run) / f"{stage}.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
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
        temporary = Path(folder) / "learning.part.png"  # a run redraws it while it goes on
        save_figure(_learning_panels(curves, [*starts, (first_step, "")])[0], temporary)
        os.replace(temporary, Path(folder) / "learning.png")


def _learning_panels(curves, starts):
    """Axes of `plot_learning_curves`; every panel reaches over the stages that have its errors."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.4 + 2.2 * len(curves)), layout="constrained")
        axes = figure.subplots(len(curves), squeeze=False)[:, 0]
        for ax, (unit, panel) in zip(axes, curves.items()):
            numbers = set()
            for colour, (label, parts) in zip(COLOURS, panel.items()):
                for part, points in parts.items():
                    for number in np.unique(points[:, 0]).astype(int):  # a stage begins anew: no line across its border
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
            for (begin, stage), (end, _) in zip(starts[:-1], starts[1:]):
                if left <= begin < end <= right:
                    ax.axvline(begin, color="0.6", lw=0.8, zorder=0)
                    rotation = 0 if end - begin > 0.017 * len(stage) * (right - left) else 25
                    ax.text((begin + end) / 2, 1.02, stage, transform=ax.get_xaxis_transform(), ha="center" if not rotation else "left",
                            va="bottom", fontsize=8.5, color="0.25", rotation=rotation)
            ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.03), fontsize=8, handlelength=1.7)
        axes[-1].set_xlabel("optimiser step")
    return axes


def _plain_decades(axis, low, high):
    """Numbers as 0.1, 1, 10; also 2 and 5 of every decade where few decades are shown."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(NullFormatter())
    if high < 30 * low:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(plain)
