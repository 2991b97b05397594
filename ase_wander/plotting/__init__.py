"""Figures: bands, corrugation, parity. No physics here; every function returns its Axes."""

from .bands import band_edges, gap_label, plot_bands, with_subscripts
from .corrugation import plot_corrugation
from .parity import plot_parity
from .style import ACCENT, CONDUCTION, NEUTRAL, STYLE, VALENCE, new_axes, save_figure

__all__ = [
    "ACCENT",
    "CONDUCTION",
    "NEUTRAL",
    "STYLE",
    "VALENCE",
    "band_edges",
    "gap_label",
    "new_axes",
    "plot_bands",
    "plot_corrugation",
    "plot_parity",
    "save_figure",
    "with_subscripts",
]
