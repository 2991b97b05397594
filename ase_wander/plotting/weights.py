"""Bands along a path with what their states are made of: weights on groups of orbitals, unfolded weights, spins."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from .bands import _merged_ticks, check_axis, energy_label
from .style import ACCENT, CONDUCTION, STYLE, VALENCE, new_axes

#: Colours of groups, of Okabe and Ito.
GROUPS = (VALENCE, CONDUCTION, ACCENT, "#CC79A7", "#E69F00", "#56B4E9")


def plot_fat_bands(path, energies, weights, *, zero=0.0, zero_name=None, window=None, title=None, ax=None) -> Axes:
    """Bands coloured by the groups of orbitals that their states live on, thin where they live elsewhere.

    Parameters
    ----------
    path : ase.dft.kpoints.BandPath
    energies : ndarray (n_k, n_bands), eV
    weights : dict of str -> ndarray (n_k, n_bands)
        Shares of up to six groups, as `electronic.properties.analysis.fat_bands` gives them. A state on several groups
        has the mixture of their colours.
    zero, zero_name : float, str
        Energy (eV) that becomes the zero of the axis, and what stands for it there ("VBM", "F"); default its value.
    window : (float, float), optional
        Limits of the energy axis in eV, relative to `zero`.

    Raises
    ------
    ValueError
        For shapes that do not fit, no group or more than six, weights outside of 0 to 1.
    """
    energies = _checked(path, energies, zero, window)
    if not isinstance(weights, dict):
        raise ValueError(f"weights are {type(weights).__name__}; they map names of groups to arrays")
    if not 1 <= len(weights) <= len(GROUPS):
        raise ValueError(f"{len(weights)} groups of orbitals: a figure tells 1 to {len(GROUPS)} of them apart")
    shares = np.array([_checked_weights(energies, w, name) for name, w in weights.items()])  # (group, k, band)
    colours = np.array([to_rgb(colour) for colour in GROUPS[: len(weights)]])
    with rc_context(STYLE):
        ax, x = _path_axes(path, energies - zero, energy_label(zero, zero_name), window, title, ax)
        steps = np.flatnonzero(np.diff(x) > 0) if len(x) > 1 else np.zeros(0, int)
        for band in range(energies.shape[1]):
            ends = np.stack([x, energies[:, band] - zero], axis=1)
            share = (shares[:, steps, band] + shares[:, steps + 1, band]) / 2 if len(steps) else shares[:, :0, band]
            total = share.sum(axis=0)
            mixed = (share / np.maximum(total, 1e-12)).T @ colours
            ax.add_collection(
                LineCollection(
                    np.stack([ends[steps], ends[steps + 1]], axis=1),
                    colors=np.clip(mixed, 0, 1),
                    linewidths=0.3 + 1.3 * np.minimum(total, 1),
                    capstyle="round",
                )
            )
            if len(x) == 1:
                ax.scatter(x, ends[:, 1], c=[np.clip(shares[:, 0, band] @ colours, 0, 1)], s=20)
        names = [Line2D([], [], color=c, lw=2.4, label=name) for c, name in zip(GROUPS, weights)]
        ax.legend(handles=names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(names), 4))
        if title:  # above the legend
            ax.set_title(title, loc="left", pad=24 if len(names) <= 4 else 38)
    return ax


def plot_unfolded(path, energies, weights, *, zero=0.0, zero_name=None, window=None, title=None, ax=None) -> Axes:
    """Effective band structure: a dot for every state, its area the weight on Bloch waves of the primitive cell.

    Parameters
    ----------
    path : ase.dft.kpoints.BandPath
        Of the primitive cell, as `electronic.properties.unfolding.primitive_path` gives it.
    energies, weights : ndarray (n_k, n_bands)
        As from `electronic.properties.unfolding.unfold`; eV.
    zero, zero_name, window
        As in `plot_fat_bands`.
    """
    energies = _checked(path, energies, zero, window)
    weights = _checked_weights(energies, weights, "weights")
    with rc_context(STYLE):
        ax, x = _path_axes(path, energies - zero, energy_label(zero, zero_name), window, title, ax)
        seen = weights > 0.01
        where = np.broadcast_to(x[:, None], energies.shape)[seen]
        largest = max(0.5 * (72 * ax.figure.get_size_inches()[0] / max(len(x), 30)) ** 2, 6)
        ax.scatter(
            where, (energies - zero)[seen], s=largest * weights[seen], color=VALENCE, linewidths=0, rasterized=True
        )
    return ax


def plot_spin_texture(
    path, energies, spins, component=2, *, zero=0.0, zero_name=None, window=None, title=None, ax=None
) -> Axes:
    """Bands coloured by one component of their spins.

    Parameters
    ----------
    path : ase.dft.kpoints.BandPath
    energies : ndarray (n_k, n_bands), eV
    spins : ndarray (n_k, n_bands, 3)
        In hbar / 2, as `electronic.properties.spin.spin_texture` gives them.
    component : {0, 1, 2}
        x, y or z.
    zero, zero_name, window
        As in `plot_fat_bands`.
    """
    energies, spins = _checked(path, energies, zero, window), np.asarray(spins, float)
    if component not in (0, 1, 2):
        raise ValueError(f"component is {component!r}; it must be 0, 1 or 2 for x, y or z")
    if spins.shape != (*energies.shape, 3):
        raise ValueError(f"spins have the shape {spins.shape}, the energies {energies.shape}: (n_k, n_bands, 3) fits")
    with rc_context(STYLE):
        ax, x = _path_axes(
            path, energies - zero, energy_label(zero, zero_name), window, title, ax or new_axes(5.4, 4.2)
        )
        ax.plot(x, energies - zero, color="0.85", lw=0.5, zorder=0)
        # every second band has smaller dots: of two states of one energy and opposite spin both are seen
        sizes = np.broadcast_to(np.where(np.arange(energies.shape[1]) % 2, 4.0, 12.0), energies.shape)
        artist = ax.scatter(
            np.broadcast_to(x[:, None], energies.shape),
            energies - zero,
            c=spins[..., component],
            s=sizes,
            cmap="coolwarm",
            vmin=-1,
            vmax=1,
            linewidths=0,
            rasterized=True,
        )
        ax.figure.colorbar(artist, ax=ax, pad=0.02, label=f"$\\langle\\sigma_{'xyz'[component]}\\rangle$")
    return ax


def _checked(path, energies, zero, window):
    """Energies (n_k, n_bands) that fit the path."""
    check_axis(zero, window)
    if isinstance(zero, str):
        raise ValueError(f"zero is {zero!r}; here it is an energy in eV")
    if not hasattr(path, "get_linear_kpoint_axis"):
        raise ValueError(f"path is {path!r}; a figure takes the BandPath that the energies were computed on")
    energies = np.asarray(energies, float)
    if energies.ndim != 2 or len(energies) != len(path.kpts) or not energies.size:
        raise ValueError(f"energies have the shape {energies.shape}; the path has {len(path.kpts)} k-points")
    if not np.isfinite(energies).all():
        raise ValueError("the energies are not all finite")
    return energies


def _checked_weights(energies, weights, name):
    weights = np.asarray(weights, float)
    if weights.shape != energies.shape:
        raise ValueError(f"{name}: shape {weights.shape}, that of the energies is {energies.shape}")
    if not ((weights > -1e-6) & (weights < 1 + 1e-6)).all():
        raise ValueError(f"{name}: weights from {weights.min():g} to {weights.max():g}; shares lie between 0 and 1")
    return np.clip(weights, 0, 1)


def _path_axes(path, energies, label, window, title, ax):
    """Axes with the special points of a path and an energy axis; its abscissae (n_k,)."""
    ax = new_axes() if ax is None else ax
    x, ticks, labels = path.get_linear_kpoint_axis()
    for tick in ticks[1:-1]:
        ax.axvline(tick, color="0.8", lw=0.8, zorder=-1)
    margin = 0.04 * max(np.ptp(energies), 0.1)
    ax.set_xlim(*((x[0], x[-1]) if x[-1] > x[0] else (x[0] - 0.5, x[0] + 0.5)))
    ax.set_ylim(*(window or (energies.min() - margin, energies.max() + margin)))
    ax.set_xticks(*_merged_ticks(ticks, labels))
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(label)
    if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
        ax.axhline(0.0, color="0.6", lw=0.7, ls=(0, (4, 3)), zorder=-1)
    if title:
        ax.set_title(title, loc="left")
    return ax, x
