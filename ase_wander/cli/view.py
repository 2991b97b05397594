"""`ase-wander view`: the results of `run` or `bands` as one HTML file to look at with the mouse."""

from __future__ import annotations

import json
from pathlib import Path

from .. import files
from .bands import BANDS, HAMILTONIAN
from .common import SUMMARY, CommandError, print_table, read_structure
from .relax import STRUCTURE

PAGE = "view.html"


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "view",
        help="results of a run as one HTML file: structure, layer distance, bands, states",
        description="Write what `run`, `relax` or `bands` left in DIR as one HTML file that needs no network: the "
        "structure to turn and zoom, the map of the layer distance, bands with their values under the cursor, and the "
        "density of the states nearest the gap at the special points of the path.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of results")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"default DIR/{PAGE}")
    parser.add_argument(
        "--states", type=int, default=8, metavar="N", help="bands nearest the gap with a density; default %(default)s"
    )
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    from ..view import html_page

    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise CommandError(f"{folder}: no such folder")
    data = read_results(folder, arguments.states)
    target = Path(arguments.output) if arguments.output else folder / PAGE
    page = html_page(data)
    files.atomic_write(target, page)
    bands = data["bands"]
    print_table(
        data["title"],
        [
            ("structure", f"{len(data['structure']['kind'])} atoms, {len(data['maps'])} gap(s) between layers"),
            ("bands", f"{len(bands['energies'])}" if bands else "none in this folder"),
            ("states", f"{len(data['states'])} densities"),
            ("written", f"{target}, {len(page.encode()) / 1e6:.2f} MB"),
        ],
    )
    return 0


def read_results(folder: Path, n_states: int = 8) -> dict:
    """`view_data` of a folder that `run`, `relax` or `bands` has filled; CommandError where there is no structure."""
    from ase.io.jsonio import read_json

    from ..electronic.hamiltonian import WannierHamiltonian
    from ..view import view_data

    if n_states < 0:
        raise CommandError(f"--states is {n_states}; it must be 0 or more")
    hamiltonian = bands = None
    if (folder / HAMILTONIAN).is_file():
        hamiltonian = WannierHamiltonian.load(folder / HAMILTONIAN)
        atoms = hamiltonian.require_atoms("a view")
    elif (folder / STRUCTURE).is_file():
        atoms = read_structure(folder / STRUCTURE)
    else:
        raise CommandError(f"{folder} holds neither {HAMILTONIAN} nor {STRUCTURE}: not a folder of run, relax or bands")
    if (folder / BANDS).is_file():
        bands = read_json(folder / BANDS)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8")) if (folder / SUMMARY).is_file() else {}
    return view_data(atoms, bands, hamiltonian, n_states, _title(summary, atoms), _rows(summary))


def _title(summary, atoms) -> str:
    name = summary.get("material", atoms.get_chemical_formula("metal"))
    angle = f", {abs(summary['twist_angle']):.2f}°" if "twist_angle" in summary else ""
    return f"{name}{angle}, {len(atoms)} atoms"


def _rows(summary) -> list:
    """Rows of the page's table: what the command printed, as far as the summary holds it."""
    rows = []
    if "model" in summary:
        model = summary["model"]
        rows.append(("model", f"{Path(model['model']).name}, weights {model['sha256'][:12]}"))
    rows += [(str(name), str(value)) for name, value in summary.get("rows", [])]
    if "gap_label" in summary:
        rows.append(("on the path", summary["gap_label"]))
    if "vbm" in summary:
        rows.append(("band edges", f"{-summary['vbm']:.3f} and {-summary['cbm']:.3f} eV below the vacuum level"))
    return rows
