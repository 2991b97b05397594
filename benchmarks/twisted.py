"""Errors of a model on twisted bilayers that it was, or was not, trained on: a table by configuration and the mean.

    python benchmarks/twisted.py                                    # mos2-bilayer on models/mos2-bilayer/data/twisted
    python benchmarks/twisted.py FOLDER ... --model runs/new        # any references, any model
    python benchmarks/twisted.py --out twisted.json

Forces: MAE. H: MAE of the elements within 12 Å. R²: of the elements between the layers, about their mean. Gap:
predicted less reference, on the k-points of the data. Γ: error of the top valence state at Γ less the mean error of the
11 states below it. ΣH: sum of the p_z - p_z elements between facing atoms over all pairs within 12 Å, per atom,
predicted less reference. Means are of absolute values, except that of R². References without a Hamiltonian, or without
forces, leave their columns empty.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from ase_wander import load_model
from ase_wander.catalogue import reference_data
from ase_wander.data.dataset import load_dataset
from ase_wander.evaluation.twist import twist_errors

COLUMNS = {  # key: heading, factor, format
    "force": ("forces meV/Å", 1e3, ".2f"),
    "elements": ("H meV", 1e3, ".3f"),
    "inter_r2": ("inter-layer R²", 1.0, ".4f"),
    "gap": ("gap meV", 1e3, "+.1f"),
    "gamma": ("Γ meV", 1e3, "+.1f"),
    "sum": ("ΣH meV", 1e3, "+.1f"),
}


def rows_of(model, configurations):
    """Errors of every configuration with what tells it apart."""
    whole = set(model.config.get("trained_whole", ()))
    for c in configurations:
        info = {"name": c.name, "atoms": len(c.atoms), "sigma": c.sigma, "trained": c.name in whole}
        info |= {k: c.info[k] for k in ("twist_angle", "stacking", "gap") if k in c.info}
        yield info, twist_errors(model, c)


def line(label, errors):
    """One row of the table."""
    cells = (f"{factor * errors[key]:{form}}" if key in errors else "" for key, (_, factor, form) in COLUMNS.items())
    return f"| {label} | " + " | ".join(cells) + " |"


def mean(rows):
    """Mean of the absolute errors, and of R²."""
    found = {key: [e[key] for _, e in rows if key in e] for key in COLUMNS}
    return {k: float(np.mean(v if k == "inter_r2" else np.abs(v))) for k, v in found.items() if v}


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="folders of references; default: data/twisted of the model")
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--out", help="JSON file of the numbers")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    folders = arguments.data or [reference_data(arguments.model) / "twisted"]
    rows = []
    print(f"model {model.name}, weights {model.digest[:12]}\n")
    print("| configuration | " + " | ".join(heading for heading, _, _ in COLUMNS.values()) + " |")
    print("|" + "---|" * (len(COLUMNS) + 1))
    for info, errors in rows_of(model, [c for folder in folders for c in load_dataset(folder)]):
        rows.append((info, errors))
        words = [f"{info['twist_angle']:.2f}°"] if "twist_angle" in info else []
        words += [str(info["stacking"])] if "stacking" in info else []
        words += [f"gap {info['gap']:.2f} Å"] if "gap" in info else []
        words += [f"σ {info['sigma']:g} Å"] if np.isfinite(info["sigma"]) else []
        words += ["trained on whole"] if info["trained"] else []
        print(line(f"{info['name']}: {', '.join(words)}", errors), flush=True)
    kept = [row for row in rows if not row[0]["trained"]]
    label = f"mean of {len(kept)}" + (", without those that were trained on whole" if len(kept) < len(rows) else "")
    print(line(label, mean(kept)) if kept else line("mean", mean(rows)))
    if arguments.out:
        content = {"model": model.name, "sha256": model.digest, "rows": [{**i, **e} for i, e in rows]}
        Path(arguments.out).write_text(json.dumps(content, indent=1, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
