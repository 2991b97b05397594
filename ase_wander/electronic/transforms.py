"""Hamiltonians made from another: truncated, in an electric field, with orbitals in another order."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import eigsh

from ..structure import find_layers, slab_heights, upward
from .orbitals import orbital_kinds
from .validity import finite


def truncate(h, threshold):
    """Copy of `h` without elements |H| <= threshold (eV), with its Weyl bound in ``info["truncation_bound"]``."""
    finite(threshold, "threshold (eV)", least=0)
    kept, removed = [], []
    for block in h.blocks:
        small = block.copy()
        large = np.abs(block.data) > threshold
        small.data = np.where(large, 0, block.data)
        small.eliminate_zeros()
        block = block.copy()
        block.data = np.where(large, block.data, 0)
        block.eliminate_zeros()
        kept.append(block)
        removed.append(small)
    bound = weyl_bound(removed) + h.info.get("truncation_bound", 0.0)
    nonzero = [k for k, block in enumerate(kept) if block.nnz] or [0]
    return h.replace(
        cell_shifts=h.cell_shifts[nonzero],
        blocks=[kept[k] for k in nonzero],
        info=h.info | {"threshold": float(threshold), "truncation_bound": float(bound)},
    )


def weyl_bound(blocks, steps=50):
    """Upper bound (eV) on the norm of sum_R e^{ik.R} D(R) over all k, for Hermitian D.

    ||D(k)|| <= rho(A) with A = sum_R |D(R)| (Perron-Frobenius), and rho(A) <= max_i (A x)_i / x_i for every
    positive x (Collatz-Wielandt); x comes from a few steps of the power method. By Weyl's inequality no
    eigenvalue of H(k) moves further when D is left out.
    """
    total = abs(blocks[0])
    for block in blocks[1:]:
        total = total + abs(block)
    total = (total + total.T) / 2
    if total.nnz == 0:
        return 0.0
    best, x = np.inf, np.ones(total.shape[0])
    for _ in range(steps):
        # A small share of the uniform vector keeps x positive where A has empty rows.
        y = total @ x
        best = min(best, float((y / x).max()))
        x = y / y.max() + 1e-3
    return best


def truncation_error(h, truncated, kpts):
    """Weyl bound (eV) on the band errors of `truncated` against `h` at each k: ||H(k) - H'(k)||, shape (n_k,).

    Far tighter than the bound for all k, which cannot use the signs of what was left out.
    """
    bounds = []
    for k in kpts:
        difference = h.at_k(k) - truncated.at_k(k)
        if abs(difference).max() == 0:
            bounds.append(0.0)
        elif h.n_orbitals < 200:
            bounds.append(float(np.linalg.norm(difference.toarray(), 2)))
        else:
            bounds.append(
                float(np.abs(eigsh(difference, 1, which="LM", return_eigenvectors=False, tol=1e-4)[0]) * 1.0001)
            )
    return np.array(bounds)


def in_electric_field(h, field, screening=1.0, origin=None):
    """Copy of `h` in a field along the plane's normal.

    Parameters
    ----------
    field : float
        External field in V/Å, positive from the bottom to the top layer: electrons, of charge -e, gain
        e E z of potential energy with height.
    screening : float
        The potential is divided by it (effective dielectric constant of the stack).
    origin : float, optional
        Height of zero potential in Å; the mean of the orbitals by default.

    Notes
    -----
    Only the diagonal changes, by the height of each orbital's centre: H_ii += e E (z_i - z_0) / screening. A slab that
    is periodic along the third vector counts in one piece, wherever the cell boundary cuts it.
    """
    finite(field, "field (V/Å)")
    finite(screening, "screening", above=0)
    if origin is not None:
        finite(origin, "origin (Å)")
    heights = orbital_heights(h)
    potential = field * (heights - (heights.mean() if origin is None else origin)) / screening
    return with_onsite(h, diags(potential)).replace(
        info=h.info | {"field": float(field), "screening": float(screening)}
    )


def orbital_heights(h):
    """Height (n_orbitals,) of every orbital's centre along the upward normal, Å, of a slab in one piece."""
    atoms = h.require_sites("heights of orbitals")
    up = upward(atoms)
    if not atoms.pbc[2]:
        return h.centres @ up
    period, on = abs(atoms.cell.array[2] @ up), h.orbitals["atom"]
    away = (h.centres - atoms.positions[on]) @ up  # a centre may be wrapped otherwise than its atom
    return slab_heights(atoms)[on] + away - period * np.rint(away / period)


