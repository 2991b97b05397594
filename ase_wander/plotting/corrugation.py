"""Maps of the interlayer distance over a moiré cell."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from .style import STYLE, new_axes


def plot_corrugation(atoms, positions, distance, *, title=None, width=None, ax=None) -> Axes:
    """Map of the distance between two layers over several moiré cells.

    Parameters
    ----------
    atoms : ase.Atoms
        Gives the in-plane cell (first two lattice vectors), drawn as an outline.
    positions : array_like, shape (n, 2) or (n, 3)
        Where the distance is known, Å.
    distance : array_like, shape (n,)
        Interlayer distance there, Å.
    title : str, optional
    width : float, optional
        Side of the map in Å; by default three cells.
    ax : matplotlib Axes, optional
    """
    cell = atoms.cell.array[:2, :2]
    width = 3.0 * float(np.linalg.norm(cell, axis=1).max()) if width is None else float(width)
    points, values = _tile(np.asarray(positions, float)[:, :2], np.asarray(distance, float), cell, 0.75 * width)
    grid = np.linspace(-width / 2, width / 2, 400)
    gx, gy = np.meshgrid(grid, grid)
    from scipy.interpolate import CloughTocher2DInterpolator

    # A smooth (C1) surface through the points themselves, without smoothing.
    surface = CloughTocher2DInterpolator(points, values)(gx, gy)
    with rc_context(STYLE):
        ax = new_axes(4.9, 4.1) if ax is None else ax
        # Colours end at the distances of the sites, the numbers of every table; the surface between them may overshoot.
        half = max(np.ptp(values) / 2, 5e-4)  # a flat map must not show rounding as corrugation
        middle = (values.max() + values.min()) / 2
        image = ax.imshow(
            surface,
            origin="lower",
            extent=[-width / 2, width / 2] * 2,
            cmap="viridis",
            vmin=middle - half,
            vmax=middle + half,
            interpolation="bilinear",
            rasterized=True,
        )
        corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) @ cell
        for colour, width_pt in (("0.15", 2.6), ("white", 1.4)):
            ax.add_patch(Polygon(corners, closed=True, fill=False, ec=colour, lw=width_pt))
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02, shrink=0.92)
        bar.set_label("interlayer distance (Å)")
        bar.ax.ticklabel_format(useOffset=False)
        bar.outline.set_linewidth(0.8)
        ax.set(
            xlabel="$x$ (Å)",
            ylabel="$y$ (Å)",
            aspect="equal",
            xlim=(-width / 2, width / 2),
            ylim=(-width / 2, width / 2),
        )
        ax.tick_params(color="white", which="both")
        if title:
            ax.set_title(title)
    return ax


def _tile(points, values, cell, radius):
    """Periodic copies of (points, values) within `radius` of the cell's centre, which becomes the origin."""
    reach = int(np.ceil(radius / np.abs(np.linalg.det(cell)) * np.linalg.norm(cell, axis=1).max())) + 2
    n = np.arange(-reach, reach + 1)
    shifts = np.array(np.meshgrid(n, n)).reshape(2, -1).T @ cell
    wrapped = (points @ np.linalg.inv(cell)) % 1.0 - 0.5
    tiled = (shifts[:, None, :] + (wrapped @ cell)[None, :, :]).reshape(-1, 2)
    copies = np.tile(values, len(shifts))
    near = np.linalg.norm(tiled, axis=1) <= radius + np.linalg.norm(cell, axis=1).max()
    return tiled[near], copies[near]
