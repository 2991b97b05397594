"""`ase-wander run`: the main job, from a material's name and two integers to relaxed structure, bands and figures."""

from __future__ import annotations

import time
from pathlib import Path

from . import bands as cli_bands
from . import relax as cli_relax
from .common import (
    SUMMARY,
    ResultFolder,
    calculator_settings,
    console,
    file_hash,
    make_calculator,
    print_table,
    version,
)
from .convergence import gap_left, gap_rows
from .estimate import MAX_ATOMS, check_size, foresee, show_trade_offs
from .options import DEFAULT_MODEL, add_model_options, add_out, add_twist_options, positive_int
from .spinorbit import check_spins, with_spins

OUTPUTS = tuple(dict.fromkeys([*cli_relax.OUTPUTS, *cli_bands.OUTPUTS]))


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "run",
        help="build, relax, Hamiltonian, bands and figures of a twisted bilayer in one go",
        description="Build an exact cell of a twisted bilayer at the model's own equilibrium lattice constant, relax "
        "it, predict its Wannier Hamiltonian and bands, and draw the figures. A killed run goes on where it "
        "stopped when the same command is given again.",
    )
    parser.add_argument("material", metavar="MATERIAL", help="name of the monolayer, as MoS2, or a file of one layer")
    group = parser.add_argument_group("cell")
    add_twist_options(group)
    group.add_argument(
        "--max-atoms",
        type=positive_int,
        default=MAX_ATOMS,
        help="refuse larger cells, which take hours and gigabytes; default %(default)s",
    )
    add_out(parser)
    cli_relax.add_relaxation_options(parser)
    cli_bands.add_band_options(parser, path="GMKG")
    add_model_options(parser, default=None)
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    seconds = {}
    with _clock(seconds, "model"):
        if arguments.model is None:
            arguments.model = model_of(arguments.material)
        calculator = make_calculator(arguments)
    atoms, cell, lattice = build(arguments, calculator.model)
    folder = ResultFolder(
        arguments.out,
        {
            "command": "run",
            **cell,
            "equilibrium": lattice,
            "calculator": calculator_settings(calculator),
            **cli_relax.relaxation_settings(arguments),
            **cli_bands.band_settings(arguments),
        },
    )
    folder.check(OUTPUTS)
    cli_bands.check_path(atoms, arguments)
    atoms.calc = calculator
    check_spins(atoms, calculator.model, arguments)
    check_size(atoms, calculator.model)
    begin = time.perf_counter()
    atoms.get_forces()  # what the model cannot treat is refused here, before anything is written
    foresee(atoms, calculator.model, arguments.npoints, time.perf_counter() - begin)
    folder.claim(OUTPUTS)
    name = f"{cell['material']}, {abs(cell['twist_angle']):.2f}°, {len(atoms)} atoms"
    console().print(f"{name}: results in {folder.path}")
    report = {
        **cell,
        "n_atoms": len(atoms),
        "lattice_constant": lattice["a"],
        "cell_length": float(atoms.cell.lengths()[0]),
        "model": calculator.todict(),
        "ase_wander": version(),
    }
    with _clock(seconds, "relaxation"):
        report |= cli_relax.relax(atoms, folder, arguments)
        report |= cli_relax.draw_corrugation(atoms, folder)
    with _clock(seconds, "hamiltonian"):
        hamiltonian = with_spins(cli_bands.load_or_predict(folder, calculator, atoms), arguments)
    with _clock(seconds, "bands"):
        report |= cli_bands.draw_bands(hamiltonian, folder, arguments, title=name)
        report |= gap_left(atoms, report, arguments)
    report["seconds"] = {key: round(value, 2) for key, value in seconds.items()}
    folder.write_json(SUMMARY, report)
    _print_report(name, report, seconds, folder)
    return 0


def build(arguments, model) -> tuple:
    """The twisted bilayer at the model's own equilibrium.

    Returns
    -------
    atoms : ase.Atoms
    cell : dict
        Material, pair, angle and stacking, as the settings of the run keep them.
    lattice : dict
        Equilibrium: a, gap and thickness in Å.
    """
    from ..moire import equilibrium, twisted_bilayer
    from ..moire.layer_file import is_layer_file, layer_of

    lattice = model.config.get("equilibrium") or vars(equilibrium(arguments.material))
    layer = layer_of(arguments.material, lattice["a"], lattice.get("thickness"))
    own = {"layer_sha256": file_hash(arguments.material)} if is_layer_file(arguments.material) else {}
    atoms = twisted_bilayer(
        layer,
        m=arguments.m,
        r=arguments.r,
        angle=arguments.angle,
        tolerance=arguments.tolerance,
        stacking=arguments.stacking,
        gap=lattice["gap"],
        max_atoms=arguments.max_atoms,
    )
    if arguments.angle is not None:
        show_trade_offs(arguments.angle, atoms, layer)
    material = Path(arguments.material).stem if own else arguments.material
    cell = {"material": material, **own, **{key: atoms.info[key] for key in ("m", "r", "twist_angle", "stacking")}}
    return atoms, cell, lattice


def _print_report(name, report, seconds, folder):
    cell = f"({report['m']}, {report['r']}), stacking {report['stacking']}, a = {report['lattice_constant']:.4f} Å"
    print_table(
        name,
        [
            ("cell", cell),
            *cli_relax.relaxation_rows(report),
            *cli_bands.band_rows(report),
            *gap_rows(report),
            ("time", ", ".join(f"{key} {value:.1f} s" for key, value in seconds.items())),
            ("results in", str(folder.path)),
        ],
    )


def model_of(material) -> str:
    """Name of the first model of a known material, DEFAULT_MODEL for a file of a layer.

    ValueError for a material without one.
    """
    from ..moire.layer_file import is_layer_file
    from ..moire.materials import models_of

    if is_layer_file(material):
        return DEFAULT_MODEL
    found = list(models_of(material))
    if not found:
        raise ValueError(
            f"no model of {material} is installed: give --model NAME or FOLDER (`ase-wander models` lists what there "
            "is)"
        )
    return found[0]


class _clock:
    """Adds the seconds spent inside a `with` block to `seconds[name]`."""

    def __init__(self, seconds, name):
        self.seconds, self.name = seconds, name

    def __enter__(self):
        self.begin = time.perf_counter()

    def __exit__(self, *exception):
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.perf_counter() - self.begin
