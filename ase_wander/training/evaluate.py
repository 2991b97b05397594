"""Errors of a model on reference data, computed through the interface that users call."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from ..data.dataset import SIGMA_MILD, is_validation
from ..electronic.orbitals import expand_shells

#: Rows of the table: key, quantity, unit, first bar, aim.
TARGETS = [
    ("force_mild", "force MAE, sigma <= 0.03 Å", "meV/Å", 10.0, 3.0),
    ("layer_force", "lateral net force on a layer per MoS2, sigma = 0, MAE", "meV/Å", 10.0, 2.0),
    ("energy_mild", "energy MAE, sigma <= 0.03 Å", "meV/atom", 2.0, 0.5),
    ("elements", "H elements within 12 Å, sigma <= 0.03 Å, MAE", "meV", 0.8, 0.3),
    ("inter_r2", "inter-layer elements, R² about their mean", "", 0.97, 0.995),
    ("eigenvalues", "eigenvalues within 1 eV of the gap, sigma <= 0.03 Å, MAE", "meV", 15.0, 5.0),
]


def hamiltonian_errors(model, configuration, r_max=12.0):
    """Predicted and reference elements of every reference pair within `r_max` (Å); pairs the model leaves out are zero.

    Returns
    -------
    dict with `predicted`, `reference` (elements, eV), `distance`, `kind` (0 on-site, 1 intra, 2 inter), `pair` per element.
    """
    data = configuration.load_blocks(_n_orbitals(model, configuration))
    if "pair_distance" not in data:
        a, b = (configuration.atoms.positions[data[k].astype(int)] for k in ("pair_i", "pair_j"))
        data["pair_distance"] = np.linalg.norm(b + data["pair_shift"] @ configuration.atoms.cell.array - a, axis=1)
    i, j, shift, block, ptr, _ = model.hamiltonian(configuration.atoms, configuration.layers)
    place = {key: k for k, key in enumerate(zip(i.tolist(), j.tolist(), *shift.T.tolist()))}
    keep = np.flatnonzero(data["pair_distance"] < r_max)
    keys = zip(*(data[n][keep].tolist() for n in ("pair_i", "pair_j")), *data["pair_shift"][keep].T.tolist())
    reference, predicted, distance, kind, pair = [], [], [], [], []
    species = configuration.atoms.numbers
    for p, key in zip(keep, keys):
        target = data["block"][data["block_ptr"][p]:data["block_ptr"][p + 1]]
        k = place.get(key)
        reference.append(target)
        predicted.append(block[ptr[k]:ptr[k + 1]] if k is not None else np.zeros(len(target)))
        d = data["pair_distance"][p]
        a, b = key[0], key[1]
        distance.append(np.full(len(target), d))
        kind.append(np.full(len(target), 0 if d < 1e-6 else 1 + int(configuration.layers[a] != configuration.layers[b])))
        pair.append(np.full(len(target), min(species[a], species[b]) * 1000 + max(species[a], species[b])))
    join = np.concatenate
    return {"predicted": join(predicted), "reference": join(reference).astype(float), "distance": join(distance),
            "kind": join(kind), "pair": join(pair)}


def _n_orbitals(model, configuration):
    """Orbitals of every atom in the model's shells."""
    return [len(expand_shells(model.shells[s])) for s in configuration.atoms.symbols]


def eigenvalue_errors(model, configuration, window=1.0):
    """Differences (eV) to the reference eigenvalues within `window` of the gap's edges, their k weights, the error of the gap.

    None where the file has no eigenvalues.
    """
    from ..electronic.hamiltonian import WannierHamiltonian

    data = configuration.load_blocks(_n_orbitals(model, configuration))
    if "eigenvalues" not in data:
        return None
    *blocks, n_electrons = model.hamiltonian(configuration.atoms, configuration.layers)
    h = WannierHamiltonian.from_blocks(configuration.atoms, model.shells, *blocks, n_electrons)
    reference = data["eigenvalues"]
    predicted = np.array([np.linalg.eigvalsh(h.at_k(k).toarray()) for k in data["kpts"]])
    n = round(n_electrons / 2)
    if not 0 < n < reference.shape[1]:
        raise ValueError(f"{configuration.hamiltonian}: {n_electrons:g} electrons fill {n} of {reference.shape[1]} bands, there is no gap")
    near = (reference > reference[:, n - 1].max() - window) & (reference < reference[:, n].min() + window)
    weights = np.broadcast_to(data["kweights"][:, None], near.shape)
    gap = lambda e: e[:, n].min() - e[:, n - 1].max()
    return (predicted - reference)[near], weights[near], gap(predicted) - gap(reference)


