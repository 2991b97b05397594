"""Convergence of energy, forces, stress and levels with the cutoff and the k-grid, by any engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.units import GPa

from .engines import compute, labels_hash
from .labels import Labels
from .recipe import Recipe

#: What counts as converged when a row is recommended: eV per atom, eV/Å, GPa, eV.
TOLERANCES = {"energy": 1e-3, "force": 5e-3, "stress": 0.1, "fermi": 5e-3, "gap": 5e-3}


@dataclass(frozen=True)
class Row:
    """One calculation of a series.

    Attributes
    ----------
    series : {"cutoff", "k-grid"}
        What varies.
    recipe : Recipe
    labels : Labels, optional
        None where it failed.
    reason : str
        Why it failed.
    """

    series: str
    recipe: Recipe
    labels: Labels | None = None
    reason: str = ""

    def grid(self, atoms):
        return self.recipe.grid(atoms)[:2]


def series(recipe: Recipe, atoms, cutoffs=(), lengths=()) -> list[Row]:
    """Rows to compute: cutoffs at the recipe's grid, grids at the recipe's cutoff.

    The last of each is what the others are compared with.

    Parameters
    ----------
    recipe : Recipe
    atoms : ase.Atoms
    cutoffs : sequence of float
        eV.
    lengths : sequence of float
        Å, as `Recipe.length`; lengths with the same grid count once.

    Raises
    ------
    ValueError
        For a number that is not positive, or nothing to compare.
    """
    for name, values in (("cutoff", cutoffs), ("length", lengths)):
        for value in values:
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r} is not a positive number")
    rows = [Row("cutoff", replace(recipe, cutoff=float(c))) for c in sorted(set(cutoffs))]
    grids = {}
    for length in sorted(set(lengths)):
        grids.setdefault(replace(recipe, length=float(length)).grid(atoms), float(length))
    rows += [Row("k-grid", replace(recipe, length=length)) for length in grids.values()]
    for name in ("cutoff", "k-grid"):
        if sum(row.series == name for row in rows) == 1:
            raise ValueError(f"a single {name} has nothing to be compared with: give two or more")
    if not rows:
        raise ValueError("neither cutoffs nor lengths given")
    return rows


def run_series(atoms, rows, folder, progress=None) -> list[Row]:
    """Compute what is not in the folder yet; a row whose engine refuses is kept with its reason, the others go on.

    Parameters
    ----------
    folder : path
        One file of labels per cutoff and grid, written atomically; valid for this structure and these settings only.
    progress : callable, optional
        ``progress(rows so far)`` after every row.
    """
    folder, done = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        done.append(_run(atoms, row, folder))
        if progress is not None:
            progress(done)
    return done


def _run(atoms, row, folder):
    n1, n2 = row.grid(atoms)
    expected = labels_hash(atoms, _on_grid(row.recipe, atoms))
    stem = f"{row.recipe.cutoff:g}eV_{n1}x{n2}"
    file = folder / f"{stem}.npz"
    if file.is_file():
        labels = Labels.load(file)
        if labels.info.get("hash") == expected:
            return replace(row, labels=labels)
    try:
        labels = compute(atoms, row.recipe, log=folder / f"{stem}.txt")
    except ValueError as error:
        return replace(row, reason=" ".join(str(error).split()))
    labels.info["hash"] = expected
    labels.save(file)
    return replace(row, labels=labels)


def _on_grid(recipe, atoms):
    """The recipe with the least length of its grid, so that the series share a calculation."""
    return replace(
        recipe, length=max(n * length for n, length in zip(recipe.grid(atoms)[:2], atoms.cell.lengths()[:2]))
    )


def values(labels: Labels) -> dict:
    """energy (eV per atom), forces (n, 3) eV/Å, stress (6,) GPa, fermi and gap (eV), the Fermi level relative to
    vacuum.
    """
    return {
        "energy": labels.energy / len(labels.atoms),
        "forces": labels.forces,
        "stress": np.asarray(labels.stress) / GPa,
        "fermi": labels.efermi,
        "gap": band_gap(labels),
    }


def band_gap(labels: Labels) -> float:
    """Gap on the k-grid in eV, 0 where a band crosses the Fermi level."""
    occupied = (labels.eigenvalues < labels.efermi).sum(axis=1)
    if occupied.min() != occupied.max() or occupied[0] == labels.eigenvalues.shape[1] or occupied[0] == 0:
        return 0.0
    n = occupied[0]
    return max(float(labels.eigenvalues[:, n].min() - labels.eigenvalues[:, n - 1].max()), 0.0)


def differences(rows) -> list[dict | None]:
    """Per row, its distance from the last row of its series that was computed; None where it failed.

    energy (eV per atom), force (largest component, eV/Å), stress (largest component, GPa), fermi and gap (eV).
    """
    reference = {row.series: values(row.labels) for row in rows if row.labels is not None}
    out = []
    for row in rows:
        if row.labels is None:
            out.append(None)
            continue
        mine, best = values(row.labels), reference[row.series]
        out.append(
            {
                "energy": mine["energy"] - best["energy"],
                "force": float(np.abs(mine["forces"] - best["forces"]).max()),
                "stress": float(np.abs(mine["stress"] - best["stress"]).max()),
                "fermi": mine["fermi"] - best["fermi"],
                "gap": mine["gap"] - best["gap"],
            }
        )
    return out


def recommended(rows, name):
    """The cheapest row of a series from which on all differences stay within TOLERANCES.

    None where only the last one is left.
    """
    chosen = [(row, d) for row, d in zip(rows, differences(rows)) if row.series == name and d is not None]
    good = None
    for row, d in reversed(chosen):
        if any(abs(d[key]) > tolerance for key, tolerance in TOLERANCES.items()):
            break
        good = row
    return None if good is None or good is chosen[-1][0] else good


def plot_convergence(rows, atoms, title=None):
    """Differences on a logarithmic scale against cutoff and grid, a panel for each series; matplotlib Figure."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ...plotting import ACCENT, CONDUCTION, NEUTRAL, STYLE, VALENCE

    curves = (
        ("energy", "energy per atom (meV)", 1e3, VALENCE, "o"),
        ("force", "force (meV/Å)", 1e3, CONDUCTION, "s"),
        ("stress", "stress (GPa)", 1, ACCENT, "^"),
        ("fermi", "$E_\\mathrm{F} - E_\\mathrm{vac}$ (meV)", 1e3, NEUTRAL, "D"),
    )
    names = [name for name in ("cutoff", "k-grid") if any(row.series == name for row in rows)]
    with rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 3.1 * len(names), 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names):
            mine = [(row, d) for row, d in zip(rows, differences(rows)) if row.series == name and d is not None][:-1]
            x = np.arange(len(mine))
            for key, label, scale, colour, marker in curves:
                axes.plot(
                    x,
                    [max(abs(d[key]) * scale, 1e-4) for _, d in mine],
                    marker=marker,
                    ms=4.5,
                    lw=1.3,
                    color=colour,
                    label=label,
                )
            axes.set_xticks(
                x,
                [
                    f"{row.recipe.cutoff:g}" if name == "cutoff" else "×".join(map(str, row.grid(atoms)))
                    for row, _ in mine
                ],
            )
            axes.set(yscale="log", xlabel="cutoff (eV)" if name == "cutoff" else "k-grid")
            axes.margins(x=0.12)
            axes.grid(True, axis="y", color="0.92", lw=0.7)
        panels[0].set_ylabel("distance from the finest")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        if title:
            figure.suptitle(title)
    return figure
