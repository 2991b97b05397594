"""Unfolding of moiré bands onto the Brillouin zone of one layer's primitive cell.

V. Popescu and A. Zunger, PRB 85, 085201 (2012); for tight binding T. B. Boykin and G. Klimeck, PRB 71, 115215 (2005).
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...structure import plane_axes, plane_normal, slab_heights, standing_positions
from ..kpath import resolve_path
from ..orbitals import orbital_kinds
from ..solvers.kpoints import solve_kpoints
from ..solvers.snapshots import path_method
from ..validity import chosen_atoms


def unfold(h, primitive_cell, kpts, n_bands=None, sigma=None, atoms=None, sublattice=None, **options):
    """Bands of a supercell with their weights at k-points of a primitive cell.

    Parameters
    ----------
    primitive_cell : array_like (2, 2) or (3, 3)
        In-plane lattice vectors of the layer in Å, Cartesian axes of the supercell (so rotated with the layer). Layers
        in another plane than xy need all three components.
    kpts : array_like (n_k, 3), BandPath or str
        In reciprocal vectors of the primitive cell; letters such as "GMKG" are those of the primitive cell.
    atoms : array_like of int, optional
        Atoms of the layer; all by default.
    sublattice : array_like of int, shape (n_atoms,), optional
        Which site of the primitive cell every atom is; by default found from species and positions modulo the
        primitive lattice.

    Returns
    -------
    energies : ndarray (n_k, n_bands), eV
    weights : ndarray (n_k, n_bands)
        `W = sum_a |<k a|psi>|^2` over the orbitals a of the primitive cell, `|k a> = N^-1/2 sum_R e^{ik.r} |a R>`.
        Between 0 and 1; over all bands they sum to the number of orbitals of the primitive cell.

    Raises
    ------
    ValueError
        When the supercell does not hold a whole number of primitive cells, or a sublattice not one site in each.
    """
    structure = h.require_sites("unfolding")
    lattice, cell, positions = _in_the_plane(structure, primitive_cell)
    chosen = chosen_atoms(structure, atoms)
    ratio = abs(np.linalg.det(cell) / np.linalg.det(lattice))
    matrix = cell @ np.linalg.inv(lattice)
    n_cells = round(ratio)
    if n_cells < 1 or np.abs(matrix - np.rint(matrix)).max() > 0.05:
        raise ValueError(
            f"the supercell is no supercell of {lattice.tolist()}: in its vectors it is {np.round(matrix, 3).tolist()}"
        )
    if sublattice is None:
        sublattice = find_sublattices(structure, primitive_cell, chosen)
    else:
        if np.shape(sublattice) != (len(structure),):
            raise ValueError(f"sublattice has the shape {np.shape(sublattice)}; there are {len(structure)} atoms")
        sublattice = np.asarray(sublattice)[chosen]
    counts = np.bincount(sublattice)
    if (counts != n_cells).any():
        wrong = int(np.flatnonzero(counts != n_cells)[0])
        raise ValueError(
            f"site {wrong} of the primitive cell (atom {chosen[sublattice == wrong][0]}) occurs "
            f"{counts[wrong]} times in {n_cells} primitive cells; give sublattice="
        )
    if isinstance(kpts, str):
        kpts = _path_of_lattice(lattice, kpts)
    kpts = h.kpoints(kpts)
    # k.r is the same in both cells: k_sc = M k_pc with the exact integer M.
    super_k = kpts.copy()
    super_k[:, :2] = kpts[:, :2] @ np.rint(matrix).T
    super_k[:, 2] = 0
    options["method"] = path_method(h, super_k, n_bands, sigma, options.get("method", "auto"))
    data = solve_kpoints(h, super_k, n_bands, sigma, vectors=True, **options)
    # Phases from positions in units of the supercell, so that strain of the cell does not dephase them.
    phase_position = positions @ np.linalg.inv(cell) @ np.rint(matrix)
    site = np.full(len(structure), -1)
    site[chosen] = sublattice
    orbitals = h.orbitals
    member = np.flatnonzero(site[orbitals["atom"]] >= 0)
    label = np.column_stack([site[orbitals["atom"]], orbital_kinds(orbitals)])[member]
    labels, column = np.unique(label, axis=0, return_inverse=True)
    column = column.ravel()
    weights = np.empty(data.energies.shape)
    for number, (k, states) in enumerate(zip(kpts, data.states)):
        phase = np.exp(-2j * np.pi * phase_position[orbitals["atom"][member]] @ k[:2])
        overlap = np.zeros((len(labels), states.shape[1]), complex)
        np.add.at(overlap, column, phase[:, None] * states[member])
        weights[number] = (np.abs(overlap) ** 2).sum(axis=0) / n_cells
    return data.energies, weights


def primitive_path(h, primitive_cell, path=None, npoints=None):
    """`BandPath` of the primitive cell, for `unfold` and `plotting.plot_unfolded`; `path` and `npoints` as in
    `kpath.resolve_path`."""
    return _path_of_lattice(_in_the_plane(h.require_sites("unfolding"), primitive_cell)[0], path, npoints)


def _path_of_lattice(lattice, path, npoints=None):
    cell = [*np.pad(lattice, ((0, 0), (0, 1))), [0, 0, 1]]
    return resolve_path(Atoms(cell=cell, pbc=(1, 1, 0)), path, npoints)


def _in_the_plane(atoms, primitive_cell):
    """Primitive lattice (2, 2), cell (2, 2) and positions (n, 2) of a slab in one piece, along `plane_axes`, Å."""
    axes, primitive_cell = plane_axes(atoms), np.asarray(primitive_cell, float)
    if primitive_cell.shape == (2, 2):
        if np.abs(axes[:, 2]).max() > 0 or np.abs(axes[0] - [1, 0, 0]).max() > 0:
            raise ValueError(
                "the layers do not lie in the xy plane: give the primitive lattice vectors with three components"
            )
        primitive_cell = np.pad(primitive_cell, ((0, 0), (0, 1)))
    vectors = primitive_cell[:2]
    if not np.isfinite(primitive_cell).all() or np.linalg.matrix_rank(vectors) < 2:
        raise ValueError(f"the primitive lattice vectors {vectors.tolist()} span no plane")
    if np.abs(vectors @ plane_normal(atoms)).max() > 1e-3 * np.linalg.norm(vectors, axis=1).max():
        raise ValueError(f"the primitive lattice vectors {vectors.tolist()} do not lie in the plane of the layers")
    return vectors @ axes.T, atoms.cell.array[:2] @ axes.T, standing_positions(atoms) @ axes.T


def find_sublattices(atoms, lattice, chosen=None, tolerance=0.9):
    """Site of every atom in the primitive cell: same species, same place modulo `lattice` within `tolerance` (Å).

    Shape (n_chosen,), numbered in order of appearance. `lattice` as `primitive_cell` in `unfold`.
    """
    chosen = np.arange(len(atoms)) if chosen is None else np.asarray(chosen, int)
    lattice, _, positions = _in_the_plane(atoms, lattice)
    heights, inverse = slab_heights(atoms), np.linalg.inv(lattice)
    site, seeds = np.full(len(chosen), -1), []
    for number, atom in enumerate(chosen):
        for label, seed in enumerate(seeds):
            if atoms.numbers[seed] != atoms.numbers[atom]:
                continue
            scaled = (positions[atom] - positions[seed]) @ inverse
            flat = (scaled - np.rint(scaled)) @ lattice
            if np.hypot(np.linalg.norm(flat), heights[atom] - heights[seed]) < tolerance:
                site[number] = label
                break
        else:
            site[number] = len(seeds)
            seeds.append(atom)
    return site
