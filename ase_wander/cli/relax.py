"""`ase-wander relax FILE`: relax a layered structure; also the relaxation step of `ase-wander run`."""

from __future__ import annotations

from pathlib import Path

from ..relaxation.recording import readable_frames
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
from .options import add_file, add_model_options, add_out, add_structure_options, positive_float, positive_int

STRUCTURE, TRAJECTORY, CORRUGATION = "structure.extxyz", "relaxation.traj", "corrugation.png"

#: The trajectory while it grows; it becomes TRAJECTORY when converged.
UNFINISHED = "relaxation.unfinished.traj"

OUTPUTS = (STRUCTURE, TRAJECTORY, CORRUGATION, SUMMARY)

#: Largest force (eV/Å) and displacement left (Å) that count as relaxed, as in `ase_wander.relaxation.driver`, which
#: takes a second to import.
FMAX, DMAX = 0.01, 0.0005


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "relax",
        help="relax any layered structure that ASE reads",
        description="Relax a layered structure, at fixed cell or with --cell. Writes structure.extxyz, "
        "relaxation.traj and, for two layers, corrugation.png. A killed run goes on where it stopped when started "
        "again, and ends in the same bits.",
    )
    add_file(parser)
    add_out(parser)
    add_structure_options(parser)
    add_relaxation_options(parser)
    add_model_options(parser, default=None, of="the atoms")
    parser.set_defaults(main=main)


def add_relaxation_options(parser) -> None:
    """--fmax, --dmax, --cell, --optimizer, --steps, --symmetry."""
    group = parser.add_argument_group("relaxation")
    group.add_argument(
        "--fmax",
        type=positive_float,
        default=FMAX,
        help="largest force that counts as relaxed, eV/Å; default %(default)s",
    )
    group.add_argument(
        "--dmax",
        type=positive_float,
        default=DMAX,
        help="largest displacement that may be left to the minimum, Å; forces alone do not say when soft "
        "layers have found their distance; default %(default)s",
    )
    group.add_argument("--cell", action="store_true", help="relax the cell in its plane too")
    group.add_argument(
        "--optimizer",
        choices=["layers", "FIRE", "LBFGS", "BFGS"],
        default="layers",
        help="default %(default)s: L-BFGS that knows stiff layers and soft gaps; the others are ASE's",
    )
    group.add_argument(
        "--steps", type=positive_int, default=2000, help="give up after this many steps; default %(default)s"
    )
    group.add_argument(
        "--symmetry",
        nargs="?",
        const=1e-3,
        type=positive_float,
        metavar="TOLERANCE",
        help="keep the layer group that the structure has up to TOLERANCE (Å; default %(const)s)",
    )


def relaxation_settings(arguments) -> dict:
    """Settings that a relaxation's result depends on, besides structure and model; `--steps` may grow between runs."""
    symmetry = {"symmetry": arguments.symmetry} if arguments.symmetry else {}
    return {
        "fmax": arguments.fmax,
        "dmax": arguments.dmax,
        "cell": arguments.cell,
        "optimizer": arguments.optimizer,
        **symmetry,
    }


def main(arguments) -> int:
    """Run the command."""
    atoms, own = read_given(arguments)
    calculator = make_calculator(arguments, atoms)
    folder = ResultFolder(
        arguments.out,
        {
            "command": "relax",
            "file_sha256": file_hash(arguments.file),
            **own,
            "calculator": calculator_settings(calculator),
            **relaxation_settings(arguments),
        },
    )
    folder.check(OUTPUTS)
    atoms.calc = calculator
    atoms.get_forces()  # bad structures are refused here, before anything is written
    folder.claim(OUTPUTS)
    report = relax(atoms, folder, arguments)
    report |= draw_corrugation(atoms, folder)
    folder.write_json(SUMMARY, report)
    print_table(Path(arguments.file).name, [*relaxation_rows(report), ("results in", str(folder.path))])
    return 0


def relax(atoms, folder, arguments) -> dict:
    """Relax `atoms` (with a calculator) in place and write STRUCTURE and TRAJECTORY.

    Goes on from UNFINISHED when a run was killed, and only reads TRAJECTORY when one was finished.

    Returns
    -------
    dict
        Those of `Relaxation`, with `--symmetry` symmetry, and `rows` for the printed table.

    Raises
    ------
    CommandError
        When `--steps` are not enough; what was reached stays in UNFINISHED.
    """
    from ..relaxation import relax as relax_atoms

    own = list(atoms.constraints)
    symmetry = impose_symmetry(atoms, arguments.symmetry) if arguments.symmetry else {}
    finished = folder.has_whole(TRAJECTORY)
    trajectory = folder / (TRAJECTORY if finished else UNFINISHED)
    _say_what_is_there(trajectory, finished, atoms)
    with _progress_bar(atoms, arguments) as callback:
        result = relax_atoms(
            atoms,
            arguments.fmax,
            arguments.dmax,
            cell=arguments.cell,
            optimizer=arguments.optimizer,
            steps=arguments.steps,
            trajectory=trajectory,
            callback=callback,
        )
    if not result.converged:
        raise CommandError(
            f"not relaxed after {result.steps} steps: largest force {result.fmax:.4f} eV/Å, wanted {arguments.fmax:g}; "
            f"about {result.displacement_left:.4f} Å left to the minimum, wanted {arguments.dmax:g}; "
            "the same command goes on from there",
            exit_code=1,
        )
    if not finished:
        trajectory.replace(folder / TRAJECTORY)
        folder.seal(TRAJECTORY)
    atoms.set_constraint(own)  # a file keeps those of the user; to read a symmetry means to find it again
    if not folder.has_whole(STRUCTURE):
        from ase.io import write

        with folder.writing(STRUCTURE) as temporary:
            write(temporary, atoms, format="extxyz")
        folder.seal(STRUCTURE)
    for change in result.changes:
        console().print(f"layers {change}; relaxed again with them")
    return {**result.todict(), **symmetry, "rows": result.rows()}


