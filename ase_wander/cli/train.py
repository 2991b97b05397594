"""Commands `train` and `evaluate`."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .common import CommandError, console
from .progress import counting, progress_bar


def add_parser(subparsers):
    train = subparsers.add_parser(
        "train",
        help="train a model",
        epilog="Several processes: torchrun --standalone --nproc_per_node N -m ase_wander.cli train CONFIG --out RUN",
    )
    train.add_argument(
        "config",
        nargs="?",
        help="YAML configuration, see models/mos2-bilayer/train.yaml, benchmarks/published.yaml; none with --from",
    )
    train.add_argument("--out", required=True, help="run directory: checkpoints, logs, run.json, learning.png")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.add_argument(
        "--ship",
        "--release",
        dest="release",
        metavar="FOLDER",
        help="write the finished model (config, weights, card, errors) into this folder",
    )
    tune = train.add_argument_group(
        "fine-tuning without a configuration",
        "--from MODEL --data DATA writes one beside the run directory, OUT.yaml, and trains it",
    )
    tune.add_argument("--from", dest="start", metavar="MODEL", help="name or folder of the model to start from")
    tune.add_argument("--data", nargs="+", metavar="DATA", help="folders of reference data, extended XYZ files")
    tune.add_argument("--name", help="of the new model; default: the name of the run directory")
    tune.add_argument("--material", help="known name or file of one layer; default: found from model and data")
    tune.add_argument(
        "--replay", type=float, default=0.0, metavar="SHARE", help="share of the model's own data, against forgetting"
    )
    tune.add_argument("--freeze", nargs="+", default=(), metavar="PART", help="parts of the model that stay")
    train.set_defaults(main=run_train)
    evaluate = subparsers.add_parser("evaluate", help="errors of a model on reference data")
    evaluate.add_argument("model", help="name or folder")
    evaluate.add_argument(
        "data",
        nargs="*",
        help="folders in the format of the reference data, or extended XYZ files; default: the model's folder data",
    )
    evaluate.add_argument("--all", action="store_true", help="all configurations, not only the validation split")
    evaluate.add_argument("--out", help="folder for report.json and figures")
    evaluate.add_argument(
        "--fit-uncertainty",
        action="store_true",
        help="fit the uncertainty to DATA first (training split: domain, validation split: size) and keep it with the "
        "model",
    )
    evaluate.add_argument("--run", help="run directory the model came from: its learning curve joins the report")
    evaluate.set_defaults(main=run_evaluate)


def run_train(arguments):
    from ..training import distributed

    with distributed.processes():  # those of torchrun; the first one alone reports and writes
        _train(arguments, distributed.together, distributed.rank() == 0)


def _train(arguments, together, first):
    from ..training.config import load_config
    from ..training.train import train

    together(lambda: _configure(arguments), only_first=True)
    config = together(lambda: load_config(arguments.config or made_file(arguments)))
    if arguments.release:
        from ..evaluation.release import check_releasable

        together(lambda: check_releasable(config, arguments.release), only_first=True)
    out = console()
    progress = network_progress(out) if config.is_published else stage_progress(config, arguments.out, out)
    with progress if first else nullcontext() as report:
        model = train(config, arguments.out, arguments.resume, report)
    if first:
        _release(model, config, arguments, out)


def made_file(arguments) -> Path:
    """The configuration that a fine-tuning without one writes: beside the run directory."""
    out = Path(arguments.out)
    return out.with_name(f"{out.name}.yaml")


def _configure(arguments):
    """Write the configuration of a fine-tuning; CommandError for options that do not go together."""
    if arguments.config:
        if arguments.start or arguments.data:
            raise CommandError("give a configuration, or --from and --data: a configuration names both itself")
        return
    if not (arguments.start and arguments.data):
        raise CommandError("give a configuration, or --from MODEL and --data DATA")
    file = made_file(arguments)
    if arguments.resume and file.is_file():  # as it may have been changed
        return
    from ..training.finetune import finetuning, write_finetuning

    name = arguments.name or Path(arguments.out).name
    options = arguments.material, arguments.replay, arguments.freeze
    file.parent.mkdir(parents=True, exist_ok=True)
    write_finetuning(file, finetuning(arguments.start, arguments.data, name, *options))
    console().print(f"configuration written to {file}")


@contextmanager
def stage_progress(config, folder, out):
    """Where reports of a run in stages go: a bar for each, a line for each validation, and learning.png, drawn again
    each minute.
    """
    from ..training.figures import plot_learning_curves
    from ..training.progress import progress_line
    from ..training.terms import labels_line

    drawn, names = time.monotonic(), [s.name for s in config.stages]
    with progress_bar(out, transient=False) as bar:
        steps = {s.name: s.loop.steps for s in config.stages}
        tasks = {name: bar.add_task(name, total=steps[name], start=False) for name in names}

        def report(row):
            nonlocal drawn
            task = tasks[row["stage"]]
            if not bar.tasks[task].started:
                bar.start_task(task)
            bar.update(task, completed=row["step"])
            if "labels" in row:
                bar.console.print(labels_line(row["stage"], row["labels"], row["n_configurations"]))
            if "train" in row:
                bar.console.print(progress_line(row, steps[row["stage"]]))
                if time.monotonic() - drawn > 60:
                    plot_learning_curves(folder, names, folder)
                    drawn = time.monotonic()

        yield report
    plot_learning_curves(folder, names, folder)


def _release(model, config, arguments, out):
    if arguments.release:
        from ..evaluation.equilibrium import model_equilibrium
        from ..evaluation.release import release_model

        folder = release_model(model, config, arguments.out, arguments.release, model_equilibrium)
        out.print(f"model, card and errors written to {folder}")


@contextmanager
def network_progress(out):
    """Where reports of a run of kind `published` go: a bar over the epochs of one network after the other, a line for
    each.
    """
    with progress_bar(out, count="epoch {task.completed}/{task.total}") as bar:
        task = bar.add_task("samples", total=None)

        def report(row):
            if "epochs" in row:
                bar.update(task, description=row["network"], total=row["epochs"], completed=row["epoch"])
            else:
                unit = "Ry/bohr" if row["network"].startswith("force") else "eV"
                bar.console.print(
                    f"{row['network']}: {row['samples']} samples, {row['epoch']} epochs, validation MAE "
                    f"{row['best_mae']:.3g} {unit}"
                )

        yield report


def fit_uncertainty(model, name, configurations):
    """Fit the uncertainty of a model and write it into its folder."""
    from ..catalogue import model_folder
    from ..evaluation.uncertainty import fit_uncertainty

    with counting("uncertainty") as progress:
        fit_uncertainty(model, configurations, progress=progress)
    model.save_uncertainty(model_folder(name))


def run_evaluate(arguments):
    from ..catalogue import reference_data
    from ..data.dataset import load_dataset
    from ..evaluation.evaluate import evaluate
    from ..evaluation.report import learning_curve, print_table, shipped_learning_curve, write_report
    from ..loading import load_model

    model = load_model(arguments.model)
    if arguments.out:  # refused before the minutes that an evaluation takes
        if Path(arguments.out).exists() and not Path(arguments.out).is_dir():
            raise CommandError(f"{arguments.out}: is a file, not a folder for report.json and figures")
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
    learning = learning_curve(arguments.run) if arguments.run else shipped_learning_curve(arguments.model, model.digest)
    paths = arguments.data or [reference_data(arguments.model)]
    configurations = [c for path in paths for c in load_dataset(path)]
    for c in configurations:  # what was trained on whole calibrates nothing
        c.calibrates = c.name in model.config.get("calibrated_with", ())
        c.hold_out = c.hold_out and c.name not in model.config.get("trained_whole", ())
    if arguments.fit_uncertainty:
        fit_uncertainty(model, arguments.model, configurations)
    samples, fraction = {}, None if arguments.all else model.config.get("validation_fraction", 0.15)
    with counting("evaluate") as progress:
        report = evaluate(model, configurations, fraction, progress, samples, learning)
    print_table(report, console(stderr=False))
    if arguments.out:
        from ..evaluation.figures import write_figures
        from ..training.figures import plot_logs

        write_report(report, arguments.out)
        write_figures(samples, arguments.out)
        if learning:
            plot_logs(learning, arguments.out)
