"""Prediction against reference."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from .style import STYLE, VALENCE, new_axes


def plot_parity(reference, predicted, *, quantity, unit, title=None, ax=None) -> Axes:
    """Prediction against reference, with mean absolute error and R² about the mean.

    Parameters
    ----------
    reference, predicted : array_like
        Same shape; any unit.
    quantity, unit : str
        For the labels, as "force" and "eV/Å".
    """
    reference, predicted = np.ravel(reference).astype(float), np.ravel(predicted).astype(float)
    if reference.shape != predicted.shape:
        raise ValueError(f"{len(reference)} reference values against {len(predicted)} predicted ones")
    error = predicted - reference
    spread = ((reference - reference.mean()) ** 2).sum()
    low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
    margin = 0.04 * max(high - low, 1e-12)
    limits = (low - margin, high + margin)
    with rc_context(STYLE):
        ax = new_axes(4.2, 4.0) if ax is None else ax
        ax.plot(limits, limits, color="0.6", lw=0.9, zorder=0)
        if len(reference) > 5000:
            image = ax.hexbin(
                reference,
                predicted,
                gridsize=120,
                bins="log",
                cmap="viridis",
                mincnt=1,
                linewidths=0,
                extent=(*limits, *limits),
            )
            ax.figure.colorbar(image, ax=ax, pad=0.02, shrink=0.92).set_label("number of values")
        else:
            ax.plot(reference, predicted, "o", ms=3, mfc=VALENCE, mec="none", alpha=0.5, rasterized=True)
        r2 = f"\n$R^2$ = {1 - (error**2).sum() / spread:.5f}" if spread > 0 else ""
        ax.text(
            0.04,
            0.96,
            f"MAE = {np.abs(error).mean():.3g} {unit}{r2}",
            transform=ax.transAxes,
            va="top",
            linespacing=1.4,
        )
        ax.set(
            xlabel=f"reference {quantity} ({unit})",
            ylabel=f"predicted {quantity} ({unit})",
            xlim=limits,
            ylim=limits,
            aspect="equal",
        )
        ax.locator_params(nbins=5)  # long labels of the x axis would touch
        if title:
            ax.set_title(title)
    return ax
