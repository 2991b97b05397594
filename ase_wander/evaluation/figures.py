"""Figures of an evaluation: parity by class, errors by distance, bands near the gap, reliability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ..plotting import CONDUCTION, STYLE, VALENCE, plot_parity, save_figure
from .evaluate import NEAR

#: Panels of the elements: label, kind, distance range in Å.
PANELS = (
    ("on-site", 0, (0, NEAR)),
    ("intra-layer, near", 1, (0, NEAR)),
    ("intra-layer, far", 1, (NEAR, 12)),
    ("inter-layer, near", 2, (0, NEAR)),
    ("inter-layer, far", 2, (NEAR, 12)),
)

#: Panels of the reliability: quantity, label, unit, factor to that unit.
RELIABILITY = (
    ("forces", "force component", "meV/Å", 1e3),
    ("hamiltonian", "H element", "meV", 1e3),
    ("energy", "energy", "meV/atom", 1e3),
)


def write_figures(samples, folder) -> list[Path]:
    """Draw what `evaluate(..., samples=samples)` has put into the dict `samples`.

    Parameters
    ----------
    samples : dict of str to list
        With one entry per configuration: `forces` and `energies`, pairs (reference, predicted) of arrays (eV/Å) and of
        numbers (eV/atom); `elements`, dicts as `hamiltonian_errors` gives them (eV, Å); `eigenvalues`, pairs (error,
        weight) (eV), and `gaps`, errors (eV); `trust`, a pair (observed, deviations), see
        `evaluation.uncertainty.scores`.
    folder : path-like
        Exists already.

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
        columns = {
            k: np.concatenate([e[k] for e in samples["elements"]])
            for k in ("reference", "predicted", "distance", "kind")
        }
        save(plot_elements(columns), "parity_elements.png")
    if samples.get("eigenvalues"):
        save(plot_bands_errors(samples["eigenvalues"], samples["gaps"]), "eigenvalues.png")
    observed, deviations = samples.get("trust", ([], None))
    if deviations:
        save(plot_reliability(observed, deviations), "reliability.png")
    return out


