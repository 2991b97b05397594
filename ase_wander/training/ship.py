"""A finished run becomes a model folder: weights, configuration, errors and the card written from them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..model import load_model
from .equilibrium import equilibrium
from .evaluate import class_lines, evaluate, table_lines, write_report
from .figures import plot_learning_curves, write_figures
from .train import load_configurations


def ship(model, config, run, folder) -> Path:
    """Write `model` with its equilibrium, `report.json` on the validation split and `card.md` into `folder`."""
    run, folder = Path(run), Path(folder)
    record = json.loads((run / "run.json").read_text())
    model.config["validation_fraction"] = config["validation_fraction"]
    model.config["data_sha256"] = record["data_sha256"]
    model.save(folder)
    model.config["equilibrium"] = equilibrium(load_model(folder), config["material"])
    model.save(folder)
    plot_learning_curves(run, [s["name"] for s in config["stages"]], folder)
    write_card(folder, record, load_configurations(config))
    return folder


def write_card(folder, record, configurations) -> None:
    """Evaluate the model in `folder` and write `report.json` and `card.md`."""
    folder = Path(folder)
    model = load_model(folder)
    samples = {}
    report = evaluate(model, configurations, model.config["validation_fraction"], samples=samples)
    write_report(report, folder)
    write_figures(samples, folder)
    text = "\n".join(card_lines(model, record, report)) + "\n"
    temporary = folder / "card.md.part"
    temporary.write_text(text)
    os.replace(temporary, folder / "card.md")


def card_lines(model, record, report) -> list[str]:
    """The card in Markdown: what the model is, its data and recipe, errors measured."""
    c, e = record["config"], model.config["equilibrium"]
    n_weights = sum(p.numel() for p in model.parameters())
    lines = [f"# {model.name}", "",
             f"Force field with RAER and Wannier Hamiltonian of {c['material']} layers, kind `{model.kind}`, species "
             f"{', '.join(model.species)}, {n_weights:,} parameters. Orbitals: "
             + ", ".join(f"{s} l = {', '.join(map(str, l))}" for s, l in model.shells.items())
             + f". Hamiltonian cutoff {model.cutoff:g} Å, force field {model.force_field.cutoff:g} Å "
             f"(dispersion tail {model.force_field.tail_cutoff:g} Å). Energies relative to the vacuum level.", "",
             f"Weights SHA-256 `{model.digest}`. Licence: {c.get('licence', 'MIT')}.", "",
             f"Equilibrium of the model: a = {e['a']:.4f} Å, S-S thickness {e['thickness']:.4f} Å (lowest R stacking), "
             f"Mo-Mo gap {e['gap']:.4f} Å (mean over the high-symmetry R stackings).", "",
             "## Data", "",
             f"{record['n_configurations']} configurations, hash `{record['data_sha256'][:16]}`; PBE + D3(BJ), projected "
             "Wannier functions. Split by configuration by a hash of the name; "
             f"{report['n_configurations']} configurations ({100 * c['validation_fraction']:.0f} %) held out. "
             "No twisted cell is in the data.", "",
             "## Recipe", "",
             "`ase-wander train models/" + model.name + "/train.yaml --out RUN --ship models/" + model.name + "`; "
             f"{', '.join(f'{k} {v}' for k, v in record['versions'].items())}.", "",
             "## Errors on the validation split", "",
             "Reprint with `ase-wander evaluate " + model.name + " DATA`.", ""]
    lines += table_lines(report) + ["", "By class, sigma <= 0.03 Å:", ""] + class_lines(report)
    t = report["table"]
    lines += ["", f"All sigma: force MAE {t['force']:.2f} meV/Å, energy {t['energy']:.2f} meV/atom; gap error "
              f"{t['gap']:.1f} meV (sigma <= 0.03 Å).", "", "Largest errors, by configuration:", "",
              "| configuration | sigma Å | force meV/Å | energy meV/atom | H meV | eigenvalues meV |", "|---|---|---|---|---|---|"]
    worst = sorted(report["configurations"], key=lambda r: -r.get("force", 0))[:6]
    for r in worst:
        shown = [f"{1e3 * r[k]:.2f}" if k in r else "" for k in ("force", "energy", "elements", "eigenvalues")]
        lines.append(f"| {r['name']} | {r['sigma']:g} | " + " | ".join(shown) + " |")
    return lines
