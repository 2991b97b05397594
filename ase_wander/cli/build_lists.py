"""What `ase-wander build` lists: exact cells, coincidence cells, alternatives, materials."""

from __future__ import annotations

from pathlib import Path

from .common import CommandError, read_structure


def material_of(text):
    """A known name, or the layer in a file."""
    from ..moire.materials import canonical_name

    try:
        return canonical_name(text)
    except ValueError:
        if not Path(text).exists():
            raise
        return read_structure(text)


def tolerance_of(args):
    """Degrees around an angle where atoms are no measure of what is sensible."""
    return 0.02 if args.tolerance is None else args.tolerance


def _lattice(args, material):
    """Atoms, length (Å) and kind of the layer's lattice, as searches for cells take them."""
    from numpy.linalg import norm

    from ..moire.build import check_layer_lattice, resolve_material

    layer, _ = resolve_material(material, args.lattice_constant, args.gap or 1.0)
    check_layer_lattice(layer)
    return dict(atoms_per_cell=len(layer), lattice_constant=float(norm(layer.cell[0])), lattice=layer.kind)


def print_alternatives(args, material) -> None:
    """Exact cells near --angle, each nearer to it than all smaller ones."""
    from ..moire.cell_search import MAX_ATOMS, format_table, trade_offs

    cells = trade_offs(abs(args.angle), args.max_atoms or MAX_ATOMS, **_lattice(args, material))
    if cells:
        print(f"what more atoms buy near {args.angle:g} degrees (--m M --r R builds one of them):")
        print(format_table(cells))


def print_cells(args, material) -> int:
    """The cells that --list asks for; returns the exit status."""
    from ..moire.cell_search import cells_near, commensurate_cells, format_table

    max_atoms = args.max_atoms or 2000
    if args.top is not None:
        return _print_coincidences(args, material, max_atoms)
    lattice = _lattice(args, material)
    if args.angle is not None:
        print(format_table(cells_near(abs(args.angle), args.tolerance, max_atoms, **lattice)))
        return 0
    cells = commensurate_cells(max_atoms, args.angle_range and tuple(args.angle_range), **lattice)
    if not cells:
        raise CommandError(
            f"no exact cell of up to {max_atoms} atoms between {args.angle_range[0]:g} and {args.angle_range[1]:g} "
            "degrees"
            if args.angle_range
            else f"no exact cell of up to {max_atoms} atoms"
        )
    print(format_table(cells))
    return 0


def _print_coincidences(args, material, max_atoms, most=40) -> int:
    from ..moire.coincidence import coincidence_cells

    window = None if args.angle is None else (args.angle - tolerance_of(args), args.angle + tolerance_of(args))
    window = tuple(args.angle_range) if args.angle_range else window
    cells = coincidence_cells(
        material, material_of(args.top), max_atoms, window, args.max_strain, isotropic=False if args.any_shape else None
    )
    if not cells:
        raise CommandError(
            f"no common cell of up to {max_atoms} atoms with less than {100 * args.max_strain:g} % strain"
            + (f" between {window[0]:g} and {window[1]:g} degrees" if window else "")
        )
    print(f"{'angle (deg)':>12} {'strain (%)':>11} {'cells':>11} {'atoms':>7}")
    for c in cells[:most]:
        print(f"{c.angle:12.6f} {100 * c.strain:11.5f} {c.n_cells[0]:5d}+{c.n_cells[1]:<5d} {c.n_atoms:7d}")
    if len(cells) > most:
        print(f"and {len(cells) - most} larger")
    return 0


def print_materials() -> None:
    """Known materials with their equilibrium and its source."""
    from ..moire.materials import equilibrium, known_materials

    print(f"{'name':<10} {'a (Å)':>7} {'gap (Å)':>8} {'thickness (Å)':>14}  source")
    for name in known_materials():
        eq = equilibrium(name)
        print(f"{name:<10} {eq.a:7.4f} {eq.gap:8.3f} {eq.thickness:14.3f}  {eq.source}")
