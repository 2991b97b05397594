"""Figures: bands, corrugation, parity. No physics here; every function returns its Axes."""

from .bands import band_edges, check_axis, gap_label, plot_bands, with_subscripts
from .corrugation import plot_corrugation
from .density import plot_density, plot_dos
from .parity import plot_parity
from .style import ACCENT, CONDUCTION, NEUTRAL, STYLE, VALENCE, new_axes, save_figure
from .weights import plot_fat_bands, plot_spin_texture, plot_unfolded

__all__ = [
    "ACCENT",
    "CONDUCTION",
    "NEUTRAL",
    "STYLE",
    "VALENCE",
    "band_edges",
    "check_axis",
    "gap_label",
    "new_axes",
    "plot_bands",
    "plot_corrugation",
    "plot_density",
    "plot_dos",
    "plot_fat_bands",
    "plot_parity",
    "plot_spin_texture",
    "plot_unfolded",
    "save_figure",
    "with_subscripts",
]
