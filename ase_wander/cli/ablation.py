"""Command `ablation`: train and judge the rows of a table, print it, write it into the documentation."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from .common import CommandError, console
from .options import add_jobs
from .progress import counting, progress_bar

#: Name under which the errors of bands against those of H are asked for, beside the rows of the table.
NOISE = "noise"


def add_parser(subparsers):
    parser = subparsers.add_parser(
        "ablation",
        help="train and judge the rows of an ablation table",
        description="Train every row with every seed, judge it, print the tables and write them where the table's file "
        "says. Runs whose "
        "result exists are skipped, interrupted ones go on; with all results there it takes seconds.",
    )
    parser.add_argument("table", help="YAML file, see benchmarks/ablation/table.yaml")
    parser.add_argument("--out", help="folder of the runs: checkpoints and models; without it nothing is trained")
    parser.add_argument(
        "--results", help="folder of the results, a small JSON file per run; default: results beside the table"
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        metavar="ROW",
        help=f"only these rows; '{NOISE}' is the table from errors of H to errors of bands",
    )
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="only these seeds")
    parser.add_argument("--budget-hours", type=float, metavar="H", help="begin no run after so many hours")
    add_jobs(parser, "runs at a time, one thread each")
    parser.set_defaults(main=run_ablation)


def run_ablation(arguments):
    from ..evaluation.ablation.results import check_columns
    from ..evaluation.ablation.table import Table

    if arguments.budget_hours is not None and not arguments.budget_hours > 0:
        raise CommandError(f"--budget-hours {arguments.budget_hours:g}: a positive number of hours")
    table = Table(arguments.table)
    check_columns(table)
    unknown = sorted(set(arguments.seeds or ()) - set(table.seeds))
    if unknown:
        raise CommandError(f"--seeds {unknown[0]}: {table.path} has {', '.join(map(str, table.seeds))}")
    results = Path(arguments.results) if arguments.results else table.path.parent / "results"
    rows = [row for row in arguments.rows or () if row != NOISE]
    table.runs(rows)  # unknown rows are refused before anything starts
    failed = {}
    if arguments.out:
        if not arguments.rows or NOISE in arguments.rows:
            _noise(table, results)
        if not arguments.rows or rows:
            failed = _train(table, arguments, results, rows)
    _write(table, results)
    for name, reason in failed.items():
        console().print(f"{name}: {reason}")
    return 1 if failed else 0


def _noise(table, results):
    from ..evaluation.ablation.noise import perform_noise
    from ..training.train import new_model

    with counting("errors of bands against errors of H") as report:
        perform_noise(table, new_model(table.raw.base), results / f"{NOISE}.json", report)


def _train(table, arguments, results, rows):
    """Train and judge what is left; {run: reason} of those that failed."""
    from ..evaluation.ablation.run import pending

    start, failed = time.monotonic(), {}
    within_budget = lambda: not arguments.budget_hours or time.monotonic() - start < 3600 * arguments.budget_hours
    for tasks in range(2):  # first the force fields that runs share, then the runs
        left = pending(table, arguments.out, results, rows, arguments.seeds)[tasks]
        left = [task for task in left if f"{task[0]}-s{task[1]}" not in failed]
        with _bar(table, left, "force fields" if tasks == 0 else "runs") as (step, advance):
            for (row, seed, only), reason in _work(table, left, arguments, results, within_budget, step):
                advance(f"{row}-s{seed}" + (" (force field)" if only else ""), reason)
                if reason:
                    failed[f"{row}-s{seed}"] = reason
    return failed


def _work(table, left, arguments, results, within_budget, step):
    """Yield (task, reason of its failure or None) as they finish; no task begins outside the budget."""
    from ..evaluation.ablation.run import work

    common = (str(table.path), str(arguments.out), str(results))
    if arguments.jobs == 1:
        for task in left:
            if within_budget():
                yield task, work(*common, *task, report=step)
        return
    import multiprocessing

    left, running = list(left), {}
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        while running or (left and within_budget()):
            while left and len(running) < arguments.jobs and within_budget():
                task = left.pop(0)
                running[pool.submit(work, *common, *task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


@contextmanager
def _bar(table, left, what):
    """Bars over the tasks and over the steps of the stage that trains; a line for every task that ends."""
    with progress_bar(hidden=not left) as bar:
        tasks, stage = bar.add_task(what, total=len(left)), bar.add_task("", total=None, visible=False)
        steps = {s.get("name", s["kind"]): s.get("steps") for s in table.raw.stages}

        def step(row):
            if "step" in row:
                bar.update(
                    stage, description=row["stage"], completed=row["step"], total=steps.get(row["stage"]), visible=True
                )
            elif "epochs" in row:
                bar.update(stage, description=row["network"], completed=row["epoch"], total=row["epochs"], visible=True)

        def advance(name, reason):
            bar.advance(tasks)
            bar.console.print(f"{name}: {'failed, ' + reason if reason else 'done'}")

        yield step, advance


def _blocks(table, name, header, rows):
    """Parts of a group's table that fit a console: one for all splits together, then one for each split."""
    from ..evaluation.ablation.results import QUANTITIES, SPLITS

    columns, title = table.groups[name]["columns"], table.groups[name]["title"]
    for split in ("", *SPLITS):
        own = [k for k, column in enumerate(columns, 1) if column.rpartition(".")[0] == split]
        if own:
            names = [QUANTITIES[columns[k - 1].rpartition(".")[2]][0] if split else header[k] for k in own]
            yield (
                (f"{title} | {SPLITS[split]}" if split else title),
                [header[0], *names],
                [[row[0], *(row[k] for k in own)] for row in rows],
            )


def _write(table, results):
    """Write document and figure where the table's file names them, and print the tables that have results."""
    import json

    from rich.table import Table as RichTable

    from ..evaluation.ablation.results import (
        cells,
        collect,
        group_lines,
        markdown,
        noise_cells,
        progress_line,
        split_lines,
        update_document,
    )

    found, file, out = collect(table, results), results / f"{NOISE}.json", console(stderr=False)
    noise = json.loads(file.read_text()) if file.is_file() else {}
    noise = noise if noise.get("data") == table.data_hash[:16] else {}
    partial = progress_line(table, found)
    parts = {"splits": split_lines(table), "state": [f"*{partial}*"] if partial else []}
    shown = [part for name in table.groups for part in _blocks(table, name, *cells(table, found, name))]
    parts |= {name: group_lines(table, found, name) for name in table.groups}
    if noise:
        shown.append(("From errors of H to errors of bands", *noise_cells(noise)))
        parts[NOISE] = markdown(*noise_cells(noise))
    if table.document is not None:
        update_document(table.document, parts)
    if table.figure is not None and (found or noise):
        from ..evaluation.ablation.figure import plot_ablation
        from ..plotting import save_figure

        save_figure(plot_ablation(table, found, noise).axes[0], table.figure)
    for title, header, rows in shown:
        if not any(any(cell for cell in row[1:]) for row in rows):
            continue
        drawn = RichTable(title=title, title_justify="left", title_style="bold")
        for k, name in enumerate(header):
            drawn.add_column(name, justify="left" if k == 0 else "right")
        for row in rows:
            drawn.add_row(*(f"[bold]{cell.strip('*')}[/bold]" if cell.startswith("**") else cell for cell in row))
        out.print(drawn)
    if partial:
        out.print(partial)
