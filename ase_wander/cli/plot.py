"""`ase-wander plot`: figures of what bands are made of, and their numbers beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .common import CommandError, make_calculator, print_table, read_given
from .options import add_model_options, add_structure_options, positive_float, positive_int
from .spinorbit import add_spin_options, add_window_option, check_spins, checked_window, finite_float, with_spins

#: Kinds of figures, and what --help says of them.
KINDS = {
    "fat": "bands coloured by layer, species or shell",
    "unfold": "bands on the Brillouin zone of one layer's primitive cell",
    "spin": "bands coloured by a component of their spin (with spin-orbit coupling)",
    "density": "map of the states between two energies over the plane (--between)",
    "dos": "density of states and its parts",
}

#: Orbitals up to which all bands are computed where --n-bands is not given, and bands beyond.
ALL_BANDS, SOME_BANDS = 600, 60


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "plot",
        help="figures: fat bands, unfolded bands, spin texture, density maps, density of states",
        description="Draw one figure from a structure or from a saved Hamiltonian, and write its numbers beside it "
        "(.npz). Kinds: " + "; ".join(f"{kind}, {words}" for kind, words in KINDS.items()) + ".",
    )
    parser.add_argument("kind", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("file", metavar="FILE", help="a structure, or hamiltonian.npz of `run` or `bands`")
    parser.add_argument("-o", "--out", metavar="FILE.png", help="the figure (.png, .pdf, .svg); default KIND.png")
    parser.add_argument("--force", action="store_true", help="overwrite the files")
    add_structure_options(parser)
    group = parser.add_argument_group("figure")
    group.add_argument("--path", help="special points, as GMKG; default that of the lattice")
    group.add_argument("--npoints", type=positive_int, default=120, help="k-points along it; default %(default)s")
    group.add_argument("--n-bands", type=positive_int, help="bands nearest the gap; default all of small cells, or 60")
    group.add_argument("--zero", choices=["vbm", "vacuum"], default="vbm", help="zero of energy; default %(default)s")
    add_window_option(group)
    group.add_argument("--title")
    group.add_argument(
        "--project",
        choices=["layer", "species", "shell", "atom"],
        help="fat, dos: parts of the states; default layer of fat, none of dos",
    )
    group.add_argument("--layer", type=int, help="unfold, density: one layer, 0 the lowest; default 0 of unfold, all")
    group.add_argument("--component", choices=["x", "y", "z"], default="z", help="spin: default %(default)s")
    group.add_argument(
        "--between",
        nargs=2,
        type=finite_float,
        metavar=("LOW", "HIGH"),
        help="density: energies of the states, eV from --zero; default the top 0.1 eV of the occupied ones",
    )
    group.add_argument(
        "--kpts",
        nargs=2,
        type=positive_int,
        metavar=("N1", "N2"),
        help="density, dos: mesh of the plane; default by size",
    )
    group.add_argument(
        "--width", type=positive_float, help="density: of an atom, Å, default 1; dos: of a level, eV, default 0.05"
    )
    add_spin_options(parser.add_argument_group("spin"))
    add_model_options(parser, default=None, of="the atoms")
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    from ..archives import write_npz
    from ..files import writing
    from ..plotting import save_figure

    target = Path(arguments.out or f"{arguments.kind}.png")
    if target.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise CommandError(f"--out {target}: a figure ends in .png, .pdf or .svg")
    if not target.parent.is_dir():
        raise CommandError(f"{target.parent}: no such folder")
    numbers = target.with_suffix(".npz")
    for file in (target, numbers):
        if file.exists() and not arguments.force:
            raise CommandError(f"{file}: exists already; --force overwrites it")
    checked_window(arguments)
    axes, arrays, rows = DRAW[arguments.kind](hamiltonian_of(arguments), arguments)
    with writing(target) as temporary:
        save_figure(axes, temporary)
    write_npz(numbers, arrays)
    print_table(Path(arguments.file).name, [*rows, ("figure", str(target)), ("numbers", str(numbers))])
    return 0


def hamiltonian_of(arguments):
    """The saved Hamiltonian, or that of the structure, with the spins that the options ask for."""
    from ..electronic.hamiltonian import WannierHamiltonian

    if Path(arguments.file).suffix == ".npz":
        return with_spins(WannierHamiltonian.load(arguments.file), arguments)
    atoms, _ = read_given(arguments)
    calculator = make_calculator(arguments, atoms)
    check_spins(atoms, calculator.model, arguments)
    return with_spins(calculator.get_wannier_hamiltonian(atoms), arguments)


def bands_wanted(h, arguments):
    """Number of bands, None for all."""
    if arguments.n_bands is None:
        return None if h.n_orbitals <= ALL_BANDS else SOME_BANDS
    if arguments.n_bands > h.n_orbitals:
        raise CommandError(f"--n-bands: {arguments.n_bands}; there are {h.n_orbitals}")
    return arguments.n_bands


def energies_of(h, arguments):
    """Zero of the energy axis (eV), its name and the gap above it: the valence band's top on a mesh, the Fermi level of
    a metal, or the vacuum.
    """
    from ..electronic.bands import TOUCHING
    from ..electronic.filling import default_kpts

    if h.n_electrons is None:
        if arguments.zero == "vacuum":
            return 0.0, "vac", None
        raise CommandError("the number of electrons is not known: --zero vacuum takes the zero of the file")
    top = gap = None
    if 0 < h.n_occupied < h.n_orbitals:
        pair = h.eigenvalues(default_kpts(h)[0], 2)
        top, gap = float(pair[:, 0].max()), float(pair[:, 1].min() - pair[:, 0].max())
    if top is None or gap <= TOUCHING:
        top, gap = float(h.fermi_level()), 0.0
    if arguments.zero == "vacuum":
        return 0.0, "vac", (top, top + gap)
    return top, "VBM" if gap else "F", (0.0, gap)


def _look(h, arguments, energies=None):
    """What figures take: zero, its name, title, and a window 1.5 eV around the gap where none is asked for."""
    from ..plotting import with_subscripts

    zero, name, edges = energies_of(h, arguments)
    window = checked_window(arguments)
    if window is None and edges is not None:
        window = (edges[0] - 1.5, edges[1] + 1.5)
        if energies is not None:  # not where there is no band
            ends = energies.min() - zero - 0.1, energies.max() - zero + 0.1
            window = max(window[0], ends[0]), min(window[1], ends[1])
    title = arguments.title or (h.atoms.get_chemical_formula("metal") if h.atoms is not None else None)
    return {"zero": zero, "zero_name": name, "window": window, "title": title and with_subscripts(title)}


def draw_fat(h, arguments):
    """Fat bands."""
    from ..electronic.properties.analysis import fat_bands
    from ..plotting import plot_fat_bands

    path = _path(h, arguments)
    project = arguments.project or "layer"
    energies, weights = fat_bands(h, path, bands_wanted(h, arguments), project=project, progress=True)
    look = _look(h, arguments, energies)
    axes = plot_fat_bands(path, energies, weights, **look)
    arrays = {"kpts": path.kpts, "energies": energies, "zero": look["zero"]}
    arrays |= {f"weight_{name.replace(' ', '_')}": w for name, w in weights.items()}
    return axes, arrays, [("bands", f"{energies.shape[1]} at {len(energies)} k-points, by {project}")]


def draw_unfolded(h, arguments):
    """Unfolded bands of one layer."""
    from ..electronic.properties.unfolding import primitive_path, unfold
    from ..moire import layer_lattices
    from ..plotting import plot_unfolded
    from ..structure import find_layers

    atoms = h.require_sites("unfolding")
    layers = find_layers(atoms)
    layer = _layer(layers, 0 if arguments.layer is None else arguments.layer)
    lattice = layer_lattices(atoms, layers)[layer]
    path = primitive_path(h, lattice, arguments.path, arguments.npoints)
    members = np.flatnonzero(layers == layer)
    energies, weights = unfold(h, lattice, path, bands_wanted(h, arguments), atoms=members, progress=True)
    look = _look(h, arguments, energies)
    axes = plot_unfolded(path, energies, weights, **look)
    arrays = {"kpts": path.kpts, "energies": energies, "weights": weights, "zero": look["zero"]}
    arrays["primitive_cell"] = lattice
    return axes, arrays, [("layer", f"{layer}, lattice vectors {np.round(lattice, 4).tolist()} Å")]


def draw_spins(h, arguments):
    """Spin texture along a path."""
    from ..electronic.properties.spin import spin_texture
    from ..plotting import plot_spin_texture

    if h.spin_degeneracy != 1:
        raise CommandError("a spin texture needs spin-orbit coupling: add --spin-orbit")
    path = _path(h, arguments)
    energies, spins = spin_texture(h, path, bands_wanted(h, arguments), progress=True)
    look = _look(h, arguments, energies)
    axes = plot_spin_texture(path, energies, spins, "xyz".index(arguments.component), **look)
    arrays = {"kpts": path.kpts, "energies": energies, "spins": spins, "zero": look["zero"]}
    return axes, arrays, [("bands", f"{energies.shape[1]} at {len(energies)} k-points")]


def draw_density(h, arguments):
    """Map of the states between two energies."""
    from ..electronic.properties.analysis import atomic_map, states_between
    from ..plotting import plot_density
    from ..structure import find_layers, plane_axes

    atoms = h.require_sites("a density map")
    look = _look(h, arguments)
    zero = look["zero"]
    low, high = arguments.between or (-0.1, 1e-6)
    if not low < high:
        raise CommandError(f"--between: LOW {low:g} eV is not below HIGH {high:g} eV")
    states = states_between(h, zero + low, zero + high, *_mesh(h, arguments))
    chosen = None
    if arguments.layer is not None:
        layers = find_layers(atoms)
        chosen = np.flatnonzero(layers == _layer(layers, arguments.layer))
    count = float(states.sum() if chosen is None else states[chosen].sum())
    if not states.sum() > 0:
        raise CommandError(f"no state lies between {low:g} and {high:g} eV from the zero; choose other --between")
    points, density = atomic_map(atoms, states, (144, 144), arguments.width or 1.0, chosen)
    cell = atoms.cell.array[:2] @ plane_axes(atoms).T
    axes = plot_density(cell, density, label="states per Å$^2$", title=look["title"])
    arrays = {"points": points, "density": density, "states_on_atoms": states, "between": [low, high], "zero": zero}
    return axes, arrays, [("states", f"{count:.4f} between {low:g} and {high:g} eV from the zero")]


def draw_dos(h, arguments):
    """Density of states."""
    from ..electronic.properties.dos import density_of_states
    from ..plotting import plot_dos

    look = _look(h, arguments)
    kpts, weights = _mesh(h, arguments)
    dos = density_of_states(h, kpts=kpts, weights=weights, width=arguments.width or 0.05, project=arguments.project)
    axes = plot_dos(dos, **look)
    parts = list(dos) if arguments.project else [dos]
    arrays = {"energies": parts[0].get_energies(), "zero": look["zero"]}
    arrays |= {f"dos_{part.info['label'].replace(' ', '_')}": part.get_weights() for part in parts}
    return axes, arrays, [("parts", ", ".join(part.info["label"] for part in parts))]


DRAW = {"fat": draw_fat, "unfold": draw_unfolded, "spin": draw_spins, "density": draw_density, "dos": draw_dos}


def _path(h, arguments):
    from ..electronic.kpath import resolve_path

    return resolve_path(h.require_atoms("bands along a path"), arguments.path, arguments.npoints)


def _mesh(h, arguments):
    """k-points and weights of --kpts, reduced by time reversal; (None, None) for the default."""
    if arguments.kpts is None:
        return None, None
    from ..electronic.filling import monkhorst_pack

    return monkhorst_pack([*arguments.kpts, 1], h.is_real)


def _layer(layers, layer) -> int:
    if not 0 <= layer <= layers.max():
        raise CommandError(f"--layer {layer}: the layers are 0 to {layers.max()}")
    return layer
