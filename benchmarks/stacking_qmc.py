"""Bilayer graphene's stacking from quantum Monte Carlo: a model with a correction on top of `graphene-bilayer`.

    python benchmarks/stacking_qmc.py                      # the table: graphene-bilayer and the trial
    python benchmarks/stacking_qmc.py --fit --out FOLDER   # fit the correction, write the model

Targets: diffusion Monte Carlo of Krongchon, Rakib, Pathak, Ertekin, Johnson and Wagner, arXiv:2307.07210: AA -
AB 4.76 meV/atom with each registry at its own distance (AB 3.451, AA 3.631 Å), SP + 0.54, halfway between AB and AA +
2.77 meV/atom, binding 20.4 meV/atom. Rigid flat layers at the model's lattice constant.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares, minimize_scalar

from ase_wander import load_model
from ase_wander.catalogue import model_folder
from ase_wander.evaluation.equilibrium import model_equilibrium
from ase_wander.model.stacking import StackingTerm
from ase_wander.moire import twisted_bilayer

REGISTRIES = {"AB": (1 / 3, 2 / 3), "SP": (0.5, 0.0), "halfway": (1 / 6, 1 / 3), "AA": (0.0, 0.0)}
TARGETS = {"SP": 0.54, "halfway": 2.77, "AA": 4.76, "binding": 20.4, "d AB": 3.451, "d AA": 3.631}  # meV/atom, Å
#: What an error of one unit of the fit is: meV/atom, Å.
SCALES = {"SP": 0.05, "halfway": 0.1, "AA": 0.02, "binding": 0.2, "d AB": 0.002, "d AA": 0.004}
DISTANCES = np.arange(3.1, 4.01, 0.05)
FIXED = {"z0": 3.4, "kappa": [1.0, 2.5], "taper": 6.0, "cutoff": 8.0}
PRIOR = {"C": 0.01, "lambda": 3.0, "delta": 0.8, "B": [0.0, 0.0]}
WIDTH = {"C": 0.05, "lambda": 1.0, "delta": 0.2, "B": [0.02, 0.02]}


def bilayer(registry, distance):
    """4 atoms, flat, at the equilibrium lattice constant."""
    return twisted_bilayer("graphene", angle=0.0, shift=REGISTRIES[registry], gap=distance, vacuum=20.0)


def energies(model, registry, distances):
    """Energy per atom (eV) at the distances (Å)."""
    layers = np.repeat([0, 1], 2)
    return np.array([model.compute(bilayer(registry, d), layers)["energy"] / 4 for d in distances])


def term_energies(numbers, registry, distances):
    """Correction per atom (eV) at the distances (Å)."""
    term, layers = StackingTerm(numbers), np.repeat([0, 1], 2)
    return np.array([term(bilayer(registry, d), layers)[0].sum() / 4 for d in distances])


def observed(curves, far):
    """Numbers of TARGETS from energies (eV/atom) on DISTANCES by registry, and the energy of layers far apart."""
    low = {}
    for name, values in curves.items():
        spline = CubicSpline(DISTANCES, values)
        found = minimize_scalar(spline, bounds=(DISTANCES[0], DISTANCES[-1]), method="bounded")
        low[name] = (float(found.x), float(found.fun))
    out = {name: 1e3 * (low[name][1] - low["AB"][1]) for name in ("SP", "halfway", "AA")}
    return out | {"binding": 1e3 * (far - low["AB"][1]), "d AB": low["AB"][0], "d AA": low["AA"][0]}


def numbers_of(x):
    """The correction's numbers from the vector of a fit."""
    return {**FIXED, "C": x[0], "lambda": x[1], "delta": x[2], "B": [float(x[3]), float(x[4])]}


def fit(base, far):
    """Numbers of the StackingTerm whose sum with the `base` curves meets TARGETS, with the smallest change of C,
    lambda, ..."""
    start, width = (np.array([p["C"], p["lambda"], p["delta"], *p["B"]]) for p in (PRIOR, WIDTH))

    def residuals(x):
        numbers = numbers_of(x)
        found = observed({name: base[name] + term_energies(numbers, name, DISTANCES) for name in base}, far)
        return [*((found[k] - TARGETS[k]) / SCALES[k] for k in TARGETS), *(x - start) / width]

    x = least_squares(residuals, start, x_scale=width, diff_step=1e-3).x
    return {
        k: ([round(float(v), 5) for v in n] if isinstance(n, list) else round(float(n), 5))
        for k, n in numbers_of(x).items()
    }


def write_model(numbers, base, out):
    """The model folder: the weights of `base` with the correction in its config.json, and its own equilibrium."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("weights.safetensors", "trust.safetensors"):
        shutil.copyfile(model_folder(base) / name, out / name)
    config = json.loads((model_folder(base) / "config.json").read_text())
    config |= {"name": out.name, "base": base, "stacking": numbers}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    config["equilibrium"] = model_equilibrium(load_model(out), "graphene")
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def curves(model):
    """Energies per atom of all registries, and of layers far apart."""
    return {name: energies(model, name, DISTANCES) for name in REGISTRIES}, energies(model, "AB", [14.0])[0]


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="graphene-bilayer")
    parser.add_argument("--model", default=Path(__file__).parent / "stacking" / "graphene-bilayer-qmc")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", help="folder of the model that --fit writes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = curves(load_model(options.base))
    if options.fit:
        numbers = fit(*base)
        print(json.dumps(numbers))
        if options.out:
            write_model(numbers, options.base, options.out)
            options.model = options.out
    rows = {options.base: observed(*base), Path(options.model).name: observed(*curves(load_model(options.model)))}
    heads = [f"{k} {'Å' if k.startswith('d ') else 'meV/atom'}" for k in TARGETS]
    print("| | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for name, row in {**rows, "quantum Monte Carlo": TARGETS}.items():
        print(f"| {name} | " + " | ".join(f"{row[k]:.{3 if k.startswith('d ') else 2}f}" for k in TARGETS) + " |")


if __name__ == "__main__":
    main()
