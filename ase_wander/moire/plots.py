"""Figures of moiré cells. No physics here: every number drawn comes from `registry`, `stacking` or `strain`.

Every function returns its matplotlib Axes; matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import numpy as np

#: One colour per stacking (Okabe and Ito), the last for walls.
DOMAIN_COLOURS = ["#E69F00", "#0072B2", "#009E73", "#BBBBBB"]


def plot_cell(atoms, *, moire=None, title=None, ax=None):
    """Top view of all atoms with the cell and, given its vectors (2, 2) in Å, the moiré cell.

    Atoms are drawn from the bottom up with the colours of ASE's viewer, the lower layers pale.
    """
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    from .interlayer import flat_slab

    atoms = flat_slab(atoms)
    order = np.argsort(atoms.positions[:, 2])
    layer = atoms.arrays.get("layer", np.zeros(len(atoms), int))
    fade = (layer.max() - layer) / max(layer.max(), 1) * 0.65
    colours = jmol_colors[atoms.numbers] * (1 - fade[:, None]) + fade[:, None]
    cell = atoms.cell.array[:2, :2]
    with _style():
        ax = _axes(ax, cell)
        scale = _points_per_angstrom(ax)
        size = (0.9 * covalent_radii[atoms.numbers] * scale) ** 2
        ax.scatter(
            *atoms.positions[order, :2].T,
            s=size[order],
            c=colours[order],
            edgecolors="0.25",
            linewidths=min(0.5, 0.02 * scale),
            rasterized=len(atoms) > 3000,
        )
        _outline(ax, cell, "0.1", 1.2)
        if moire is not None:
            _outline(ax, np.asarray(moire), "#D55E00", 1.2, ls="--")
        return _finish(ax, title)


def plot_registry(atoms, positions, registry, *, title=None, ax=None):
    """Local registry (fractions of the lattice vectors, (n, 2)) as a colour.

    Three waves that a turn by 120 degrees permutes make red, green and blue: the map is periodic in the shift, the
    three high-symmetry stackings are white, grey and black, and what lies between them is coloured by its direction.
    """
    s = 2 * np.pi * np.asarray(registry)
    phases = np.stack([s[:, 0], s[:, 1] - s[:, 0], -s[:, 1]], axis=1)
    colours = 0.5 + 0.42 * np.sin(phases + np.pi / 4)
    with _style():
        ax = _axes(ax, atoms.cell.array[:2, :2])
        _map(ax, atoms, positions, colours)
        return _finish(ax, title)


def plot_domains(atoms, domains, *, title=None, ax=None):
    """Each site in the colour of its stacking, with the shares in the legend."""
    from matplotlib.colors import to_rgb
    from matplotlib.lines import Line2D

    palette = np.array([to_rgb(c) for c in DOMAIN_COLOURS])
    with _style():
        ax = _axes(ax, atoms.cell.array[:2, :2], extra=1.2)
        _map(ax, atoms, domains.positions, palette[domains.label])
        handles = [
            Line2D(
                [],
                [],
                ls="",
                marker="h",
                ms=8,
                color=DOMAIN_COLOURS[k if name != "wall" else -1],
                label=f"{name} {100 * share:.1f} %",
            )
            for k, (name, share) in enumerate(domains.areas.items())
        ]
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), handletextpad=0.2)
        return _finish(ax, title)


def plot_map(atoms, positions, values, *, label, diverging=False, title=None, ax=None):
    """A scalar at sites of the cell (interlayer distance, strain, rotation, ...) as a colour map.

    Parameters
    ----------
    label : str
        Quantity and unit of the colour bar.
    diverging : bool
        Centre the colours on zero.
    """
    values = np.asarray(values, dtype=float)
    middle = 0.0 if diverging else (values.max() + values.min()) / 2
    # a uniform field must not show rounding as structure
    half = max(abs(values - middle).max(), 1e-6 * max(1.0, abs(middle)))
    with _style():
        ax = _axes(ax, atoms.cell.array[:2, :2], extra=0.9)
        artist = _map(
            ax,
            atoms,
            positions,
            values,
            cmap="RdBu_r" if diverging else "viridis",
            vmin=middle - half,
            vmax=middle + half,
        )
        bar = ax.figure.colorbar(artist, ax=ax, pad=0.02, label=label)
        bar.ax.ticklabel_format(useOffset=False)
        return _finish(ax, title)


def plot_displacements(atoms, positions, displacement, *, scale=None, title=None, ax=None):
    """In-plane displacement vectors (n, 2 or 3), Å, over the cell; drawn `scale` times as long as they are.

    By default the longest arrow is a tenth of the shorter cell vector.  Of many sites an even selection is drawn.
    """
    positions, vectors = np.asarray(positions)[:, :2], np.asarray(displacement)[:, :2]
    cell = atoms.cell.array[:2, :2]
    longest = np.linalg.norm(vectors, axis=1).max()
    if scale is None:
        scale = 0.1 * np.linalg.norm(cell, axis=1).min() / max(longest, 1e-12)
    with _style():
        ax = _axes(ax, cell, extra=0.9)
        chosen = _thinned(cell, positions)
        positions, vectors = positions[chosen], vectors[chosen]
        length = np.linalg.norm(vectors, axis=1)
        arrows = ax.quiver(
            *positions.T,
            *(scale * vectors).T,
            length,
            angles="xy",
            scale_units="xy",
            scale=1,
            cmap="viridis",
            width=0.004,
            headwidth=4,
        )
        ax.figure.colorbar(arrows, ax=ax, pad=0.02, label="displacement (Å)")
        _outline(ax, cell, "0.1", 1.2)
        return _finish(ax, title)


def _style():
    from matplotlib import rc_context

    from ..plotting import STYLE

    return rc_context(STYLE)


def _axes(ax, cell, extra=0.0):
    """Axes with limits around the cell, on a new figure unless given (`extra`: inches for a legend)."""
    from ..plotting import new_axes

    corners = np.array([[0, 0], cell[0], cell[1], cell.sum(axis=0)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = 0.06 * (high - low).max()
    low, high = low - margin, high + margin
    if ax is None:
        aspect = (high[1] - low[1]) / (high[0] - low[0])
        ax = new_axes(4.6 + extra, 3.9 * aspect + 0.7)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="$x$ (Å)", ylabel="$y$ (Å)")
    return ax


def _map(ax, atoms, positions, values, **options):
    """An image of a quantity known at sites: smooth for numbers, the nearest site's for colours (n, 3)."""
    from scipy.spatial import cKDTree

    from .interlayer import PeriodicSurface

    cell = atoms.cell.array[:2, :2]
    positions, values = np.asarray(positions)[:, :2], np.asarray(values)
    extent = (*ax.get_xlim(), *ax.get_ylim())
    grid = np.stack(np.meshgrid(np.linspace(*extent[:2], 420), np.linspace(*extent[2:], 420)), axis=-1)
    if values.ndim == 1:
        image = PeriodicSurface(atoms, positions, values)(grid.reshape(-1, 2)).reshape(420, 420)
    else:
        shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 2), axis=-1).reshape(-1, 2)
        fractional = (positions @ np.linalg.inv(cell)) % 1.0
        tree = cKDTree((fractional[:, None] + shifts).reshape(-1, 2) @ cell)
        folded = ((grid.reshape(-1, 2) @ np.linalg.inv(cell)) % 1.0) @ cell
        image = values[tree.query(folded)[1] // len(shifts)].reshape(420, 420, -1)
    artist = ax.imshow(image, origin="lower", extent=extent, interpolation="nearest", **options)
    _outline(ax, cell, "white", 2.6)
    _outline(ax, cell, "0.1", 1.2)
    return artist


def _thinned(cell, positions, most=20):
    """Indices of sites spread evenly over the cell, at most `most` along each vector."""
    from scipy.spatial import cKDTree

    if len(positions) <= most**2:
        return np.arange(len(positions))
    grid = (np.stack(np.meshgrid(*[np.arange(most)] * 2), axis=-1).reshape(-1, 2) + 0.5) / most
    folded = ((positions @ np.linalg.inv(cell)) % 1.0) @ cell
    return np.unique(cKDTree(folded).query(grid @ cell)[1])


def _points_per_angstrom(ax):
    """Size of 1 Å in typographic points, for markers that keep to the scale of the map."""
    width, height = ax.figure.get_size_inches() * 72 * 0.72  # the axes leave room for labels
    return min(width / np.ptp(ax.get_xlim()), height / np.ptp(ax.get_ylim()))


def _outline(ax, cell, colour, width, ls="-"):
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ cell
    ax.plot(*corners.T, color=colour, lw=width, ls=ls, zorder=5)


def _finish(ax, title):
    if title:
        ax.set_title(title)
    return ax
