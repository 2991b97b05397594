"""Commands `train`, `evaluate` and `data`."""

from __future__ import annotations

from contextlib import contextmanager

from .cli_common import console


def add_parser(subparsers):
    train = subparsers.add_parser("train", help="train a model")
    train.add_argument("config", help="YAML configuration, see models/mos2-bilayer/train.yaml, benchmarks/published.yaml")
    train.add_argument("--out", required=True, help="run directory: checkpoints, logs, run.json, learning.png")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.add_argument("--ship", help="write the finished model (config, weights, card, errors) into this folder")
    train.set_defaults(main=run_train)
    evaluate = subparsers.add_parser("evaluate", help="errors of a model on reference data")
    evaluate.add_argument("model", help="name or folder")
    evaluate.add_argument("data", nargs="+", help="folders in the format of the reference data, or extended XYZ files")
    evaluate.add_argument("--all", action="store_true", help="all configurations, not only the validation split")
    evaluate.add_argument("--out", help="folder for report.json and figures")
    evaluate.set_defaults(main=run_evaluate)
    data = subparsers.add_parser("data", help="look at reference data")
    data.add_argument("data", help="folder or extended XYZ file")
    data.set_defaults(main=run_data)


def run_train(arguments):
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from .training.config import load_config
    from .training.train import train

    config = load_config(arguments.config)
    if arguments.ship:
        from .training.ship import check_shippable
        check_shippable(config, arguments.ship)
    out = console()
    if config.get("kind") == "published":
        with network_progress(out) as report:
            model = train(config, arguments.out, arguments.resume, report)
        _ship(model, config, arguments, out)
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                  TimeRemainingColumn(), console=out, disable=not out.is_terminal) as bar:
        tasks = {s["name"]: bar.add_task(s["name"], total=s["loop"].steps, start=False) for s in config["stages"]}

        def report(row):
            task = tasks[row["stage"]]
            if not bar.tasks[task].started:
                bar.start_task(task)
            bar.update(task, completed=row["step"])
            if "train" in row:
                errors = {**{f"train {k}": v for k, v in row["train"].items()}, **row.get("validation", {})}
                bar.console.print(f"{row['stage']} {row['step']}  " +
                                  "  ".join(f"{k} {v:.3g}" for k, v in errors.items()))

        model = train(config, arguments.out, arguments.resume, report)
    from .training.figures import plot_learning_curves
    plot_learning_curves(arguments.out, [s["name"] for s in config["stages"]], arguments.out)
    _ship(model, config, arguments, out)


def _ship(model, config, arguments, out):
    if arguments.ship:
        from .equilibrium import equilibrium
        from .training.ship import ship
        folder = ship(model, config, arguments.out, arguments.ship, equilibrium)
        out.print(f"model, card and errors written to {folder}")


@contextmanager
def network_progress(out):
    """Where reports of a run of kind `published` go: a bar over the epochs of one network after the other, a line for each."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("epoch {task.completed}/{task.total}"),
                  TimeRemainingColumn(), console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("samples", total=None)

        def report(row):
            if "epochs" in row:
                bar.update(task, description=row["network"], total=row["epochs"], completed=row["epoch"])
            else:
                unit = "Ry/bohr" if row["network"].startswith("force") else "eV"
                bar.console.print(f"{row['network']}: {row['samples']} samples, {row['epoch']} epochs, validation MAE {row['best_mae']:.3g} {unit}")

        yield report


@contextmanager
def evaluation_progress(out):
    """A bar over configurations, for `evaluate(progress=)`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("configurations"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(),
                  console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("evaluate", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_evaluate(arguments):
    from .data.dataset import load_dataset
    from .model import load_model
    from .training.evaluate import evaluate, print_table, write_report

    model = load_model(arguments.model)
    configurations = [c for path in arguments.data for c in load_dataset(path)]
    samples, fraction = {}, None if arguments.all else model.config.get("validation_fraction", 0.15)
    with evaluation_progress(console()) as progress:
        report = evaluate(model, configurations, fraction, progress, samples)
    print_table(report, console(stderr=False))
    if arguments.out:
        from .training.figures import write_figures
        write_report(report, arguments.out)
        write_figures(samples, arguments.out)


def run_data(arguments):
    from collections import Counter

    import numpy as np
    from rich.table import Table

    from .data.dataset import dataset_hash, is_validation, load_dataset

    configurations = load_dataset(arguments.data)
    table = Table("kind", "configurations", "validation", "atoms", "sigma (Å)", "with Hamiltonian")
    for kind in sorted(Counter(c.kind for c in configurations)):
        chosen = [c for c in configurations if c.kind == kind]
        sigmas = [c.sigma for c in chosen]
        table.add_row(kind, str(len(chosen)), str(sum(is_validation(c.name) for c in chosen)),
                      "/".join(map(str, sorted({len(c.atoms) for c in chosen}))), f"{np.nanmin(sigmas):g}-{np.nanmax(sigmas):g}" if np.isfinite(sigmas).any() else "unknown",
                      str(sum(c.hamiltonian is not None for c in chosen)))
    out = console(stderr=False)
    out.print(table)
    out.print(f"{len(configurations)} configurations, {sum(len(c.atoms) for c in configurations)} atoms, "
              f"data hash {dataset_hash(configurations)[:16]}")
