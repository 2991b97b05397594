"""Supercells of a Hamiltonian: the same bands, folded."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from .blocks import unique_rows


def lattice_points(matrix):
    """Cells of the primitive lattice inside one cell of the superlattice `matrix` (3, 3), shape (|det|, 3)."""
    matrix = np.asarray(matrix, np.int64)
    count = abs(round(np.linalg.det(matrix)))
    if count == 0:
        raise ValueError(f"the supercell matrix {matrix.tolist()} is singular")
    corners = np.array(list(np.ndindex(2, 2, 2))) @ matrix
    axes = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0))]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points[(_cell_of(points, matrix) == 0).all(axis=1)]
    assert len(inside) == count
    return inside


def _cell_of(points, matrix):
    """floor(points @ matrix^-1), in integers: exact on cell boundaries."""
    determinant = round(np.linalg.det(matrix))
    adjugate = np.rint(np.linalg.inv(matrix) * determinant).astype(np.int64)
    scaled = points @ adjugate * np.sign(determinant)
    return scaled // abs(determinant)


def make_supercell(h, matrix):
    """The Hamiltonian of a supercell with lattice vectors ``matrix @ cell``; atoms cell by cell, in h's order.

    Parameters
    ----------
    h : WannierHamiltonian
    matrix : array_like of int, shape (3, 3) or (3,)
        (3,) for a diagonal one.

    Returns
    -------
    WannierHamiltonian
        ``atoms.arrays["primitive_cell"]`` (n_atoms, 3) holds every atom's primitive cell.
    """
    whole = np.rint(np.asarray(matrix, float))
    if whole.shape not in ((3,), (3, 3)) or np.abs(whole - matrix).max() > 1e-9:
        raise ValueError(f"a supercell takes 3 or 3 x 3 integers, not {np.asarray(matrix).tolist()}")
    matrix = whole.astype(np.int64)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    points = lattice_points(matrix)
    n, n_cells = h.n_orbitals, len(points)
    index = {tuple(p): k for k, p in enumerate(points.tolist())}
    row, col, data, shift = [], [], [], []
    for r, block in zip(h.cell_shifts, h.blocks):
        coo = block.tocoo()
        target = points + r
        cell = _cell_of(target, matrix)
        home = [index[tuple(t)] for t in (target - cell @ matrix).tolist()]
        for k in range(n_cells):
            row.append(coo.row + k * n)
            col.append(coo.col + home[k] * n)
            data.append(coo.data)
            shift.append(np.tile(cell[k], (coo.nnz, 1)))
    row, col, data = (np.concatenate(x) for x in (row, col, data))
    shifts, which = unique_rows(np.concatenate(shift))
    size = n * n_cells
    stacked = csr_matrix((data, (which * size + row, col)), shape=(len(shifts) * size, size))
    stacked.sort_indices()
    blocks = [stacked[k * size : (k + 1) * size] for k in range(len(shifts))]
    atoms = h.require_sites("a supercell")
    cell = atoms.cell.complete().array
    many = Atoms(
        numbers=np.tile(atoms.numbers, n_cells),
        positions=(points @ cell)[:, None].repeat(len(atoms), 1).reshape(-1, 3)
        + np.tile(atoms.positions, (n_cells, 1)),
        cell=matrix @ atoms.cell.array,
        pbc=atoms.pbc,
    )
    for name, values in atoms.arrays.items():
        if name not in ("numbers", "positions"):
            many.set_array(name, np.tile(values, (n_cells,) + (1,) * (values.ndim - 1)))
    many.set_array("primitive_cell", np.repeat(points, len(atoms), axis=0))
    orbitals = np.tile(h.orbitals, n_cells)
    orbitals["atom"] += np.repeat(np.arange(n_cells) * len(atoms), n)
    centres = None if h._centres is None else ((points @ cell)[:, None] + h.centres[None]).reshape(-1, 3)
    electrons = None if h.n_electrons is None else h.n_electrons * n_cells
    return type(h)(
        many,
        orbitals,
        shifts,
        blocks,
        electrons,
        spin_degeneracy=h.spin_degeneracy,
        centres=centres,
        info=h.info,
        check=False,
    )
