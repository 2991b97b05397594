"""Errors of a model on reference data, computed through the interface that users call: one report."""

from __future__ import annotations

from functools import reduce
from math import gcd

import numpy as np

from ..catalogue import CONFIG
from ..data.dataset import SIGMA_MILD, is_validation
from ..schema import check_value
from ..training.bars import are_bars
from . import uncertainty
from .hamiltonian_errors import eigenvalue_errors, hamiltonian_errors, has_own_zero
from .report import SHIPPED, class_lines, print_table, table_lines, write_report  # noqa: F401
from .symmetry import symmetry_checks

#: Distance (Å) that divides near from far pairs, as in the paper's networks.
NEAR = 6.0


def evaluate(model, configurations, validation_fraction=0.15, progress=None, samples=None, learning=None) -> dict:
    """All errors of the table, per configuration and as means; each configuration's energy and H are computed once.

    Parameters
    ----------
    model : Model
    configurations : list of Configuration
    validation_fraction : float, optional
        Only configurations of that validation split, without those that the model was trained on whole; None for all.
    progress : callable, optional
        Called with (done, total).
    samples : dict, optional
        Filled with what `evaluation.figures.write_figures` draws.
    learning : dict, optional
        Learning curve of the run, see `evaluation.report.learning_curve`; kept in the report.
    """

    def fail(key, what):
        raise ValueError(f"{CONFIG} of the model {model.name}: {key}: {what}")

    bars = model.config.get("bars", {})
    check_value(are_bars, bars, "bars", fail)
    samples = {} if samples is None else samples
    samples.update(forces=[], energies=[], elements=[], eigenvalues=[], gaps=[], trust=([], None))
    whole = model.config.get("trained_whole", ())
    chosen = [
        c
        for c in configurations
        if validation_fraction is None
        or (c.hold_out and c.name not in whole and is_validation(c.name, validation_fraction))
    ]
    if not chosen:
        raise ValueError("no configuration of the data belongs to the validation split; use all of them instead")
    left_out = refused(model, chosen)
    chosen = [c for c in chosen if c.name not in left_out]
    if not chosen:
        name, reason = next(iter(left_out.items()))
        raise ValueError(f"the model {model.name} takes none of {len(left_out)} configurations ({name}: {reason})")
    rows, observed, elements = [], [], []
    for number, c in enumerate(chosen):
        row, seen = _configuration(model, c, samples)
        rows.append({k: (float(v) if isinstance(v, (float, np.floating)) else v) for k, v in row.items()})
        observed += [seen] if seen else []
        if c.hamiltonian is not None:
            elements.append((c.assumed_sigma, samples["elements"][-1]))
        if progress:
            progress(number + 1, len(chosen))
    return {
        "model": model.name,
        "sha256": model.digest,
        "n_configurations": len(chosen),
        "left_out": left_out,
        "formula": _common_formula(chosen),
        "configurations": rows,
        "table": _table(rows, elements),
        "classes": _classes(elements),
        "residuals": symmetry_checks(model, _different(chosen)),
        "trust": _trust(model, observed, validation_fraction, samples),
        "learning": learning,
        "bars": {key: list(pair) for key, pair in bars.items()},
    }


def _configuration(model, c, samples):
    """Row of the report of one configuration, and what `uncertainty.observe` says of it (None without)."""
    row = {"name": c.name, "kind": c.kind, "sigma": c.assumed_sigma, "n_atoms": len(c.atoms)}
    out, found, blocks = model.compute(c.atoms, c.layers), None, None
    if "forces" in c.results:
        difference = out["forces"] - c.results["forces"]
        row["force"] = np.abs(difference).mean()
        samples["forces"].append((c.results["forces"], out["forces"]))
        if "energy" in out and "energy" in c.results:
            row["energy"] = abs(out["energy"] - c.results["energy"]) / len(c.atoms)
            samples["energies"].append((c.results["energy"] / len(c.atoms), out["energy"] / len(c.atoms)))
        if c.layers.max() > 0:
            members = [c.layers == k for k in range(c.layers.max() + 1)]
            row["layer_force"] = np.abs(
                [difference[m, :2].sum(0) / formula_units(c.atoms.numbers[m]) for m in members]
            ).mean()
    if "stress" in c.results and "stress" in out:
        row["stress"] = np.abs(out["stress"] - c.atoms.get_stress()).mean()
    if c.hamiltonian is not None:
        blocks = model.hamiltonian(c.atoms, c.layers)
        found = hamiltonian_errors(model, c, blocks=blocks)
        samples["elements"].append(found)
        row["elements"] = np.abs(found["predicted"] - found["reference"]).mean()
    if c.has("eigenvalues"):
        d, w, gap = eigenvalue_errors(model, c, blocks=blocks)
        row["eigenvalues"] = float((np.abs(d) * w).sum() / w.sum())
        samples["eigenvalues"].append((d, w))
        if has_own_zero(c.load_reference()):
            row["aligned"] = True
        if np.isfinite(gap):
            row["gap"] = float(abs(gap))
            samples["gaps"].append(gap)
    step = _vacuum_step(model, c)
    if step is not None:
        row["vacuum_step"] = abs(step)
    if model.trust is None or not {"energy", "forces"} <= set(c.results):
        return row, None
    return row, uncertainty.observe(model, c, out, found)


