"""Figures of an evaluation: parity of forces and elements, errors against distance, learning curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..plotting import plot_learning_curve, plot_parity, save_figure

#: Labels of the validation errors that a learning curve shows, by their key in the reports of the stages.
CURVES = {"force": "force (meV/Å)", "energy": "energy (meV/atom)", "layer_force": "net force on a layer (meV/Å)",
          "elements": "H elements (meV)", "eigenvalues": "eigenvalues near the gap (meV)", "onsite": "on-site (meV)",
          "vacuum_step": "vacuum step (meV)"}

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
    """One figure per stage of a run directory: validation errors against steps."""
    for stage in stages:
        rows = [json.loads(line) for line in (Path(run) / f"{stage}.jsonl").read_text().splitlines()]
        rows = [r for r in rows if "validation" in r]
        curves = {label: [r["validation"][k] for r in rows] for k, label in CURVES.items() if rows and k in rows[0]["validation"]}
        if curves:
            save_figure(plot_learning_curve([r["step"] for r in rows], curves), Path(folder) / f"{stage}.png")
