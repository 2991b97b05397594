"""`ase-wander build`: exact and coincidence cells on the command line."""

from __future__ import annotations

from pathlib import Path

from ..files import writing
from .build_lists import material_of, print_alternatives, print_cells, print_materials, tolerance_of
from .common import CommandError
from .options import add_twist_options, positive_float, positive_int


def add_parser(subparsers):
    """Add the command `build`; returns its parser."""
    parser = subparsers.add_parser(
        "build",
        help="build an exact cell of a twisted bilayer",
        description=(
            "Build an exact cell of a twisted bilayer. Give a pair (m, r), or an angle and a tolerance: then the "
            "smallest exact cell within it is built and the alternatives are listed."
        ),
    )
    parser.add_argument("material", help="MoS2, graphene, ... (see --materials), or a file with one layer", nargs="?")
    add_twist_options(parser, " (0.02 with --top, --angles)")
    _add_other_cells(parser)
    _add_geometry(parser)
    parser.add_argument("--max-atoms", type=positive_int, default=None, help="default 50000; for --list and --top 2000")
    parser.add_argument("--list", action="store_true", help="list exact cells (near --angle, or all) and build nothing")
    parser.add_argument("--angle-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="for --list, degrees")
    parser.add_argument("--materials", action="store_true", help="list the known materials and stop")
    parser.add_argument(
        "-o", "--output", help="file in any format that ASE writes; .extxyz keeps the layers and the twist"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    parser.set_defaults(main=main)
    return parser


def _add_other_cells(parser):
    """--top with its bounds, and --angles: cells that are no bilayer of two equal layers."""
    parser.add_argument(
        "--top", help="another material for the top layer: the smallest coincidence cell within the bounds is built"
    )
    parser.add_argument("--max-strain", type=positive_float, default=0.01, help="for --top; default %(default)s")
    parser.add_argument(
        "--weight",
        type=float,
        default=0.5,
        help="for --top: share of the strain in the bottom layer; default %(default)s",
    )
    parser.add_argument(
        "--any-shape",
        action="store_true",
        help="for --top: cells of every shape, not only those with the lattices' symmetry",
    )
    parser.add_argument(
        "--angles", type=float, nargs="+", metavar="ANGLE", help="a stack of layers, one twist in degrees for each"
    )


def _add_geometry(parser):
    """--centre, --shift, --gap, --vacuum, --lattice-constant, --gamma."""
    parser.add_argument(
        "--centre",
        default="hexagon",
        choices=["hexagon", "atom", "bond"],
        help="axis of the twist; default %(default)s",
    )
    parser.add_argument(
        "--shift",
        type=float,
        nargs=2,
        default=(0.0, 0.0),
        metavar=("S1", "S2"),
        help="lateral shift of the top layer in lattice vectors of the bottom one",
    )
    parser.add_argument("--gap", type=positive_float, help="distance of the mid-planes in Å; default: equilibrium")
    parser.add_argument(
        "--vacuum", type=positive_float, default=20.0, help="total empty height in Å; default %(default)s"
    )
    parser.add_argument("--lattice-constant", type=positive_float, help="Å; default: equilibrium")
    parser.add_argument(
        "--gamma", type=int, choices=[60, 120], default=120, help="angle of the cell vectors; default %(default)s"
    )


def main(args) -> int:
    """Run `ase-wander build`; returns the exit status."""
    if args.materials:
        print_materials()
        return 0
    if args.material is None:
        raise CommandError("build: name a material, for example `ase-wander build MoS2 --m 2 --r 1 -o cell.extxyz`")
    material = material_of(args.material)
    if args.list:
        return print_cells(args, material)
    atoms, summary = (None, "") if args.output else _build(args, material)
    target = Path(args.output or _name(args, atoms))
    if target.exists() and not args.force:
        raise CommandError(f"{target}: exists already; --force overwrites it")
    if target.suffix == "" and target.name not in ("POSCAR", "CONTCAR"):
        raise CommandError(f"{target}: no file format, give an extension such as .extxyz, .cif or .vasp")
    if atoms is None:
        atoms, summary = _build(args, material)
    write_structure(target, atoms)
    print(f"{target}: {len(atoms)} atoms, {summary}, {' x '.join(f'{x:.3f}' for x in atoms.cell.lengths()[:2])} Å")
    if args.angle is not None and args.top is None:
        print_alternatives(args, material)
    return 0


def _name(args, atoms):
    """File of a structure that was given no name."""
    stem = Path(args.material).stem + (f"-{Path(args.top).stem}" if args.top else "")
    angles = args.angles if args.angles is not None else [atoms.info["twist_angle"]]
    return f"{stem}-{'-'.join(f'{angle:.2f}' for angle in angles)}.extxyz"


def _build(args, material):
    """The structure asked for, and what is said about it."""
    _refuse_clashes(args)
    shared = dict(vacuum=args.vacuum, centre=args.centre)
    if args.angles is not None:
        return _multilayer(args, material, shared)
    return (_bilayer if args.top is None else _heterobilayer)(args, material, shared)


def _refuse_clashes(args):
    """CommandError for an option that does not go with --top or --angles."""
    if args.top is None and args.angles is None:
        return
    clash = [f"--{name}" for name in ("m", "r") if getattr(args, name) is not None]
    clash += ["--angle"] if args.angles is not None and args.angle is not None else []
    clash += ["--angles"] if args.top is not None and args.angles is not None else []
    clash += ["--gamma 60"] if args.gamma == 60 else []
    clash += ["--lattice-constant"] if args.top is not None and args.lattice_constant else []
    if clash:
        raise CommandError(f"build: {clash[0]} does not go with {'--top' if args.top is not None else '--angles'}")


def _multilayer(args, material, shared):
    from ..moire.build import MAX_ATOMS
    from ..moire.multilayer import twisted_multilayer

    atoms = twisted_multilayer(
        material,
        args.angles,
        tolerance=tolerance_of(args),
        gaps=args.gap,
        max_atoms=args.max_atoms or MAX_ATOMS,
        stackings=["R"] + [args.stacking] * (len(args.angles) - 1),
        lattice_constant=args.lattice_constant,
        **shared,
    )
    return atoms, "twists " + ", ".join(f"{x:.6f}" for x in atoms.info["twist_angles"]) + " deg"


def _heterobilayer(args, material, shared):
    from ..moire.hetero import heterobilayer

    atoms = heterobilayer(
        material,
        material_of(args.top),
        angle=args.angle,
        tolerance=tolerance_of(args),
        max_strain=args.max_strain,
        max_atoms=args.max_atoms or 2000,
        isotropic=False if args.any_shape else None,
        weight=args.weight,
        stacking=args.stacking,
        gap=args.gap,
        shift=tuple(args.shift),
        **shared,
    )
    strain = f"strain {100 * atoms.info['strain']:.4f} %, "
    return atoms, _twist(atoms.info, strain)


def _bilayer(args, material, shared):
    from ..moire.build import MAX_ATOMS, twisted_bilayer

    atoms = twisted_bilayer(
        material,
        args.m,
        args.r,
        args.angle,
        tolerance=args.tolerance,
        stacking=args.stacking,
        gap=args.gap,
        lattice_constant=args.lattice_constant,
        shift=tuple(args.shift),
        gamma=args.gamma,
        max_atoms=args.max_atoms or MAX_ATOMS,
        **shared,
    )
    return atoms, f"(m, r) = ({atoms.info['m']}, {atoms.info['r']}), " + _twist(atoms.info)


def _twist(info, strain=""):
    return f"{info['twist_angle']:.6f} deg, {info['stacking']} stacking, {strain}gap {info['gap']:.3f} Å"


def write_structure(target, atoms) -> None:
    """Write a structure so that the file appears whole or not at all.

    Raises
    ------
    CommandError
        When ASE does not write the format, or the folder does not exist.
    """
    from ase.io import write
    from ase.io.formats import UnknownFileTypeError, filetype

    target = Path(target)
    if not target.parent.is_dir():
        raise CommandError(f"{target.parent}: no such folder")
    if target.is_dir():
        raise CommandError(f"{target}: is a folder")
    try:
        file_format = filetype(str(target), read=False)
    except UnknownFileTypeError:
        raise CommandError(f"{target}: ASE writes no files of the type {target.suffix!r}") from None
    try:
        with writing(target) as temporary:
            write(temporary, atoms, format=file_format)
    except OSError:
        raise
    except Exception as error:  # writers of foreign formats fail in their own ways
        raise CommandError(
            f"{target}: ASE cannot write this cell as {file_format} ({type(error).__name__}: {error})"
        ) from error
