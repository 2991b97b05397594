"""`ase-wander models`: the trained models at hand, and their cards."""

from __future__ import annotations

import json

from .cli_common import CommandError, console


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser("models", help="list the trained models",
                                   description="List the trained models with the errors that their cards state, or show one card.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="show the card of this model")
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    from .paths import find_models, model_directories

    models = find_models()
    if arguments.name is not None:
        if arguments.name not in models:
            raise CommandError(f"unknown model {arguments.name!r}; known are {', '.join(models) or 'none'}")
        show_card(models[arguments.name])
        return 0
    if not models:
        raise CommandError(f"no models in {', '.join(map(str, model_directories())) or 'any folder'}", exit_code=1)
    for name, folder in models.items():
        show_summary(name, folder)
    return 0


def show_card(folder) -> None:
    """Print card.md."""
    card = folder / "card.md"
    if not card.is_file():
        raise CommandError(f"{folder}: no card.md")
    print(card.read_text(encoding="utf-8"), end="")


def show_summary(name, folder) -> None:
    """Name, folder, kind and the first table of the card."""
    from rich.table import Table

    out = console(stderr=False)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{folder / 'config.json'}: not valid JSON ({error})") from error
    out.print(f"[bold]{name}[/bold]  {config.get('kind', '')}  [dim]{folder}[/dim]")
    card = folder / "card.md"
    rows = first_table(card.read_text(encoding="utf-8")) if card.is_file() else []
    if rows:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for title in rows[0]:
            table.add_column(title)
        for row in rows[1:]:
            table.add_row(*row)
        out.print(table)


def first_table(markdown: str) -> list[list[str]]:
    """Cells of the first Markdown table, header first; empty when there is none."""
    rows = []
    for line in markdown.splitlines():
        if line.strip().startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows[:1] + rows[2:]  # without the rule under the header