def with_onsite(h, matrix):
    """Copy of `h` with a matrix (n_orbitals, n_orbitals), eV, added to H(R = 0), which may be missing."""
    shifts, blocks = h.cell_shifts, list(h.blocks)
    home = np.flatnonzero((shifts == 0).all(axis=1))
    if len(home):
        blocks[home[0]] = (blocks[home[0]] + matrix).tocsr()
        return h.replace(blocks=blocks)
    return h.replace(cell_shifts=np.append(shifts, [[0, 0, 0]], axis=0), blocks=[*blocks, csr_matrix(matrix)])


def reordered(h, order):
    """The same Hamiltonian with its orbitals in another order: orbital n of the copy is orbital ``order[n]`` of `h`."""
    order = np.asarray(order, int)
    if not np.array_equal(np.sort(order), np.arange(h.n_orbitals)):
        raise ValueError(f"order must hold each of the {h.n_orbitals} orbitals once")
    if np.array_equal(order, np.arange(h.n_orbitals)):
        return h
    return h.replace(
        orbitals=h.orbitals[order],
        blocks=[block[order][:, order].tocsr() for block in h.blocks],
        centres=None if h._centres is None else h.centres[order],
    )


def difference(after, before, step=1.0):
    """(after - before) / step as a Hamiltonian: the derivative along a displacement, by differences.

    Both must have the same orbitals, in any order (those of `before` are kept); cell shifts may differ.

    Raises
    ------
    ValueError
        For other orbitals, or atoms that were wrapped into another cell in between: H(R) then differ by whole hoppings.
    """
    if after.n_orbitals != before.n_orbitals:
        raise ValueError(f"{after.n_orbitals} and {before.n_orbitals} orbitals cannot be subtracted")
    after = reordered(after, _same_order(after.orbitals, before.orbitals))
    if after.atoms is not None and before.atoms is not None:
        cell = before.atoms.cell.complete()
        moved = cell.scaled_positions(after.atoms.positions - before.atoms.positions)
        wrapped = np.flatnonzero((np.abs(moved) > 0.5).any(axis=1))
        if len(wrapped):
            raise ValueError(
                f"atom {wrapped[0]} moved by {moved[wrapped[0]].round(3).tolist()} lattice vectors: it was wrapped "
                "into another cell between the two Hamiltonians"
            )
    table = {}
    for h, factor in ((after, 1 / step), (before, -1 / step)):
        for shift, block in zip(h.cell_shifts.tolist(), h.blocks):
            key = tuple(shift)
            table[key] = table[key] + factor * block if key in table else factor * block
    return before.replace(cell_shifts=np.array(sorted(table)), blocks=[table[key].tocsr() for key in sorted(table)])


def _same_order(orbitals, wanted):
    """Indices that put `orbitals` into the order of `wanted`; ValueError when they are others."""
    keys = [np.column_stack([x["atom"], orbital_kinds(x)]) for x in (orbitals, wanted)]
    order, target = (np.lexsort(key.T) for key in keys)
    if (keys[0][order] != keys[1][target]).any():
        raise ValueError("the two Hamiltonians have different orbitals, atom by atom: they cannot be subtracted")
    result = np.empty(len(order), int)
    result[target] = order
    return result


def layer_of_orbitals(h):
    """Layer of every orbital, from ``atoms.arrays["layer"]`` or by connectivity, shape (n_orbitals,)."""
    atoms = h.require_sites("layers")
    layer = atoms.arrays["layer"] if "layer" in atoms.arrays else find_layers(atoms)
    return np.asarray(layer)[h.orbitals["atom"]]
