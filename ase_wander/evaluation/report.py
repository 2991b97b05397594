"""The report of an evaluation in words: Markdown tables, the console, report.json, the learning curve of a run."""

from __future__ import annotations

import json
from pathlib import Path

from ..catalogue import model_folder
from ..files import atomic_write
from ..training.bars import QUANTITIES

#: Calibration of deviations judged on configurations that did not calibrate them, and what it means.
SHIPPED = "as shipped"
ELSEWHERE = (
    "These are not the configurations that calibrated them: on kinds of structures that were not among those "
    "(docs/trust.md) errors are larger, by a factor of about two"
)

#: Names and units of the errors whose size a model's uncertainty predicts.
TRUSTED = {"forces": "force on an atom", "hamiltonian": "H elements of an atom", "energy": "energy of a structure"}


def table_lines(report) -> list[str]:
    """The table of QUANTITIES as Markdown lines; with first bar and aim where the model has some, see `are_bars`."""
    bars = report.get("bars")  # not in reports of before there were any
    lines = ["| quantity | unit | measured |", "|---|---|---|"]
    if bars:
        lines = [lines[0] + " first bar | aim |", lines[1] + "---|---|"]
    for key, label, unit in QUANTITIES:
        value = report["table"].get(key)
        shown = "n/a" if value is None else (f"{value:.4f}" if key == "inter_r2" else f"{value:.3g}")
        lines.append(f"| {label.format(formula=report.get('formula', 'formula unit'))} | {unit} | {shown} |")
        if bars:
            lines[-1] += " {:g} | {:g} |".format(*bars[key]) if key in bars else "  |  |"
    return lines


def class_lines(report) -> list[str]:
    """Hamiltonian errors by class as Markdown lines."""
    lines = ["| class | pair | range Å | mean size meV | MAE meV | R² |", "|---|---|---|---|---|---|"]
    for c in report["classes"]:
        shown = "" if c["class"] == "on-site" else c["range"]
        r2 = "" if c["r2"] is None else f"{c['r2']:.4f}"
        lines.append(f"| {c['class']} | {c['pair']} | {shown} | {c['mean_size']:.2f} | {c['mae']:.3f} | {r2} |")
    return lines


def symmetry_lines(report) -> list[str]:
    """Covariance, Hermiticity and precision as Markdown lines."""
    r = report.get("residuals")
    if not r:
        return []
    lines = ["| largest violation | energy | force eV/Å | H eV |", "|---|---|---|---|"]
    show = lambda values, name: f"{values[name]:.1e}" if name in values else ""
    if "refused" in r["covariance"]:
        lines.append("| turned, mirrored and permuted | not taken | | |")
    else:
        lines.append(
            "| turned, mirrored and permuted atoms (energy in eV) | "
            + " | ".join(show(r["covariance"], k) for k in ("energy", "forces", "hamiltonian"))
            + " |"
        )
    lines.append(f"| H(R) against H(-R)ᵀ | | | {r['hermiticity']:.1e} |")
    if r["precision"]:
        lines.append(
            "| float32 against float64 (energy in eV/atom) | "
            + " | ".join(show(r["precision"], k) for k in ("energy", "forces", "hamiltonian"))
            + " |"
        )
    return lines


def uncertainty_lines(report) -> list[str]:
    """How well the model knows its errors, as Markdown lines; none of a model without an uncertainty."""
    t = report.get("trust")
    if not t:
        return []
    lines = [
        "| error | AUC | rank correlation | within 1 deviation (68 %) | within 2 (95 %) |",
        "|---|---|---|---|---|",
    ]
    shown = lambda x: "n/a" if x is None else f"{x:.3f}"
    for name, label in TRUSTED.items():
        if name in t:
            s = t[name]
            lines.append(
                f"| {label} | {shown(s['auc'])} | {shown(s['rank'])} | {100 * s['within_1']:.0f} % | "
                f"{100 * s['within_2']:.0f} % |"
            )
    return lines


def print_table(report, console) -> None:
    """Print the tables to a rich console."""
    console.print(f"{report['model']}: {report['n_configurations']} configurations")
    for name, reason in list(report["left_out"].items())[:1]:
        console.print(f"{len(report['left_out'])} left out ({name}: {reason})")
    aligned = [r["name"] for r in report["configurations"] if r.get("aligned")]
    if aligned:
        console.print(
            f"eigenvalues of {', '.join(aligned)} are on a zero of their own: the mean difference is taken off"
        )
    for line in table_lines(report) + [""] + class_lines(report) + [""] + symmetry_lines(report):
        console.print(line)
    if report.get("trust"):
        console.print(
            f"\nStandard deviations, calibrated {report['trust']['calibration']}; AUC: an error above 3 times the "
            "median has the larger deviation" + ("" if report["trust"]["calibration"] != SHIPPED else f". {ELSEWHERE}")
        )
        for line in uncertainty_lines(report):
            console.print(line)
    console.print("\n" + summary(report))


def summary(report) -> str:
    """Errors outside the table in one line; what a model or its data lacks is left out."""
    t = report["table"]
    parts = [
        f"{label} {t[key]:.2f} {unit}"
        for key, label, unit in (
            ("force", "force MAE", "meV/Å"),
            ("energy", "energy", "meV/atom"),
            ("eigenvalues_all", "eigenvalues near the gap", "meV"),
            ("gap_all", "gap", "meV"),
        )
        if t.get(key) is not None
    ]
    mild = [
        f"{label} {t[key]:.1f} meV"
        for key, label in (("gap", "gap"), ("vacuum_step", "step of the vacuum level"))
        if t.get(key) is not None
    ]
    return f"All sigma: {', '.join(parts)}." + (f" sigma <= 0.03 Å: {', '.join(mild)}." if mild else "")


def write_report(report, folder) -> None:
    """`report.json` in `folder`, atomically."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")


def stages_of(run) -> list[str]:
    """Names of the stages of a run directory, from its run.json; ValueError naming the file."""
    file = Path(run) / "run.json"
    try:
        return [s["name"] for s in json.loads(file.read_text())["config"].get("stages", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: not a readable record of a run ({error!r})") from None


def learning_curve(run, n_points=60) -> dict:
    """Errors by stage as the logs of a run hold them, at most `n_points` rows each: {stage: [{step, train, validation},
    ...]}.
    """
    out = {}
    for stage in stages_of(run):
        log = Path(run) / f"{stage}.jsonl"
        if not log.is_file():
            continue
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        rows = [{k: r[k] for k in ("step", "train", "validation") if k in r} for r in rows if r.get("validation")]
        if len(rows) > n_points:
            rows = [rows[round(k * (len(rows) - 1) / (n_points - 1))] for k in range(n_points)]
        out[stage] = rows
    return out


def shipped_learning_curve(model, digest) -> dict | None:
    """The learning curve in the report.json of a model folder, by name or path, if it is of the weights of hash
    `digest`.
    """
    try:
        report = json.loads((model_folder(model) / "report.json").read_text())
        return report["learning"] if report["sha256"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
