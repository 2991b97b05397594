"""`ase-wander relax FILE`: relax a layered structure; also the relaxation step of `ase-wander run`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from ase.constraints import FixCom

from .common import (
    SUMMARY,
    CommandError,
    ResultFolder,
    add_model_options,
    calculator_settings,
    console,
    file_hash,
    make_calculator,
    positive_float,
    positive_int,
    print_table,
    read_structure,
)

STRUCTURE, TRAJECTORY, CORRUGATION = "structure.extxyz", "relaxation.traj", "corrugation.png"

#: The trajectory while it grows; it becomes TRAJECTORY when converged.
UNFINISHED = "relaxation.unfinished.traj"

OUTPUTS = (STRUCTURE, TRAJECTORY, CORRUGATION, SUMMARY)


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "relax",
        help="relax any layered structure that ASE reads",
        description="Relax a layered structure at fixed cell. Writes structure.extxyz, relaxation.traj and, for two "
        "layers, corrugation.png. A killed run goes on where it stopped when started again.",
    )
    parser.add_argument("file", metavar="FILE", help="structure in any format that ASE reads (its last frame)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    add_relaxation_options(parser)
    add_model_options(parser)
    parser.set_defaults(main=main)


def add_relaxation_options(parser) -> None:
    """--fmax, --optimizer, --steps, --symmetry."""
    group = parser.add_argument_group("relaxation")
    group.add_argument(
        "--fmax",
        type=positive_float,
        default=0.01,
        help="largest force that counts as relaxed, eV/Å; default %(default)s",
    )
    group.add_argument(
        "--optimizer",
        choices=["FIRE", "LBFGS", "BFGS"],
        default="FIRE",
        help="default %(default)s; BFGS keeps a dense Hessian: fewest steps for small cells",
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
    """What a relaxation's result depends on, beside structure and model; `--steps` may grow between runs."""
    symmetry = {"symmetry": arguments.symmetry} if arguments.symmetry else {}
    return {"fmax": arguments.fmax, "optimizer": arguments.optimizer, **symmetry}


