"""Bars on standard error while a command works."""

from __future__ import annotations

from contextlib import contextmanager

from .common import console


@contextmanager
def progress_bar(out=None, *, count="{task.completed}/{task.total}", transient=True, hidden=False):
    """A `rich.progress.Progress` with task, bar, count and time left; without a terminal it draws nothing.

    Parameters
    ----------
    out : rich.console.Console, optional
        Standard error by default.
    count : str
        Format of the count.
    transient : bool
        Remove the bar at the end.
    hidden : bool
        Draw nothing.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    out = out or console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(count),
        TimeRemainingColumn(),
        console=out,
        transient=transient,
        disable=hidden or not out.is_terminal,
    ) as bar:
        yield bar


@contextmanager
def counting(text, total=None):
    """A bar as the function `report(done, total)`; `total` may be left out where it is given here."""
    with progress_bar() as bar:
        task = bar.add_task(text, total=total)
        yield lambda done, total=total: bar.update(task, completed=done, total=total)