def _figure(columns, rows, width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots(rows, columns, squeeze=False).ravel()


def plot_elements(columns):
    """Parity of the elements of every class, and their size and error against distance; returns the first Axes.

    `columns` : dict of arrays `reference`, `predicted` (eV), `distance` (Å), `kind` (0 on-site, 1 intra, 2 inter).
    """
    with rc_context(STYLE):
        shown = [
            (label, (columns["kind"] == kind) & (columns["distance"] >= low) & (columns["distance"] < high))
            for label, kind, (low, high) in PANELS
        ]
        shown = [(label, m) for label, m in shown if m.any()]
        n = len(shown) + 1
        axes = _figure(min(n, 3), -(-n // 3), 4.3 * min(n, 3), 3.9 * -(-n // 3))
        for ax, (label, m) in zip(axes, shown):
            plot_parity(
                1e3 * columns["reference"][m], 1e3 * columns["predicted"][m], quantity="element", unit="meV", ax=ax
            )
            ax.set_title(label, loc="left")
        _by_distance(columns, axes[n - 1])
        for ax in axes[n:]:
            ax.set_axis_off()
    return axes[0]


def _by_distance(columns, ax):
    """Mean size and mean error (meV) of intra- and inter-layer elements in bins of distance."""
    edges = np.arange(np.floor(columns["distance"][columns["kind"] > 0].min(initial=2)), 12.01, 0.25)
    centres = 0.5 * (edges[1:] + edges[:-1])
    for number, kind, colour in ((1, "intra-layer", VALENCE), (2, "inter-layer", CONDUCTION)):
        m = columns["kind"] == number
        place = np.digitize(columns["distance"][m], edges) - 1
        for label, values, style in (
            ("size", columns["reference"][m], dict(lw=1.1, ls=(0, (3, 1.5)))),
            ("error", columns["predicted"][m] - columns["reference"][m], dict(lw=1.7)),
        ):
            mean = [
                1e3 * np.abs(values[place == b]).mean() if (place == b).any() else np.nan for b in range(len(centres))
            ]
            known = np.isfinite(mean)  # bins between two shells of neighbours are empty: the line goes on
            ax.plot(centres[known], np.array(mean)[known], color=colour, label=f"{kind}, {label}", **style)
    ax.set(yscale="log", xlabel="distance (Å)", ylabel="mean absolute value (meV)", xlim=(edges[0], edges[-1]))
    ax.yaxis.set_major_formatter(_plain())
    ax.grid(True, which="major", color="0.92", lw=0.7)
    ax.set_title("against distance", loc="left")
    ax.legend(loc="upper right", handlelength=2.2)


def plot_bands_errors(eigenvalues, gaps):
    """Distribution of the errors of eigenvalues near the gap, and of the gap by configuration; returns the first Axes.

    `eigenvalues` : list of (error (n,), weight (n,)), eV; `gaps` : list of errors, eV.
    """
    error = 1e3 * np.concatenate([e for e, _ in eigenvalues])
    weight = np.concatenate([w / w.sum() for _, w in eigenvalues])  # every configuration counts once, as in the report
    with rc_context(STYLE):
        axes = _figure(2 if gaps else 1, 1, 8.6 if gaps else 4.4, 3.6)
        reach = np.quantile(np.abs(error), 0.99)
        ax = axes[0]
        ax.hist(error.clip(-reach, reach), np.linspace(-reach, reach, 61), weights=weight / weight.sum(), color=VALENCE)
        ax.axvline(0, color="0.5", lw=0.8)
        mean = (np.abs(error) * weight).sum() / weight.sum()
        ax.text(
            0.04,
            0.96,
            f"MAE = {mean:.3g} meV\n$\\sqrt{{\\langle e^2\\rangle}}$ = "
            f"{np.sqrt((error**2 * weight).sum() / weight.sum()):.3g} meV",
            transform=ax.transAxes,
            va="top",
            linespacing=1.5,
        )
        ax.set(
            xlabel="error of an eigenvalue near the gap (meV),\nfarther 1 % in the outermost bins",
            ylabel="share",
            xlim=(-reach, reach),
        )
        if gaps:
            ax, values = axes[1], 1e3 * np.sort(gaps)
            ax.axhline(0, color="0.5", lw=0.8)
            ax.vlines(np.arange(1, len(values) + 1), 0, values, color=CONDUCTION, lw=2.2)
            ax.plot(np.arange(1, len(values) + 1), values, "o", ms=4, color=CONDUCTION)
            ax.set(xlabel="configuration, by error", ylabel="error of the gap (meV)", xlim=(0, len(values) + 1))
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            ax.text(0.04, 0.96, f"MAE = {np.abs(values).mean():.3g} meV", transform=ax.transAxes, va="top")
    return axes[0]


def plot_reliability(observed, deviations):
    """Errors found against deviations predicted, each observation and the rms of bins of equal count.

    Returns the first Axes.

    Arguments as of `evaluation.uncertainty.scores`.
    """
    found = []
    for name, label, unit, factor in RELIABILITY:
        errors = [np.abs(np.atleast_1d(r[name])) for r in observed if name in r]
        if errors and len(deviations[name]):
            sigma = np.concatenate([np.atleast_1d(s) for s in deviations[name]])
            error = np.concatenate(errors)
            if error.ndim == 2:
                sigma, error = np.repeat(sigma, error.shape[1]), error.ravel()
            found.append((label, unit, factor * sigma, factor * error))
    with rc_context(STYLE):
        axes = _figure(len(found), 1, 3.9 * len(found), 3.7)
        for ax, (label, unit, sigma, error) in zip(axes, found):
            low, high = 0.5 * sigma.min(), 2 * max(sigma.max(), error.max())
            line = np.array([low, high])
            ax.fill_between(line, 0.02 * line, 2 * line, color="0.94", lw=0)
            ax.plot(line, line, color="0.4", lw=1.0)
            ax.plot(sigma, error.clip(0.02 * low), "o", ms=2.4, mfc=VALENCE, mec="none", alpha=0.35, rasterized=True)
            bins = [b for b in np.array_split(np.argsort(sigma), min(8, max(len(sigma) // 4, 1))) if len(b)]
            ax.plot(
                [np.sqrt((sigma[b] ** 2).mean()) for b in bins],
                [np.sqrt((error[b] ** 2).mean()) for b in bins],
                "o-",
                color=CONDUCTION,
                ms=5,
                lw=1.4,
                label="rms in bins of equal count",
            )
            ax.set(
                xscale="log",
                yscale="log",
                xlabel=f"predicted deviation ({unit})",
                ylabel=f"error found ({unit})",
                xlim=(low, 2 * sigma.max()),
                ylim=(0.02 * low, high),
            )
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(_plain())
                axis.set_minor_formatter(NullFormatter())
            ax.text(
                0.05,
                0.95,
                f"{100 * (error < sigma).mean():.0f} % within 1 deviation\n{100 * (error < 2 * sigma).mean():.0f} % "
                "within 2",
                transform=ax.transAxes,
                va="top",
                linespacing=1.4,
                fontsize=8.5,
            )
            ax.set_title(label, loc="left")
            ax.legend(loc="lower right")
    return axes[0]


def _plain():
    return FuncFormatter(lambda value, _: f"{value:g}")