def main(arguments) -> int:
    """Run the command."""
    atoms = read_structure(arguments.file)
    calculator = make_calculator(arguments)
    folder = ResultFolder(
        arguments.out,
        {
            "command": "relax",
            "file_sha256": file_hash(arguments.file),
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
        steps, energy (eV; None of a model without energies), fmax (eV/Å), with `--symmetry` symmetry.

    Raises
    ------
    CommandError
        When `--steps` are not enough; what was reached stays in UNFINISHED.
    """
    symmetry = impose_symmetry(atoms, arguments.symmetry) if arguments.symmetry else {}
    if "energy" not in atoms.calc.implemented_properties:
        atoms.set_constraint([*atoms.constraints, FixCom()])  # direct forces do not sum to zero: the stack would drift
    if folder.has(TRAJECTORY):
        frames, damaged = readable_frames(folder / TRAJECTORY)
        if damaged or not frames:
            raise CommandError(f"{folder / TRAJECTORY}: damaged; remove it to relax again")
        console().print(f"relaxation: finished before, in {len(frames) - 1} steps")
    else:
        frames = salvage(folder)
        if frames:
            console().print(f"relaxation: going on after step {len(frames) - 1}")
    n_frames, last = len(frames), frames[-1] if frames else None
    if last is not None:
        if len(last) != len(atoms) or (last.numbers != atoms.numbers).any():
            raise CommandError(f"{folder.path}: the trajectory there is of other atoms; choose another --out")
        atoms.positions = last.positions
    if not folder.has(TRAJECTORY):
        n_frames = _relax_on(atoms, folder, arguments, n_frames)
    report = {"steps": n_frames - 1, "energy": energy(atoms), "fmax": max_force(atoms), **symmetry}
    if not folder.has(STRUCTURE):
        from ase.io import write

        with folder.writing(STRUCTURE) as temporary:
            write(temporary, without_constraints(atoms), format="extxyz")
    return report


def impose_symmetry(atoms, tolerance) -> dict:
    """Symmetrise `atoms` in place and constrain them to their layer group; it in words, for the report."""
    from ..moire import FixLayerSymmetry

    constraint = FixLayerSymmetry(atoms, tolerance)
    n_operations = constraint.report.n_operations
    if constraint.n_kept == 1 < n_operations:
        raise CommandError(
            f"the structure is constrained ({', '.join(type(c).__name__ for c in atoms.constraints)}) in a way that none "
            "of its symmetries keeps; remove these constraints from the file, or leave --symmetry out"
        )
    if constraint.n_kept == 1:
        raise CommandError(
            f"the structure has no symmetry up to {tolerance:g} Å; choose a larger --symmetry TOLERANCE or leave it out"
        )
    kept = f", {constraint.n_kept} of them kept by the constraints" if constraint.n_kept < n_operations else ""
    atoms.set_constraint([*atoms.constraints, constraint])
    return {"symmetry": f"{constraint.report}{kept}"}


def without_constraints(atoms):
    """A copy with the same calculator and without the symmetry, which a reader of the file would have to find anew; the
    constraints of the user's own file stay."""
    from ase.constraints import FixSymmetry

    free = atoms.copy()
    free.set_constraint([c for c in atoms.constraints if not isinstance(c, FixSymmetry)])
    free.calc = atoms.calc
    return free


def _relax_on(atoms, folder, arguments, frames):
    """Optimize, appending to UNFINISHED, and rename it when converged; returns the number of frames."""
    from ase.io.trajectory import Trajectory

    fresh = frames == 0
    with Trajectory(str(folder / UNFINISHED), "w" if fresh else "a", atoms) as trajectory:
        with optimizer_class(atoms, arguments.optimizer)(atoms, logfile=None) as optimizer:
            optimizer.attach(
                lambda: trajectory.write(without_constraints(atoms)) if fresh or optimizer.nsteps else None
            )
            converged = _show_progress(atoms, optimizer, arguments, 0 if fresh else frames - 1)
        frames += optimizer.nsteps + (1 if fresh else 0)
    if not converged:
        raise CommandError(
            f"not relaxed after {frames - 1} steps: largest force {max_force(atoms):.4f} eV/Å, wanted "
            f"{arguments.fmax:g}; the same command goes on from there",
            exit_code=1,
        )
    (folder / UNFINISHED).replace(folder / TRAJECTORY)
    return frames


def _show_progress(atoms, optimizer, arguments, done):
    """Drive the optimizer behind a progress bar, logarithmic in the largest force; returns whether it converged."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("relaxing"),
        BarColumn(bar_width=24),
        TextColumn("step {task.fields[step]}"),
        TextColumn("max force {task.fields[fmax]:.4f} eV/Å"),
        TextColumn("energy {task.fields[energy]:.4f} eV"),
        TimeElapsedColumn(),
    )
    first = lowest = max_force(atoms)
    decades = max(math.log(max(first, 1e-12) / arguments.fmax), 1e-9)
    converged = False
    if energy(atoms) is None:
        columns = [column for column in columns if "energy" not in getattr(column, "text_format", "")]
    with Progress(*columns, console=console()) as progress:
        task = progress.add_task("", total=decades, step=done, fmax=first, energy=energy(atoms))
        for converged in optimizer.irun(fmax=arguments.fmax, steps=arguments.steps):
            force = max_force(atoms)
            lowest = min(lowest, force)
            progress.update(
                task,
                completed=decades if converged else min(math.log(first / lowest), 0.99 * decades),
                step=done + optimizer.nsteps,
                fmax=force,
                energy=energy(atoms),
            )
    return bool(converged)


def optimizer_class(atoms, name):
    """ASE's optimizer; for a model of forces alone a version that never asks for the energy."""
    import ase.optimize

    chosen = getattr(ase.optimize, name)
    if "energy" in atoms.calc.implemented_properties:
        return chosen
    from ..published.relax import forces_only

    return forces_only(chosen)


def energy(atoms) -> float | None:
    """Potential energy, eV; None of a model without one."""
    return float(atoms.get_potential_energy()) if "energy" in atoms.calc.implemented_properties else None


def max_force(atoms) -> float:
    """Largest norm of an atom's force, eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def readable_frames(path) -> tuple[list, bool]:
    """Frames of a trajectory up to the first that is damaged, and whether one is; ([], False) without a file."""
    from ase.io.trajectory import Trajectory

    frames = []
    if not Path(path).is_file():
        return frames, False
    try:
        with Trajectory(str(path)) as trajectory:
            frames.extend(trajectory)
    except Exception:  # the reader of a damaged file fails in many ways
        return frames, True
    return frames, False


def salvage(folder) -> list:
    """Frames of UNFINISHED; a damaged end is cut off, so that the file can grow again."""
    from ase.io.trajectory import Trajectory

    frames, damaged = readable_frames(folder / UNFINISHED)
    if damaged:
        console().print(f"{folder / UNFINISHED}: damaged, {len(frames)} frame(s) can be used")
        with folder.writing(UNFINISHED) as temporary, Trajectory(str(temporary), "w") as trajectory:
            for frame in frames:
                trajectory.write(frame)
    return frames


def draw_corrugation(atoms, folder) -> dict:
    """Write CORRUGATION for a bilayer; mean, lowest and highest interlayer distance in Å (nothing without two layers)."""
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
    """Rows of the printed table."""
    shown = "the model has none" if report["energy"] is None else f"{report['energy']:.4f} eV"
    rows = [
        ("relaxation steps", str(report["steps"])),
        ("energy", shown),
        ("largest force", f"{report['fmax']:.4f} eV/Å"),
    ]
    if "symmetry" in report:
        rows.append(("symmetry", report["symmetry"]))
    if "interlayer_distance_mean" in report:
        low, mean, high = (report[f"interlayer_distance_{name}"] for name in ("min", "mean", "max"))
        rows.append(("interlayer distance", f"{mean:.3f} Å, from {low:.3f} to {high:.3f} Å"))
    return rows
