"""Figures: bands, corrugation, learning curve, parity. No physics here; every function returns its Axes.

Colours are those of Okabe and Ito (distinct for every kind of colour vision) and the perceptually uniform
maps of matplotlib. Figures are drawn without a display and saved by the caller.
"""

from __future__ import annotations

import re

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

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


def plot_bands(bs, *, fermi=None, zero="vbm", window=None, title=None, ax=None) -> Axes:
    """Bands along the path with the gap marked.

    Parameters
    ----------
    bs : ase.spectrum.band_structure.BandStructure
        Energies in eV relative to vacuum.
    fermi : float, optional
        Energy (eV, same zero as `bs`) that divides occupied from empty bands; default `bs.reference`.
    zero : "vbm", "vacuum" or float
        Zero of the energy axis: the highest occupied energy on the path, the vacuum level (the zero of
        `bs`), or an energy in eV.
    window : (float, float), optional
        Limits of the energy axis in eV, relative to `zero`; by default 1.5 eV around the gap, less where the bands
        computed do not reach so far.
    title : str, optional
    ax : matplotlib Axes, optional
    """
    energies = np.asarray(bs.energies)
    fermi = bs.reference if fermi is None else fermi
    x, ticks, labels = bs.get_labels()
    edges = band_edges(bs, fermi)
    offset = {"vbm": edges["vbm"] if edges else fermi, "vacuum": 0.0}.get(zero, zero)
    name = {"vbm": "VBM" if edges else "F", "vacuum": "vac"}.get(zero)
    ylabel = f"$E - E_{{\\mathrm{{{name}}}}}$ (eV)" if name else f"$E$ − ({offset:.3f} eV) (eV)"
    with rc_context(STYLE):
        ax = new_axes() if ax is None else ax
        occupied = energies.max(axis=1) <= fermi  # (spin, band)
        empty = energies.min(axis=1) > fermi
        for spin, bands in enumerate(energies - offset):
            for n, band in enumerate(bands.T):
                colour = VALENCE if occupied[spin, n] else CONDUCTION if empty[spin, n] else NEUTRAL
                ax.plot(x, band, color=colour, lw=1.1, solid_capstyle="round", ls="-" if spin == 0 else "--")
        for tick in ticks[1:-1]:
            ax.axvline(tick, color="0.8", lw=0.8, zorder=0)
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(*_energy_window(energies, edges, fermi, window, offset))
        if edges:
            _mark_gap(ax, x, edges, offset, list(zip(ticks, labels)))
        else:
            ax.axhline(fermi - offset, color="0.5", lw=0.8, ls=":")
        ax.set_xticks(*_merged_ticks(ticks, labels))
        ax.tick_params(axis="x", length=0)
        ax.set_ylabel(ylabel)
        if title:
            ax.set_title(title, loc="left")
    return ax


def with_subscripts(text: str) -> str:
    """Digits that follow a letter set low, as in a formula: MoS2 -> MoS$_{2}$."""
    return re.sub(r"(?<=[A-Za-z])(\d+)", r"$_{\1}$", text)


def band_edges(bs, fermi=None):
    """Edges of the gap among the k-points of a band structure.

    Parameters
    ----------
    bs : ase.spectrum.band_structure.BandStructure
    fermi : float, optional
        Energy (eV, same zero as `bs`) that divides occupied from empty bands; default `bs.reference`.

    Returns
    -------
    dict or None
        vbm, cbm (eV) and k_vbm, k_cbm (indices on the path); None when a band crosses `fermi` or one side is empty.
    """
    energies = np.asarray(bs.energies)
    fermi = bs.reference if fermi is None else fermi
    below, above = np.where(energies <= fermi, energies, -np.inf), np.where(energies > fermi, energies, np.inf)
    crossing = ((energies.min(axis=1) <= fermi) & (energies.max(axis=1) > fermi)).any()
    if crossing or not np.isfinite(below).any() or not np.isfinite(above).any():
        return None
    k_vbm = np.unravel_index(np.argmax(below), energies.shape)[1]
    k_cbm = np.unravel_index(np.argmin(above), energies.shape)[1]
    return {"vbm": float(below.max()), "cbm": float(above.min()), "k_vbm": int(k_vbm), "k_cbm": int(k_cbm)}