def evaluate(model, configurations, validation_fraction=0.15, progress=None, samples=None) -> dict:
    """All errors of the table, per configuration and as means.

    Parameters
    ----------
    validation_fraction : only configurations of that validation split; None for all.
    samples : dict, optional; filled with what `training.figures.write_figures` draws.
    """
    samples = {} if samples is None else samples
    samples.update(forces=[], energies=[], elements=[])
    chosen = [c for c in configurations if validation_fraction is None or is_validation(c.name, validation_fraction)]
    if not chosen:
        raise ValueError("no configuration of the data belongs to the validation split; use all of them instead")
    left_out = refused(model, chosen)
    chosen = [c for c in chosen if c.name not in left_out]
    if not chosen:
        name, reason = next(iter(left_out.items()))
        raise ValueError(f"the model {model.name} takes none of {len(left_out)} configurations ({name}: {reason})")
    rows, elements = [], []
    for number, c in enumerate(chosen):
        row = {"name": c.name, "kind": c.kind, "sigma": c.assumed_sigma, "n_atoms": len(c.atoms)}
        out = model.compute(c.atoms, c.layers)
        if "forces" in c.results:
            difference = out["forces"] - c.results["forces"]
            row["force"] = np.abs(difference).mean()
            samples["forces"].append((c.results["forces"], out["forces"]))
            if "energy" in out and "energy" in c.results:
                row["energy"] = abs(out["energy"] - c.results["energy"]) / len(c.atoms)
                samples["energies"].append((c.results["energy"] / len(c.atoms), out["energy"] / len(c.atoms)))
            if c.layers.max() > 0:
                per_layer = [difference[c.layers == k, :2].sum(0) / (c.atoms.numbers[c.layers == k] == 42).sum()
                             if 42 in c.atoms.numbers else difference[c.layers == k, :2].sum(0)
                             for k in range(c.layers.max() + 1)]
                row["layer_force"] = np.abs(per_layer).mean()
        if "stress" in c.results and "stress" in out:
            row["stress"] = np.abs(out["stress"] - c.atoms.get_stress()).mean()
        if c.hamiltonian is not None:
            e = hamiltonian_errors(model, c)
            elements.append((c.assumed_sigma, e))
            samples["elements"].append(e)
            row["elements"] = np.abs(e["predicted"] - e["reference"]).mean()
            found = eigenvalue_errors(model, c)
            if found:
                d, w, gap = found
                row["eigenvalues"], row["gap"] = float((np.abs(d) * w).sum() / w.sum()), float(abs(gap))
        rows.append({k: (float(v) if isinstance(v, (float, np.floating)) else v) for k, v in row.items()})
        if progress:
            progress(number + 1, len(chosen))
    return {"model": model.name, "sha256": model.digest, "n_configurations": len(chosen), "left_out": left_out,
            "configurations": rows, "table": _table(rows, elements), "classes": _classes(elements)}


def refused(model, configurations) -> dict:
    """Names of the configurations that a model of kind `published` does not take (monolayers, an orientation), with the reason."""
    out = {}
    if model.kind == "published":
        for c in configurations:
            try:
                model.frame(c.atoms, c.layers)
            except ValueError as error:
                out[c.name] = str(error)
    return out


def _mean(rows, key, keep, weight=None):
    found = [(r[key], r[weight] if weight else 1.0) for r in rows if key in r and keep(r)]
    return 1e3 * float(np.average([f[0] for f in found], weights=[f[1] for f in found])) if found else None


