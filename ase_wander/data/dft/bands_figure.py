"""Figure of DFT against interpolated bands: along a path, and the error of every state."""

from __future__ import annotations

import itertools

import numpy as np
from ase.dft.kpoints import parse_path_string
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...electronic.kpath import resolve_path
from ...files import writing
from ...plotting import NEUTRAL, STYLE, VALENCE


def plot_check(h, check, labels, recipe, *, title=None, npoints=200, path=None, dft=None):
    """Bands of H over DFT states (dots coloured by the orbitals' share) along the path, with errors by energy.

    Parameters
    ----------
    h : WannierHamiltonian
    check : BandCheck
    labels : Labels
        Of the same structure; its k-points on the path are drawn.
    recipe : Recipe
    title : str
    npoints : int
    path : str, optional
        Special points.
    dft : tuple, optional
        BandPath, energies (n_k, n_bands) and shares (n_k, n_bands) of DFT along the path, drawn instead of the grid's
        points.

    Returns
    -------
    matplotlib Figure
    """
    bandpath = resolve_path(labels.atoms, path, npoints)
    x, ticks, names = bandpath.get_linear_kpoint_axis()
    energies = h.eigenvalues(bandpath.kpts) - check.efermi
    low, high = (e - check.efermi for e in check.window)
    margin = 0.06 * (high - low)
    with rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1.15])
        left.plot(x, energies, color=NEUTRAL, lw=1.0, solid_capstyle="round", zorder=2)
        left.plot([], [], color=NEUTRAL, lw=1.0, label="Wannier Hamiltonian")
        if dft is not None:
            at, values, share = dft[0].get_linear_kpoint_axis()[0], dft[1] - check.efermi, dft[2]
        else:
            at, index = points_on_path(bandpath, labels.kpts)
            values, share = labels.eigenvalues[index] - check.efermi, labels.projectability()[index]
        dots = left.scatter(
            np.repeat(at, values.shape[1]),
            values.ravel(),
            c=share.ravel(),
            s=13,
            cmap="viridis",
            vmin=0,
            vmax=1,
            lw=0,
            zorder=3,
        )
        left.scatter([], [], color="0.35", s=13, lw=0, label="DFT")
        for tick in ticks[1:-1]:
            left.axvline(tick, color="0.85", lw=0.8, zorder=0)
        left.axhline(0, color="0.6", lw=0.7, ls=":", zorder=0)
        left.set(xlim=(x[0], x[-1]), ylim=(low - margin, high + margin), ylabel="$E - E_\\mathrm{F}$ (eV)")
        left.set_xticks(ticks, ["Γ" if name == "G" else name for name in names])
        left.tick_params(axis="x", length=0)
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.4)
        bar = figure.colorbar(dots, ax=left, pad=0.015, aspect=34)
        bar.set_label("share of the orbitals")
        bar.outline.set_linewidth(0.8)
        right.scatter(1e3 * check.error, check.dft - check.efermi, s=8, color=VALENCE, alpha=0.5, lw=0, rasterized=True)
        bound = 1e3 * recipe.max_band_error
        reach = 1.08 * max(bound, 1e3 * check.worst)
        right.axvspan(-bound, bound, color="0.955", lw=0, zorder=-1)
        right.axvline(0, color="0.6", lw=0.7, zorder=0)
        right.set(xlim=(-reach, reach), xlabel="error (meV)")
        right.set_title(f"rms {1e3 * check.rms:.2g} meV", fontsize=8.5)
        if recipe.semicore is None:
            for axes in (left, right):
                for edge in (low, high):
                    axes.axhline(edge, color="0.6", lw=0.7, ls=(0, (4, 3)), zorder=0)
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def save(figure, path) -> None:
    """Write a figure; the format follows from the name; never half a file."""
    with rc_context(STYLE), writing(path) as temporary:
        figure.savefig(temporary)


def points_on_path(bandpath, kpts):
    """Abscissae (n,) and indices (n,) of k-points, or of minus them, on an unbroken path."""
    corners = [bandpath.special_points[name] for name in parse_path_string(bandpath.path)[0]]
    shifts = np.array([[i, j, 0] for i in range(-2, 3) for j in range(-2, 3)])
    rows, start = set(), 0.0
    for a, b in itertools.pairwise(corners):
        step = b - a
        length = 2 * np.pi * np.linalg.norm(step @ bandpath.icell)
        for index, k in enumerate(np.asarray(kpts)):
            for sign in (1, -1):
                away = sign * k + shifts - a
                t = away @ step / (step @ step)
                on = (np.abs(away - t[:, None] * step).max(axis=1) < 1e-6) & (t > -1e-9) & (t < 1 + 1e-9)
                rows |= {(round(start + x * length, 9), index) for x in t[on].tolist()}
        start += length
    x, index = np.array(sorted(rows)).reshape(-1, 2).T
    return x, index.astype(int)
