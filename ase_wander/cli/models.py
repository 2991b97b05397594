"""`ase-wander models`: the trained models at hand, their cards, and the authors' download in our layout."""

from __future__ import annotations

import json
from pathlib import Path

from .common import CommandError, console


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "models",
        help="list the trained models, or export the published one",
        usage="ase-wander models [-h] [NAME]\n       ase-wander models export PATH OUT [--layer-offsets BOTTOM TOP]",
        description="List the trained models with the errors that their cards state, or show one card. `export` "
        "converts the "
        "published networks from the authors' download at PATH into a model folder OUT with a card, "
        "which every --model option then takes.",
    )
    parser.add_argument(
        "words", nargs="*", metavar="NAME | export PATH OUT", help="show the card of the model NAME, or export"
    )
    parser.add_argument(
        "--layer-offsets",
        nargs=2,
        type=float,
        metavar=("BOTTOM", "TOP"),
        help="export: vacuum-level offsets of the layers in eV; default: those of the 8.95-degree example",
    )
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    from ..catalogue import find_models, model_directories

    words = arguments.words
    if words[:1] == ["export"]:
        if len(words) != 3:
            raise CommandError("models export takes two paths: the authors' download and the folder to write")
        export(*words[1:], arguments.layer_offsets)
        return 0
    if arguments.layer_offsets:
        raise CommandError("--layer-offsets belongs to `models export PATH OUT`")
    if len(words) > 1:
        raise CommandError(f"models takes one name, or `export PATH OUT`, not {' '.join(words)}")
    models = find_models()
    if words:
        if words[0] not in models:
            raise CommandError(f"unknown model {words[0]!r}; known are {', '.join(models) or 'none'}")
        show_card(models[words[0]])
        return 0
    if not models:
        raise CommandError(f"no models in {', '.join(map(str, model_directories())) or 'any folder'}", exit_code=1)
    for name, folder in models.items():
        show_summary(name, folder)
    return 0


def export(source, target, layer_offsets=None) -> None:
    """Write the authors' download `source` as the model folder `target`, which must be new or empty."""
    from ..published.example import EXAMPLE_OFFSETS, load_published

    folder = Path(target)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"{target}: exists already; give a new folder")
    model = load_published(source, layer_offsets=layer_offsets or EXAMPLE_OFFSETS)
    model.save(folder)
    print(f"{model.name} (sha256 {model.digest[:12]}) written to {target}")


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
