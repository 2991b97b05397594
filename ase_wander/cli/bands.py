"""`ase-wander bands`: Wannier Hamiltonian and bands of a structure; also the last step of `ase-wander run`."""

from __future__ import annotations

from pathlib import Path

from ..records import read_record
from .bands_report import band_rows, comparison_rows, gap_on_path
from .common import (
    SUMMARY,
    CommandError,
    ResultFolder,
    calculator_settings,
    console,
    file_hash,
    make_calculator,
    print_table,
    read_given,
)
from .options import add_file, add_jobs, add_model_options, add_out, add_structure_options, positive_int
from .spinorbit import add_spin_options, add_window_option, check_spins, checked_window, spin_settings, with_spins

HAMILTONIAN, BANDS, FIGURE = "hamiltonian.npz", "bands.json", "bands.png"

#: The k-points that are done while the bands are computed.
UNFINISHED = "bands.unfinished.npz"

OUTPUTS = (HAMILTONIAN, BANDS, FIGURE, SUMMARY)


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bands",
        help="Wannier Hamiltonian and bands of a structure, or bands of a saved Hamiltonian",
        description="Predict the Wannier Hamiltonian of a structure as it is (no relaxation) and its bands. Writes "
        "hamiltonian.npz, bands.json and bands.png.",
    )
    add_file(parser, nargs="?")
    parser.add_argument("--hamiltonian", metavar="FILE.npz", help="a saved Hamiltonian instead of a structure")
    add_out(parser)
    add_structure_options(parser)
    add_band_options(parser)
    add_compare_options(parser)
    add_model_options(parser, default=None, of="the atoms")
    parser.set_defaults(main=main)


def add_band_options(parser, path=None) -> None:
    """--path, --npoints, --n-bands, --exact, --zero, --window, --jobs, --spin-orbit, --strengths."""
    group = parser.add_argument_group("bands")
    group.add_argument("--path", default=path, help=f"special points, as GMKG; default {path or 'that of the lattice'}")
    group.add_argument("--npoints", type=positive_int, default=150, help="k-points along the path; default %(default)s")
    group.add_argument(
        "--n-bands", type=positive_int, default=40, help="bands nearest the gap; default %(default)s, or all of fewer"
    )
    group.add_argument(
        "--exact",
        action="store_true",
        help="solve every k-point; by default the bands of large cells are followed from a few, with an error bound",
    )
    add_jobs(group, "processes, each at another k-point")
    group.add_argument(
        "--zero", choices=["vbm", "vacuum"], default="vbm", help="zero of energy in the figure; default %(default)s"
    )
    add_window_option(group)
    add_spin_options(group)


def add_compare_options(parser) -> None:
    """--compare, --occupied."""
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--compare",
        nargs="+",
        metavar="FILE",
        help="levels of another code, as dots in the figure: FHI-aims band*.out, VASP EIGENVAL, Quantum ESPRESSO *.gnu "
        "(along --path), or .npz of reference data; aligned by one shift",
    )
    group.add_argument(
        "--occupied", type=positive_int, metavar="N", help="occupied bands of that file; default: its own"
    )


def band_settings(arguments) -> dict:
    """Settings that the bands depend on, besides the Hamiltonian; the figure may be drawn again with another zero."""
    exact = {"exact": True} if arguments.exact else {}
    own = {"path": arguments.path, "npoints": arguments.npoints, "n_bands": arguments.n_bands, **exact}
    return {**own, **spin_settings(arguments)}


def main(arguments) -> int:
    """Run the command."""
    from ..structure import find_layers

    if bool(arguments.file) == bool(arguments.hamiltonian):
        raise CommandError("bands needs a structure FILE or --hamiltonian FILE.npz, and not both")
    source = arguments.file or arguments.hamiltonian
    if arguments.file:
        atoms, own = read_given(arguments)
        calculator = make_calculator(arguments, atoms)
        settings = {**own, "calculator": calculator_settings(calculator)}
    else:
        from ..electronic.hamiltonian import WannierHamiltonian

        hamiltonian, settings = WannierHamiltonian.load(source), {}
        atoms = hamiltonian.atoms
    folder = ResultFolder(
        arguments.out, {"command": "bands", "file_sha256": file_hash(source), **settings, **band_settings(arguments)}
    )
    folder.check(OUTPUTS)
    if arguments.file:
        find_layers(atoms)
    check_path(atoms, arguments)
    foreign = None
    if arguments.compare:
        from ..electronic.io.foreign_bands import read_foreign_bands

        foreign = read_foreign_bands(arguments.compare)
    if arguments.file:
        check_spins(atoms, calculator.model, arguments)
        hamiltonian = load_or_predict(folder, calculator, atoms)
    hamiltonian = with_spins(hamiltonian, arguments)
    folder.claim(OUTPUTS)
    report = draw_bands(hamiltonian, folder, arguments, title=atoms.get_chemical_formula("metal"), foreign=foreign)
    folder.write_json(SUMMARY, report)
    rows = band_rows(report) + (comparison_rows(report["comparison"]) if foreign else [])
    print_table(Path(source).name, [*rows, ("results in", str(folder.path))])
    return 0


