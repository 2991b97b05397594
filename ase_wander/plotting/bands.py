"""Band structures: lines, gap, special points."""

from __future__ import annotations

import re

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from .style import CONDUCTION, NEUTRAL, STYLE, VALENCE, new_axes


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

    Raises
    ------
    ValueError
        For another `zero`, or a window of no two finite ascending energies.

    Notes
    -----
    Energies where bands that were not computed may lie (`bs.complete`) are hatched: an empty region there is no gap.
    """
    check_axis(zero, window)
    energies = np.asarray(bs.energies)
    fermi = bs.reference if fermi is None else fermi
    if not np.isfinite(fermi) or not np.isfinite(energies).all():
        raise ValueError(f"fermi is {fermi} eV, the bands {'' if np.isfinite(energies).all() else 'not '}all finite")
    x, ticks, labels = bs.get_labels()
    edges = None if fermi == bs.reference and getattr(bs, "is_metal", False) else band_edges(bs, fermi)
    if len(x) == 1:  # one k-point: levels as wide as the axes
        x, ticks, energies = np.array([-0.5, 0.5]), ticks[:1], np.repeat(energies, 2, axis=1)
    offset = {"vbm": edges["vbm"] if edges else fermi, "vacuum": 0.0}.get(zero, zero)
    name = {"vbm": "VBM" if edges else "F", "vacuum": "vac"}.get(zero)
    ylabel = energy_label(offset, name)
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
        _shade_incomplete(ax, getattr(bs, "complete", None), offset)
        if edges:
            label = gap_label(edges, x, list(zip(ticks, labels)), bs.path)
            _mark_gap(ax, x, edges, offset, ticks, label)
        else:
            ax.axhline(fermi - offset, color="0.5", lw=0.8, ls=":")
        ax.set_xticks(*_merged_ticks(ticks, labels))
        ax.tick_params(axis="x", length=0)
        ax.set_ylabel(ylabel)
        if title:
            ax.set_title(title, loc="left")
    return ax


def check_axis(zero, window) -> None:
    """ValueError for a zero or a window of an energy axis that is none."""
    if zero not in ("vbm", "vacuum") if isinstance(zero, str) else not np.isscalar(zero) or not np.isfinite(zero):
        raise ValueError(f"zero is {zero!r}; it must be 'vbm', 'vacuum' or an energy in eV")
    if window is None:
        return
    limits = np.asarray(window, float)
    if limits.shape != (2,) or not np.isfinite(limits).all() or not limits[0] < limits[1]:
        raise ValueError(f"window is {window!r}; it must be two finite energies in eV, the lower one first")


def energy_label(zero, name=None) -> str:
    """Label of an energy axis whose zero is at `zero` eV and has this name; the zero of all energies is the vacuum."""
    name = name or ("vac" if zero == 0 else None)
    return f"$E - E_{{\\mathrm{{{name}}}}}$ (eV)" if name else f"$E$ − ({zero:.3f} eV) (eV)".replace("-", "−")


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
        vbm, cbm (eV) and k_vbm, k_cbm (indices on the path); None when a band crosses `fermi` on the path or, by
        `bs.is_metal`, off it, or one side is empty.
    """
    if fermi is None and getattr(bs, "is_metal", False):
        return None
    energies = np.asarray(bs.energies)
    fermi = bs.reference if fermi is None else fermi
    below, above = np.where(energies <= fermi, energies, -np.inf), np.where(energies > fermi, energies, np.inf)
    crossing = ((energies.min(axis=1) <= fermi) & (energies.max(axis=1) > fermi)).any()
    if crossing or not np.isfinite(below).any() or not np.isfinite(above).any():
        return None
    k_vbm = np.unravel_index(np.argmax(below), energies.shape)[1]
    k_cbm = np.unravel_index(np.argmin(above), energies.shape)[1]
    return {"vbm": float(below.max()), "cbm": float(above.min()), "k_vbm": int(k_vbm), "k_cbm": int(k_cbm)}


def _shade_incomplete(ax, complete, offset):
    """Hatch the energies outside of two (eV) between which all bands are drawn."""
    if complete is None:
        return
    low, high = ax.get_ylim()
    for bottom, top in ((low, complete[0] - offset), (complete[1] - offset, high)):
        if top - bottom > 1e-6 * (high - low):
            ax.axhspan(bottom, top, facecolor="none", edgecolor="0.85", hatch="////", lw=0, zorder=-2)
            ax.text(
                0.99,
                (bottom + top) / 2,
                "not all bands computed",
                transform=ax.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=7,
                color="0.45",
                bbox=dict(fc="white", ec="none", pad=0.8),
            )


def _mark_gap(ax, x, edges, offset, ticks, label):
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
    low, high = ax.get_ylim()
    if cbm - vbm < 0.13 * (high - low):  # no room between the bands
        ax.set_title(label, loc="right", fontsize=8.5, color="0.15")
        return
    stops = np.unique(
        [*ticks, xc, *((x[0], x[-1]) if len(ticks) < 2 else ())]
    )  # the label stands between two lines, clear of the arrow
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


def gap_label(edges, x, special, path=None) -> str:
    """The gap in words: "gap 1.234 eV, direct, K" or "gap 1.234 eV, Γ → K".

    Parameters
    ----------
    edges : dict
        From `band_edges`.
    x : array_like, shape (n_k,)
        Abscissae of the k-points.
    special : list of (float, str)
        Abscissa and letter of the special points.
    path : ase.dft.kpoints.BandPath, optional
        Names k-points by where they are, which holds for paths of so few points that corners are missing too.
    """
    names = [_name_of_k(x, edges[k], special, path) for k in ("k_vbm", "k_cbm")]
    direct = edges["k_vbm"] == edges["k_cbm"] or (names[0] == names[1] and "–" not in names[0])
    return f"gap {edges['cbm'] - edges['vbm']:.3f} eV, " + (
        f"direct, {names[0]}" if direct else f"{names[0]} → {names[1]}"
    )


def _name_of_k(x, k, special, path=None):
    """Γ for a special point, 'Γ–M' for a k-point between two."""
    for letter, point in ({} if path is None else path.special_points).items():
        away = path.kpts[k] - point
        if np.abs(away - np.rint(away)).max() < 1e-6:
            return _pretty(letter)
    for tick, label in special:
        if abs(x[k] - tick) < 1e-6:
            return _pretty(label)
    left = max((t for t in special if t[0] <= x[k]), key=lambda t: t[0], default=special[0])
    right = min((t for t in special if t[0] >= x[k]), key=lambda t: t[0], default=special[-1])
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
