"""The card of a model: what it is, its data and recipe, its errors."""

from __future__ import annotations

from pathlib import Path

from ..electronic.spinorbit import STRENGTHS
from ..files import atomic_write
from ..loading import load_model
from .evaluate import evaluate
from .figures import write_figures
from .report import class_lines, learning_curve, summary, symmetry_lines, table_lines, uncertainty_lines, write_report


def write_card(folder, record, configurations, run=None) -> None:
    """Evaluate the model in `folder` and write `report.json`, figures and `card.md`.

    `run` gives the learning curve of the report.
    """
    folder = Path(folder)
    model = load_model(folder)
    samples = {}
    report = evaluate(
        model,
        configurations,
        model.config["validation_fraction"],
        samples=samples,
        learning=learning_curve(run) if run and "energy" in model.implemented_properties else None,
    )
    write_report(report, folder)
    write_figures(samples, folder)
    lines = card_lines if "energy" in model.implemented_properties else published_card_lines
    text = "\n".join(lines(model, record, report)) + "\n"
    atomic_write(folder / "card.md", text)


def card_lines(model, record, report) -> list[str]:
    """The card in Markdown: what the model is, its data and recipe, errors measured."""
    c, e = record["config"], model.config["equilibrium"]
    n_weights = model.n_parameters
    lines = [
        f"# {model.name}",
        "",
        f"Force field with RAER and Wannier Hamiltonian of {c['material']} layers, kind `{model.kind}`, species "
        f"{', '.join(model.species)}, {n_weights:,} parameters. Orbitals: "
        + ", ".join(
            f"{s} {l[0]} along the local normal" if isinstance(l[0], str) else f"{s} l = {l[0]}"
            for s, l in model.shells.items()
        )
        + f". Hamiltonian cutoff {model.cutoff:g} Å, force field {model.force_field.cutoff:g} Å "
        f"(dispersion tail {model.force_field.tail_cutoff:g} Å). Energies relative to the vacuum level.",
        "",
        "Atomic spin-orbit strengths that `with_spin_orbit` takes for it: "
        + (
            ", ".join(f"{z} l = {l}: {x:g} eV" for z in model.species for l, x in STRENGTHS.get(z, {}).items())
            or "none known"
        )
        + ".",
        "",
        f"Weights SHA-256 `{model.digest}`. Licence: {c.get('licence', 'MIT')}.",
        "",
        f"Equilibrium of the model: a = {e['a']:.4f} Å, thickness of a layer between its outermost nuclei "
        f"{e['thickness']:.4f} Å "
        f"(lowest R stacking), gap between mid-planes {e['gap']:.4f} Å (mean over the high-symmetry R stackings).",
        "",
        "## Data",
        "",
        f"{record['n_configurations']} configurations, hash `{record['data_sha256'][:16]}`. Split by configuration by "
        "a "
        f"hash of the name; {report['n_configurations']} configurations ({100 * c['validation_fraction']:.0f} %) held "
        "out."
        + (
            f" Structures have {' or '.join(map(str, model.config['layers']))} layer(s)."
            if model.config.get("layers")
            else ""
        ),
        "",
        *notes_lines(c),
        "## Recipe",
        "",
        recipe(c, record.get("beside", True)) + f"; {', '.join(f'{k} {v}' for k, v in record['versions'].items())}.",
        "",
    ]
    return lines + error_lines(model, report, record)


def recipe(config, beside) -> str:
    """The command that made a model: with the `train.yaml` that stands `beside` it, else with what its stages were."""
    if beside:
        return f"`ase-wander train models/{config['name']}/train.yaml --out RUN --ship models/{config['name']}`"
    stages = (
        f"{s['name']} ({s['kind']}): {s['loop']['steps']} steps of {s['loop']['batch']}, lr {s['loop']['lr']:g}, "
        "weights " + ", ".join(f"{w} {x:g}" for w, x in s["weights"].items() if x)
        for s in config["stages"]
    )
    return "`ase-wander train CONFIG --out RUN --ship FOLDER` with the stages " + "; ".join(stages)


def notes_lines(config) -> list[str]:
    """Notes of the configuration on its data: method and extent."""
    return [config["notes"].strip(), ""] if config.get("notes") else []


def published_card_lines(model, record, report) -> list[str]:
    """The card of a trained model of kind `published`."""
    c = record["config"]
    settings = [
        f"{group}: " + ", ".join(f"{k} {v:g}" for k, v in c[group].items()) for group in ("forces", "hamiltonian")
    ]
    return [
        f"# {model.name}",
        "",
        "The architecture of the published WANDER (Qi, Gong, Yan, npj Comput. Mater. 2025, doi "
        "10.1038/s41524-025-01668-5), "
        f"kind `{model.kind}`, trained on reference data: 2 force networks, 15 Hamiltonian networks, "
        f"{sum(p.numel() for p in model.networks.parameters()):,} parameters, species {', '.join(model.species)}. "
        "Direct forces without an energy. Energies relative to the vacuum level, no layer offsets.",
        "",
        f"Weights SHA-256 `{model.digest}`. Licence: {c.get('licence', 'MIT')}.",
        "",
        "## Data",
        "",
        f"{record['n_configurations']} configurations, hash `{record['data_sha256'][:16]}`, the bilayers among them "
        "used; split by "
        f"configuration by a hash of the name, {100 * c['validation_fraction']:.0f} % held out (they choose the best "
        "epoch).",
        "",
        *notes_lines(c),
        "## Recipe",
        "",
        "Published: SGD, the best validated state kept. " + "; ".join(settings) + "; "
        f"{', '.join(f'{k} {v}' for k, v in record['versions'].items())}.",
        "",
        *error_lines(model, report, record),
    ]


def error_lines(model, report, record) -> list[str]:
    """Section of the card on the errors; what a model or its data lacks is left out."""
    lines = [
        "## Errors on the validation split",
        "",
        f"Reprint with `ase-wander evaluate {model.name}`; the data are in `data/`."
        if record.get("data_beside")
        else f"Reprint with `ase-wander evaluate {model.name} DATA` (or this folder in place of the name).",
        "",
    ]
    if report.get("left_out"):
        lines += [f"Left out, since the model does not take them: {', '.join(report['left_out'])}.", ""]
    lines += table_lines(report) + ["", "By class, sigma <= 0.03 Å:", ""] + class_lines(report)
    lines += [
        "",
        summary(report),
        "",
        "Symmetry and precision, on " + ", ".join(report["residuals"]["configurations"]) + ":",
        "",
        *symmetry_lines(report),
        "",
    ]
    if report.get("trust"):
        lines += [
            "## Uncertainty",
            "",
            "`get_uncertainty` gives standard deviations and the atoms outside the training data. Here each held-out "
            "configuration is judged by a calibration on the others; AUC: an error above 3 times the median has the "
            "larger deviation.",
            "",
            *uncertainty_lines(report),
            "",
            "![reliability](reliability.png)",
            "",
        ]
    lines += [
        "## Largest errors, by configuration",
        "",
        "| configuration | sigma Å | force meV/Å | energy meV/atom | H meV | eigenvalues meV |",
        "|---|---|---|---|---|---|",
    ]
    worst = sorted(report["configurations"], key=lambda r: -r.get("force", 0))[:6]
    for r in worst:
        shown = [f"{1e3 * r[k]:.2f}" if k in r else "" for k in ("force", "energy", "elements", "eigenvalues")]
        lines.append(f"| {r['name']} | {r['sigma']:g} | " + " | ".join(shown) + " |")
    return lines
