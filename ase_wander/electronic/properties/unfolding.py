"""Unfolding of moiré bands onto the Brillouin zone of one layer's primitive cell.

V. Popescu and A. Zunger, PRB 85, 085201 (2012); for tight binding T. B. Boykin and G. Klimeck, PRB 71, 115215 (2005).
"""

from __future__ import annotations

import numpy as np

from ..solvers.kpoints import solve_kpoints


def unfold(h, primitive_cell, kpts, n_bands=None, sigma=None, atoms=None, sublattice=None, **options):
    """Bands of a supercell with their weights at k-points of a primitive cell.

    Parameters
    ----------
    primitive_cell : array_like (2, 2) or (3, 3)
        In-plane lattice vectors of the layer in Å, Cartesian axes of the supercell (so rotated with the layer).
    kpts : array_like (n_k, 3)
        In reciprocal vectors of the primitive cell.
    atoms : array_like of int, optional
        Atoms of the layer; all by default.
    sublattice : array_like of int, shape (n_atoms,), optional
        Which site of the primitive cell every atom is; by default found from species and positions modulo the
        primitive lattice.

    Returns
    -------
    energies : ndarray (n_k, n_bands), eV
    weights : ndarray (n_k, n_bands)
        W = sum_a |<k a|psi>|^2 over the orbitals a of the primitive cell, |k a> = N^-1/2 sum_R e^{ik.r} |a R>. Between
        0 and 1; over all bands they sum to the number of orbitals of the primitive cell.

    Raises
    ------
    ValueError
        When the supercell does not hold a whole number of primitive cells, or a sublattice not one site in each.
    """
    structure = h._require_sites("unfolding")
    lattice = np.asarray(primitive_cell, float)[:2, :2]
    cell = structure.cell.array[:2, :2]
    chosen = np.arange(len(structure)) if atoms is None else np.asarray(atoms, int)
    ratio = abs(np.linalg.det(cell) / np.linalg.det(lattice))
    matrix = cell @ np.linalg.inv(lattice)
    n_cells = round(ratio)
    if n_cells < 1 or np.abs(matrix - np.rint(matrix)).max() > 0.05:
        raise ValueError(
            f"the supercell is no supercell of {lattice.tolist()}: in its vectors it is {np.round(matrix, 3).tolist()}"
        )
    if sublattice is None:
        sublattice = find_sublattices(structure, lattice, chosen)
    else:
        sublattice = np.asarray(sublattice)[chosen]
    counts = np.bincount(sublattice)
    if (counts != n_cells).any():
        wrong = int(np.flatnonzero(counts != n_cells)[0])
        raise ValueError(
            f"site {wrong} of the primitive cell (atom {chosen[sublattice == wrong][0]}) occurs "
            f"{counts[wrong]} times in {n_cells} primitive cells; give sublattice="
        )
    kpts = np.atleast_2d(np.asarray(kpts, float))
    # k.r is the same in both cells: k_sc = M k_pc with the exact integer M.
    super_k = kpts.copy()
    super_k[:, :2] = kpts[:, :2] @ np.rint(matrix).T
    super_k[:, 2] = 0
    data = solve_kpoints(h, super_k, n_bands, sigma, vectors=True, **options)
    # Phases from positions in units of the supercell, so that strain of the cell does not dephase them.
    phase_position = structure.positions[:, :2] @ np.linalg.inv(cell) @ np.rint(matrix)
    site = np.full(len(structure), -1)
    site[chosen] = sublattice
    orbitals = h.orbitals
    rank = np.zeros(h.n_orbitals, int)
    first = np.searchsorted(orbitals["atom"], np.arange(len(structure)))
    rank[:] = np.arange(h.n_orbitals) - first[orbitals["atom"]]
    member = np.flatnonzero(site[orbitals["atom"]] >= 0)
    label = site[orbitals["atom"][member]] * (rank.max() + 1) + rank[member]
    labels, column = np.unique(label, return_inverse=True)
    weights = np.empty(data.energies.shape)
    for number, (k, states) in enumerate(zip(kpts, data.states)):
        phase = np.exp(-2j * np.pi * phase_position[orbitals["atom"][member]] @ k[:2])
        overlap = np.zeros((len(labels), states.shape[1]), complex)
        np.add.at(overlap, column, phase[:, None] * states[member])
        weights[number] = (np.abs(overlap) ** 2).sum(axis=0) / n_cells
    return data.energies, weights


def find_sublattices(atoms, lattice, chosen=None, tolerance=0.9):
    """Site of every atom in the primitive cell: same species, same place modulo `lattice` within `tolerance` (Å).

    Shape (n_chosen,), numbered in order of appearance.
    """
    chosen = np.arange(len(atoms)) if chosen is None else np.asarray(chosen, int)
    inverse = np.linalg.inv(lattice)
    site, seeds = np.full(len(chosen), -1), []
    for number, atom in enumerate(chosen):
        for label, seed in enumerate(seeds):
            if atoms.numbers[seed] != atoms.numbers[atom]:
                continue
            away = atoms.positions[atom] - atoms.positions[seed]
            scaled = away[:2] @ inverse
            flat = (scaled - np.rint(scaled)) @ lattice
            if np.hypot(np.linalg.norm(flat), away[2]) < tolerance:
                site[number] = label
                break
        else:
            site[number] = len(seeds)
            seeds.append(atom)
    return site