def _table(rows, elements, sigma_max=SIGMA_MILD):
    """The quantities of TARGETS in meV and the same over all sigma; None where the data has none."""
    mild = lambda r: r["sigma"] <= sigma_max + 1e-9
    out = {"force_mild": _mean(rows, "force", mild, "n_atoms"), "force": _mean(rows, "force", lambda r: True, "n_atoms"),
           "layer_force": _mean(rows, "layer_force", lambda r: r["sigma"] == 0), "energy_mild": _mean(rows, "energy", mild),
           "energy": _mean(rows, "energy", lambda r: True), "stress": _mean(rows, "stress", mild),
           "eigenvalues": _mean(rows, "eigenvalues", mild), "gap": _mean(rows, "gap", mild)}
    quiet = [e for sigma, e in elements if sigma <= sigma_max + 1e-9]
    if quiet:
        p, r, kind = (np.concatenate([e[k] for e in quiet]) for k in ("predicted", "reference", "kind"))
        out["elements"] = 1e3 * float(np.abs(p - r).mean())
        if (kind == 2).any():
            p, r = p[kind == 2], r[kind == 2]
            out["inter_r2"] = float(1 - ((p - r) ** 2).sum() / ((r - r.mean()) ** 2).sum())
    return out


def _classes(elements, sigma_max=SIGMA_MILD):
    """Mean absolute error (meV) and R² per kind, pair of species and distance range."""
    from ase.data import chemical_symbols
    quiet = [e for sigma, e in elements if sigma <= sigma_max + 1e-9]
    if not quiet:
        return []
    p, r, d, kind, pair = (np.concatenate([e[k] for e in quiet])
                           for k in ("predicted", "reference", "distance", "kind", "pair"))
    out = []
    for k, label in enumerate(("on-site", "intra", "inter")):
        for code in np.unique(pair[kind == k]):
            for low, high in ((0, 6), (6, 9), (9, 12)):
                m = (kind == k) & (pair == code) & (d >= low) & (d < high)
                if m.any():
                    spread = ((r[m] - r[m].mean()) ** 2).sum()
                    out.append({"class": label, "pair": f"{chemical_symbols[code % 1000]}-{chemical_symbols[code // 1000]}",
                                "range": f"{low}-{high}", "n": int(m.sum()), "mean_size": 1e3 * float(np.abs(r[m]).mean()),
                                "mae": 1e3 * float(np.abs(p[m] - r[m]).mean()),
                                "r2": float(1 - ((p[m] - r[m]) ** 2).sum() / spread)})
    return out


def table_lines(report) -> list[str]:
    """The table of targets as Markdown lines."""
    lines = ["| quantity | unit | measured | first bar | aim |", "|---|---|---|---|---|"]
    for key, label, unit, bar, aim in TARGETS:
        value = report["table"].get(key)
        shown = "n/a" if value is None else (f"{value:.4f}" if key == "inter_r2" else f"{value:.3g}")
        lines.append(f"| {label} | {unit} | {shown} | {bar:g} | {aim:g} |")
    return lines


def class_lines(report) -> list[str]:
    """Hamiltonian errors by class as Markdown lines."""
    lines = ["| class | pair | range Å | mean size meV | MAE meV | R² |", "|---|---|---|---|---|---|"]
    for c in report["classes"]:
        shown = "" if c["class"] == "on-site" else c["range"]
        lines.append(f"| {c['class']} | {c['pair']} | {shown} | {c['mean_size']:.2f} | {c['mae']:.3f} | {c['r2']:.4f} |")
    return lines


def print_table(report, console) -> None:
    """Print both tables to a rich console."""
    console.print(f"{report['model']}: {report['n_configurations']} configurations")
    for name, reason in list(report["left_out"].items())[:1]:
        console.print(f"{len(report['left_out'])} left out ({name}: {reason})")
    for line in table_lines(report) + [""] + class_lines(report):
        console.print(line)
    extra = report["table"]
    console.print("\nall sigma: " + ", ".join(f"{k} {extra[k]:.2f} meV" for k in ("force", "energy") if extra.get(k)))


def write_report(report, folder) -> None:
    """`report.json` in `folder`, atomically."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "report.json.part"
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(temporary, folder / "report.json")