def _mark_gap(ax, x, edges, offset, special):
    """Dots on the band edges, an arrow across the gap below the lowest empty state, its value and its k-points."""
    vbm, cbm = edges["vbm"] - offset, edges["cbm"] - offset
    xv, xc = x[edges["k_vbm"]], x[edges["k_cbm"]]
    ax.axhspan(vbm, cbm, color="0.955", lw=0, zorder=-1)
    ax.axhline(vbm, color="0.6", lw=0.7, ls=(0, (4, 3)), zorder=0)
    ax.plot([xv], [vbm], "o", ms=5, mfc="white", mec=VALENCE, mew=1.4, zorder=5, clip_on=False)
    ax.plot([xc], [cbm], "o", ms=5, mfc="white", mec=CONDUCTION, mew=1.4, zorder=5, clip_on=False)
    ax.annotate(
        "",
        xy=(xc, cbm),
        xytext=(xc, vbm),
        annotation_clip=False,
        zorder=4,
        arrowprops=dict(arrowstyle="<->", color=NEUTRAL, lw=1.0, shrinkA=0.5, shrinkB=3.5),
    )
    label = gap_label(edges, x, special)
    low, high = ax.get_ylim()
    if cbm - vbm < 0.13 * (high - low):  # no room between the bands
        ax.set_title(label, loc="right", fontsize=8.5, color="0.15")
        return
    stops = np.unique([tick for tick, _ in special] + [xc])  # the label stands between two lines, clear of the arrow
    widest = int(np.argmax(np.diff(stops)))
    ax.text(
        (stops[widest] + stops[widest + 1]) / 2,
        (vbm + cbm) / 2,
        label.replace(", ", "\n", 1),
        ha="center",
        va="center",
        fontsize=8.5,
        color="0.15",
        linespacing=1.35,
    )


def gap_label(edges, x, special) -> str:
    """The gap in words: "gap 1.234 eV, direct, K" or "gap 1.234 eV, Γ → K".

    Parameters
    ----------
    edges : dict
        From `band_edges`.
    x : array_like, shape (n_k,)
        Abscissae of the k-points.
    special : list of (float, str)
        Abscissa and letter of the special points.
    """
    names = [_name_of_k(x, edges[k], special) for k in ("k_vbm", "k_cbm")]
    direct = edges["k_vbm"] == edges["k_cbm"] or (names[0] == names[1] and "–" not in names[0])
    return f"gap {edges['cbm'] - edges['vbm']:.3f} eV, " + (
        f"direct, {names[0]}" if direct else f"{names[0]} → {names[1]}"
    )


def _name_of_k(x, k, special):
    """Γ for a special point, 'Γ–M' for a k-point between two."""
    for tick, label in special:
        if abs(x[k] - tick) < 1e-6:
            return _pretty(label)
    left = max((t for t in special if t[0] < x[k]), key=lambda t: t[0])
    right = min((t for t in special if t[0] > x[k]), key=lambda t: t[0])
    return f"{_pretty(left[1])}–{_pretty(right[1])}"


def _pretty(label):
    return "Γ" if label == "G" else label if len(label) == 1 else f"{label[0]}$_{{{label[1:]}}}$"


def _merged_ticks(ticks, labels):
    """Tick positions and names; two points at one abscissa (a jump of the path) share a tick."""
    merged = {}
    for tick, label in zip(ticks, labels):
        merged.setdefault(round(float(tick), 9), []).append(_pretty(label))
    return list(merged), ["|".join(dict.fromkeys(names)) for names in merged.values()]


def _energy_window(energies, edges, fermi, window, offset):
    """Within 1.5 eV of the gap, and only where no band outside the computed ones can be missing."""
    if window is not None:
        return window
    below, above = (edges["vbm"], edges["cbm"]) if edges else (fermi, fermi)
    lowest, highest = energies[:, :, 0], energies[:, :, -1]
    margin = 0.04 * max(np.ptp(energies), 0.1)
    low = lowest.max() if lowest.max() < below - 0.2 else energies.min() - margin
    high = highest.min() if highest.min() > above + 0.2 else energies.max() + margin
    return max(low, below - 1.5) - offset, min(high, above + 1.5) - offset


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
        half = max(np.ptp(surface) / 2, 5e-4)  # a flat map must not show rounding as corrugation
        middle = (surface.max() + surface.min()) / 2
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


def plot_learning_curve(steps, curves, *, xlabel="step", ylabel="mean absolute error", title=None, ax=None) -> Axes:
    """Errors against training progress, errors on a logarithmic scale.

    Parameters
    ----------
    steps : array_like, shape (n,)
    curves : dict of str to array_like, shape (n,)
        Errors by name; a name ending in "training" is drawn thin and dashed.
    """
    colours = [VALENCE, CONDUCTION, ACCENT, "#CC79A7", "#E69F00", "#56B4E9", NEUTRAL]
    with rc_context(STYLE):
        ax = new_axes(4.8, 3.6) if ax is None else ax
        for k, (name, errors) in enumerate(curves.items()):
            training = name.endswith("training")
            ax.plot(
                steps,
                errors,
                color=colours[k % len(colours)],
                lw=1.0 if training else 1.6,
                ls="--" if training else "-",
                label=name,
            )
        ax.set_yscale("log")
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(True, which="major", color="0.92", lw=0.7)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)  # above the axes: curves may be anywhere
        if title:
            ax.set_title(title, pad=40)
    return ax


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