def formula_units(numbers) -> int:
    """Number of formula units in a composition: 4 in Mo4S8, 8 in C8."""
    return reduce(gcd, np.unique(numbers, return_counts=True)[1].tolist())


def _common_formula(configurations):
    """Reduced formula of a layer, where all layers of the data have the same; else "formula unit"."""
    found = {
        str(c.atoms[c.layers == k].symbols.formula.reduce()[0].convert("metal"))
        for c in configurations
        for k in range(c.layers.max() + 1)
    }
    return found.pop() if len(found) == 1 else "formula unit"


def _vacuum_step(model, c):
    """Error (eV) of the step of the vacuum level; None of a model without charges, or where the data do not say."""
    levels = [c.info.get(k) for k in ("vacuum_top", "vacuum_bottom")]
    if None in levels or not model.has_vacuum_step:
        return None
    return model.vacuum_step(c.atoms, c.layers) - (levels[0] - levels[1])


def _different(configurations, count=3):
    """A few small configurations of different kinds: a rotation of each says all there is to say."""
    first = {}
    for c in sorted(configurations, key=lambda c: len(c.atoms)):
        first.setdefault(c.kind, c)
    rest = [c for c in sorted(configurations, key=lambda c: len(c.atoms)) if c not in first.values()]
    return (list(first.values()) + rest)[:count]


def _trust(model, observed, validation_fraction, samples):
    """Scores of the model's deviations, None of a model without.

    The held-out split has calibrated them; on it every configuration is judged by a calibration on the others.
    """
    if not observed:
        return None
    own_split = validation_fraction is not None and len(observed) > 2
    n_species = model.force_field.n_species
    if own_split:
        deviations = uncertainty.cross_validated(observed, n_species)
    else:
        deviations = uncertainty.predicted(observed, model.trust.arrays())
    samples["trust"] = (observed, deviations)
    return {
        "calibration": "on the other held-out configurations" if own_split else SHIPPED,
        **uncertainty.scores(observed, deviations),
    }


def refused(model, configurations) -> dict:
    """Names of the configurations that a model does not take, with the reason."""
    reasons = {c.name: model.refusal(c.atoms, c.layers) for c in configurations}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _mean(rows, key, keep, weight=None):
    found = [(r[key], r[weight] if weight else 1.0) for r in rows if key in r and keep(r)]
    return 1e3 * float(np.average([f[0] for f in found], weights=[f[1] for f in found])) if found else None


def _table(rows, elements, sigma_max=SIGMA_MILD):
    """The quantities of `report.QUANTITIES` in meV and the same over all sigma; None where the data has none."""
    mild = lambda r: r["sigma"] <= sigma_max + 1e-9
    out = {
        "force_mild": _mean(rows, "force", mild, "n_atoms"),
        "force": _mean(rows, "force", lambda r: True, "n_atoms"),
        "layer_force": _mean(rows, "layer_force", lambda r: r["sigma"] == 0),
        "energy_mild": _mean(rows, "energy", mild),
        "energy": _mean(rows, "energy", lambda r: True),
        "stress": _mean(rows, "stress", mild),
        "eigenvalues": _mean(rows, "eigenvalues", mild),
        "gap": _mean(rows, "gap", mild),
        "eigenvalues_all": _mean(rows, "eigenvalues", lambda r: True),
        "gap_all": _mean(rows, "gap", lambda r: True),
        "vacuum_step": _mean(rows, "vacuum_step", mild),
    }
    quiet = [e for sigma, e in elements if sigma <= sigma_max + 1e-9]
    if quiet:
        p, r, kind = (np.concatenate([e[k] for e in quiet]) for k in ("predicted", "reference", "kind"))
        out["elements"] = 1e3 * float(np.abs(p - r).mean())
        if (kind == 2).any():
            p, r = p[kind == 2], r[kind == 2]
            out["inter_r2"] = _r2(p, r)
    return out


def _r2(predicted, reference):
    """R² about the mean; None where the reference does not vary."""
    spread = ((reference - reference.mean()) ** 2).sum()
    return float(1 - ((predicted - reference) ** 2).sum() / spread) if spread > 0 else None


def _classes(elements, sigma_max=SIGMA_MILD):
    """Mean absolute error (meV) and R² per kind, pair of species and distance range."""
    from ase.data import chemical_symbols

    quiet = [e for sigma, e in elements if sigma <= sigma_max + 1e-9]
    if not quiet:
        return []
    p, r, d, kind, pair = (
        np.concatenate([e[k] for e in quiet]) for k in ("predicted", "reference", "distance", "kind", "pair")
    )
    out = []
    for k, label in enumerate(("on-site", "intra", "inter")):
        for code in np.unique(pair[kind == k]):
            for low, high in ((0, NEAR), (NEAR, 9), (9, 12)):
                m = (kind == k) & (pair == code) & (d >= low) & (d < high)
                if m.any():
                    out.append(
                        {
                            "class": label,
                            "pair": f"{chemical_symbols[code % 1000]}-{chemical_symbols[code // 1000]}",
                            "range": f"{low:g}-{high:g}",
                            "n": int(m.sum()),
                            "mean_size": 1e3 * float(np.abs(r[m]).mean()),
                            "mae": 1e3 * float(np.abs(p[m] - r[m]).mean()),
                            "r2": _r2(p[m], r[m]),
                        }
                    )
    return out
