"""Densities over the plane of a moiré cell, and densities of states."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from .bands import check_axis, energy_label
from .style import NEUTRAL, STYLE, new_axes
from .weights import GROUPS


def plot_density(cell, density, *, label, origin=(0.0, 0.0), title=None, width=None, ax=None) -> Axes:
    """Map of a density that has the period of a cell, over several cells.

    Parameters
    ----------
    cell : array_like (2, 2), Å
        Lattice vectors in the plane, as `structure.plane_axes` sees them.
    density : ndarray (n_1, n_2)
        At fractions i / n_1, j / n_2 of the vectors, as `electronic.properties.analysis.density_map` gives it.
    label : str
        Quantity and unit of the colour bar.
    origin : (float, float)
        Fractional coordinates that become the middle of the map.
    width : float, optional
        Side of the map in Å; by default two and a half cells.
    """
    from scipy.ndimage import map_coordinates

    cell, density = np.asarray(cell, float), np.asarray(density, float)
    if cell.shape != (2, 2) or abs(np.linalg.det(cell)) < 1e-9:
        raise ValueError(f"cell is {cell.tolist()}; it must be two vectors that span the plane")
    if density.ndim != 2 or min(density.shape) < 2 or not np.isfinite(density).all():
        raise ValueError(f"the density must be a grid of finite numbers over the cell, its shape is {density.shape}")
    if width is not None and not 0 < width < np.inf:
        raise ValueError(f"width is {width!r} Å; it must be positive")
    width = 2.5 * float(np.linalg.norm(cell, axis=1).max()) if width is None else float(width)
    line = np.linspace(-width / 2, width / 2, 420)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2) @ np.linalg.inv(cell) + origin
    image = map_coordinates(density, (points % 1.0 * density.shape).T, order=1, mode="grid-wrap").reshape(420, 420)
    with rc_context(STYLE):
        ax = new_axes(4.9, 4.1) if ax is None else ax
        top = max(float(density.max()), 1e-300)
        low = min(float(density.min()), 0.0) if density.min() < -1e-6 * top else 0.0
        artist = ax.imshow(
            image, origin="lower", extent=[-width / 2, width / 2] * 2, cmap="magma", vmin=low, vmax=top, rasterized=True
        )
        corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) @ cell
        ax.add_patch(Polygon(corners, closed=True, fill=False, ec="white", lw=1.0, ls=(0, (4, 3))))
        bar = ax.figure.colorbar(artist, ax=ax, pad=0.02, shrink=0.92, label=label)
        bar.formatter.set_powerlimits((-2, 3))
        bar.outline.set_linewidth(0.8)
        ax.set(xlabel="$x$ (Å)", ylabel="$y$ (Å)", aspect="equal", xlim=(line[0], line[-1]), ylim=(line[0], line[-1]))
        ax.tick_params(color="white", which="both")
        if title:
            ax.set_title(title, loc="left")
    return ax


def plot_dos(dos, *, zero=0.0, zero_name=None, window=None, title=None, ax=None) -> Axes:
    """Density of states against energy, parts of it (up to six) in colours under their sum.

    Parameters
    ----------
    dos : ase.spectrum.dosdata.GridDOSData or GridDOSCollection
        As `calc.get_dos` gives it.
    zero, zero_name : float, str
        As in `plot_fat_bands`.
    window : (float, float), optional
        Limits of the energy axis in eV, relative to `zero`.
    """
    check_axis(zero, window)
    parts = list(dos) if hasattr(dos, "__len__") else [dos]
    if not all(hasattr(part, "get_weights") for part in parts):
        raise ValueError(f"{type(dos).__name__} is no density of states of ASE (GridDOSData, GridDOSCollection)")
    if not 1 <= len(parts) <= len(GROUPS):
        raise ValueError(f"{len(parts)} parts of a density of states: a figure tells 1 to {len(GROUPS)} of them apart")
    energies = parts[0].get_energies() - zero
    rows = np.array([part.get_weights() for part in parts])
    total = rows.sum(axis=0)
    shown = np.ones(len(energies), bool) if window is None else (energies >= window[0]) & (energies <= window[1])
    if not shown.any():
        raise ValueError(f"window {tuple(window)} eV: the density of states is known from {energies[0]:g} on")
    with rc_context(STYLE):
        ax = new_axes(5.2, 3.4) if ax is None else ax
        ax.fill_between(energies, total, color="0.93", lw=0)
        ax.plot(energies, total, color=NEUTRAL, lw=1.1, label="all" if len(parts) > 1 else None)
        if len(parts) > 1:
            for part, row, colour in zip(parts, rows, GROUPS):
                ax.plot(energies, row, color=colour, lw=1.1, label=part.info.get("label"))
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(parts) + 1, 4))
        if energies[shown][0] < 0 < energies[shown][-1]:
            ax.axvline(0.0, color="0.6", lw=0.7, ls=(0, (4, 3)), zorder=0)
        ax.set_xlim(energies[shown][0], energies[shown][-1])
        ax.set_ylim(0, 1.08 * max(float(total[shown].max()), 1e-12))
        ax.set(xlabel=energy_label(zero, zero_name), ylabel="states per eV and cell")
        if title:
            ax.set_title(title, loc="left", pad=8 if len(parts) == 1 else 24 if len(parts) < 4 else 38)
    return ax