def _say_what_is_there(trajectory, finished, atoms):
    """Frames of a run before; CommandError when a finished trajectory is damaged or of other atoms."""
    frames, damaged = readable_frames(trajectory)
    if finished and (damaged or not frames):
        raise CommandError(f"{trajectory}: damaged; remove it to relax again")
    if damaged:
        console().print(f"{trajectory.name}: damaged, {len(frames)} frame(s) can be used")
    if frames and (len(frames[-1]) != len(atoms) or (frames[-1].numbers != atoms.numbers).any()):
        raise CommandError(f"{trajectory.parent}: the trajectory there is of other atoms; choose another --out")
    if finished:
        console().print(f"relaxation: finished before, in {len(frames) - 1} steps")
    elif frames:
        console().print(f"relaxation: going on after step {len(frames) - 1}")


def impose_symmetry(atoms, tolerance) -> dict:
    """Symmetrise `atoms` in place and constrain them to their layer group; it in words, for the report."""
    from ..moire import FixLayerSymmetry

    constraint = FixLayerSymmetry(atoms, tolerance)
    n_operations = constraint.report.n_operations
    if constraint.n_kept == 1 < n_operations:
        raise CommandError(
            f"the structure is constrained ({', '.join(type(c).__name__ for c in atoms.constraints)}) in a way that "
            "none of its symmetries keeps; remove these constraints from the file, or leave --symmetry out"
        )
    if constraint.n_kept == 1:
        raise CommandError(
            f"the structure has no symmetry up to {tolerance:g} Å; choose a larger --symmetry TOLERANCE or leave it out"
        )
    kept = f", {constraint.n_kept} of them kept by the constraints" if constraint.n_kept < n_operations else ""
    atoms.set_constraint([*atoms.constraints, constraint])
    return {"symmetry": f"{constraint.report}{kept}"}


class _progress_bar:
    """A bar, logarithmic in the displacement left; gives the callback of `relax`."""

    def __init__(self, atoms, arguments):
        self.dmax, self.first, self.lowest = arguments.dmax, None, None
        self.has_energy = "energy" in atoms.calc.implemented_properties

    def __enter__(self):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            TextColumn("relaxing"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=console(),
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=1.0, words="")
        return self

    def __exit__(self, *error):
        self.bar.stop()

    def __call__(self, progress):
        from math import log

        left = max(progress.displacement, 1e-12)
        self.first = self.first or max(left, 2 * self.dmax)
        self.lowest = min(left, self.lowest or left)
        energy = f", energy {progress.energy:.4f} eV" if self.has_energy else ""
        self.bar.update(
            self.task,
            completed=min(max(log(self.first / self.lowest) / log(self.first / self.dmax), 0.0), 1.0),
            words=f"step {progress.step}, largest force {progress.fmax:.4f} eV/Å, {left:.4f} Å left{energy}",
        )


def draw_corrugation(atoms, folder) -> dict:
    """Write CORRUGATION for a bilayer; mean, lowest and highest interlayer distance in Å."""
    from ..moire import interlayer_distance
    from ..plotting import plot_corrugation, save_figure

    layers = atoms.calc.layers(atoms)
    if layers.max() != 1:
        return {}
    positions, distance = interlayer_distance(atoms, layers=layers)
    with folder.writing(CORRUGATION) as temporary:
        save_figure(plot_corrugation(atoms, positions, distance, title="Relaxed interlayer distance"), temporary)
    return {f"interlayer_distance_{name}": float(getattr(distance, name)()) for name in ("mean", "min", "max")}


def relaxation_rows(report):
    """Rows of the printed table; takes them out of the report, which is for a file."""
    rows = report.pop("rows")
    if "symmetry" in report:
        rows.append(("symmetry", report["symmetry"]))
    if "interlayer_distance_mean" in report:
        low, mean, high = (report[f"interlayer_distance_{name}"] for name in ("min", "mean", "max"))
        rows.append(("interlayer distance", f"{mean:.3f} Å, from {low:.3f} to {high:.3f} Å"))
    return rows
