"""Hamiltonians made from another: truncated, in an electric field."""

from __future__ import annotations

import numpy as np
from scipy.sparse import diags
from scipy.sparse.linalg import eigsh

from ..structure import find_layers, plane_normal


def truncate(h, threshold):
    """Copy of `h` without elements |H| <= threshold (eV), with its Weyl bound in ``info["truncation_bound"]``."""
    if not np.isfinite(threshold) or threshold < 0:
        raise ValueError(f"threshold is {threshold}; it must be a non-negative energy in eV")
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
    Only the diagonal changes, by the height of each orbital's centre: H_ii += e E (z_i - z_0) / screening.
    """
    if not np.isfinite(field) or not np.isfinite(screening) or screening <= 0:
        raise ValueError(f"field {field} V/Å and screening {screening}: both must be finite, the screening positive")
    heights = h.centres @ plane_normal(h._require_atoms("an electric field"))
    potential = field * (heights - (heights.mean() if origin is None else origin)) / screening
    home = h.cell_shifts.tolist().index([0, 0, 0])
    blocks = list(h.blocks)
    blocks[home] = (blocks[home] + diags(potential)).tocsr()
    return h.replace(blocks=blocks, info=h.info | {"field": float(field), "screening": float(screening)})


def difference(after, before, step=1.0):
    """(after - before) / step as a Hamiltonian: the derivative along a displacement, by differences.

    Both must have the same orbitals; cell shifts may differ.
    """
    if after.n_orbitals != before.n_orbitals:
        raise ValueError(f"{after.n_orbitals} and {before.n_orbitals} orbitals cannot be subtracted")
    table = {}
    for h, factor in ((after, 1 / step), (before, -1 / step)):
        for shift, block in zip(h.cell_shifts.tolist(), h.blocks):
            key = tuple(shift)
            table[key] = table[key] + factor * block if key in table else factor * block
    return before.replace(cell_shifts=np.array(sorted(table)), blocks=[table[key].tocsr() for key in sorted(table)])


def layer_of_orbitals(h):
    """Layer of every orbital, from ``atoms.arrays["layer"]`` or by connectivity, shape (n_orbitals,)."""
    atoms = h._require_sites("layers")
    layer = atoms.arrays["layer"] if "layer" in atoms.arrays else find_layers(atoms)
    return np.asarray(layer)[h.orbitals["atom"]]
