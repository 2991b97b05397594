"""Colours, fonts and empty axes of all figures.

Colours are those of Okabe and Ito, distinct for every kind of colour vision. Figures are drawn without a display and
saved by the caller.
"""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

VALENCE, CONDUCTION, ACCENT, NEUTRAL = "#0072B2", "#D55E00", "#009E73", "#4D4D4D"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.8,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.titlepad": 8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.dpi": 250,
    "figure.dpi": 120,
}


def new_axes(width=4.6, height=4.0) -> Axes:
    """One empty Axes on a Figure of its own (inches), independent of pyplot and of any display."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure.add_subplot()


def save_figure(ax, filename) -> None:
    """Write the figure of `ax`; the format follows from the name."""
    with rc_context(STYLE):
        ax.figure.savefig(filename)