def check_path(atoms, arguments) -> None:
    """Refuse unknown special points, and energies the wrong way round, before anything long begins."""
    from ..electronic.kpath import resolve_path

    checked_window(arguments)
    resolve_path(atoms, arguments.path, arguments.npoints)


def load_or_predict(folder, calculator, atoms):
    """The Hamiltonian in the folder, else the model's."""
    from ..electronic.hamiltonian import WannierHamiltonian

    if folder.has(HAMILTONIAN):
        console().print("Hamiltonian: finished before")
        return WannierHamiltonian.load(folder / HAMILTONIAN)
    import warnings

    from ..domain import NonsenseWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", NonsenseWarning)
        try:
            return _predict(calculator, atoms)
        except NonsenseWarning as nonsense:
            raise CommandError(f"no bands: {nonsense}") from None


def _predict(calculator, atoms):
    """The model's Hamiltonian, behind a progress bar where it reports progress."""
    if not calculator.model.reports_progress:
        return calculator.get_wannier_hamiltonian(atoms)
    from rich.progress import Progress

    progress = Progress(console=console())

    def report(done, total):
        if not progress.tasks:  # bad input is refused before the first report: no bar above its one line
            progress.start()
            progress.add_task("Wannier Hamiltonian", total=total)
        progress.update(progress.task_ids[0], completed=done)

    try:
        return calculator.get_wannier_hamiltonian(atoms, progress=report)
    finally:
        if progress.tasks:
            progress.stop()


def draw_bands(hamiltonian, folder, arguments, title=None, foreign=None) -> dict:
    """Write HAMILTONIAN, BANDS and FIGURE, with the levels of `foreign` (ForeignBands) as dots.

    Returns
    -------
    dict
        n_orbitals, n_electrons, fermi_level, gap, vbm, cbm (eV relative to vacuum; on the path) and their k-points.
    """
    from ase.io.jsonio import read_json

    from ..electronic.bands import TOUCHING, complete_window
    from ..plotting import band_edges, plot_bands, save_figure, with_subscripts

    if not folder.has(HAMILTONIAN):
        hamiltonian.save(folder / HAMILTONIAN)
    if folder.has_whole(BANDS):
        console().print("bands: finished before")
        bs = read_json(folder / BANDS)
        window = hamiltonian.band_window(bs.energies.shape[2])  # what the file does not hold
        bs.complete = complete_window(bs.energies[0], window, hamiltonian.n_orbitals)
        bs.is_metal = hamiltonian.band_gap() <= TOUCHING
    else:
        n_bands = min(arguments.n_bands, hamiltonian.n_orbitals)
        bs = hamiltonian.band_structure(
            arguments.path,
            arguments.npoints,
            n_bands,
            method="exact" if arguments.exact else "auto",
            progress=True,
            n_jobs=arguments.jobs,
            restart=folder / UNFINISHED,
        )
        with folder.writing(BANDS) as temporary:
            bs.write(temporary)
        folder.seal(BANDS)
        (folder / UNFINISHED).unlink(missing_ok=True)
    window, title = checked_window(arguments), title and with_subscripts(title)
    axes, compared = plot_bands(bs, zero=arguments.zero, window=window, title=title), {}
    if foreign is not None:
        from ..evaluation.foreign import compare_bands, draw_levels

        comparison = compare_bands(hamiltonian, foreign, arguments.path, arguments.occupied)
        edges = band_edges(bs)
        zero = 0.0 if arguments.zero == "vacuum" else edges["vbm"] if edges else bs.reference
        drawn = draw_levels(axes, comparison, bs, hamiltonian.atoms, zero)
        compared = {"comparison": {**comparison.summary(), "source": foreign.source, "levels_drawn": drawn}}
    with folder.writing(FIGURE) as temporary:
        save_figure(axes, temporary)
    return {
        **compared,
        **_error_bound(bs, folder),
        **_band_indices(bs, hamiltonian),
        "n_orbitals": hamiltonian.n_orbitals,
        "n_electrons": hamiltonian.n_electrons,
        **_spin_orbit(hamiltonian),
        "fermi_level": float(bs.reference),
        "complete": [float(x) if abs(x) < float("inf") else None for x in bs.complete],
        **gap_on_path(bs),
    }


def _summary(folder) -> dict:
    """SUMMARY of a run before; CommandError for a damaged one."""
    try:
        return read_record(folder / SUMMARY)
    except ValueError as error:
        raise CommandError(f"{error}; remove it") from None


def _spin_orbit(hamiltonian) -> dict:
    """Coupling constants (eV) of the species that are there."""
    constants = hamiltonian.info.get("spin_orbit", {})
    constants = {s: by_l for s, by_l in constants.items() if s in hamiltonian.atoms.symbols}
    return {"spin_orbit": constants} if constants else {}


def _band_indices(bs, hamiltonian) -> dict:
    """First and last of the absolute band indices of BANDS, which ASE's format has no place for."""
    window = hamiltonian.band_window(bs.energies.shape[2])
    return {"band_indices": [window.start, window.stop - 1]}


def _error_bound(bs, folder) -> dict:
    """Largest error (eV) of bands that were followed from a few k-points; of finished bands as noted then."""
    bound = getattr(bs, "error_bound", None)
    if bound is None and folder.has(SUMMARY):
        bound = _summary(folder).get("error_bound")
    return {"error_bound": bound} if bound else {}
