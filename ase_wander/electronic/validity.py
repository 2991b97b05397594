"""Checks of a Hamiltonian and of k-points, before anything is computed from them."""

from __future__ import annotations

import numpy as np

from .blocks import hermiticity_error


def check_shapes(h) -> None:
    """ValueError unless orbitals, cells, blocks, centres and electrons of a WannierHamiltonian fit together."""
    n = h.n_orbitals
    if len(h.blocks) != len(h.cell_shifts) or not h.blocks:
        raise ValueError(f"{len(h.blocks)} blocks for {len(h.cell_shifts)} cell shifts")
    for shift, block in zip(h.cell_shifts.tolist(), h.blocks):
        if block.shape != (n, n):
            raise ValueError(f"the block of cell {shift} is {block.shape}, {n} orbitals need ({n}, {n})")
    if len({tuple(r) for r in h.cell_shifts.tolist()}) != len(h.cell_shifts):
        raise ValueError("a cell shift appears twice")
    if h._centres is not None and len(h._centres) != n:
        raise ValueError(f"{len(h._centres)} centres for {n} orbitals")
    if h.spin_degeneracy not in (1, 2):
        raise ValueError(f"spin_degeneracy is {h.spin_degeneracy}; it must be 1 or 2")
    if h.n_electrons is not None and not 0 <= h.n_electrons <= h.spin_degeneracy * n:
        raise ValueError(f"{h.n_electrons:g} electrons do not fit {n} orbitals")


def check_hermitian(h, tolerance: float) -> None:
    """ValueError unless H(-R) = H(R)^dagger up to `tolerance` (eV), naming the worst pair."""
    error, where = hermiticity_error(h.cell_shifts, h.blocks)
    if error > tolerance:
        r, row, col = where
        a, b = h.orbitals[row], h.orbitals[col]
        raise ValueError(
            f"not Hermitian: H(-R) differs from H(R)^dagger by {error:.3g} eV for atoms {a['atom']} "
            f"({a['label']}) and {b['atom']} ({b['label']}), cell {h.cell_shifts[r].tolist()}"
        )


def as_kpoint(k):
    """k as float array (3,)."""
    k = np.asarray(k, float)
    if k.shape != (3,) or not np.isfinite(k).all():
        raise ValueError(f"a k-point needs three finite fractional coordinates, got {k.tolist()}")
    return k


def as_kpoints(kpts):
    """kpts as float array (n_k, 3); a BandPath gives its points."""
    kpts = np.atleast_2d(np.asarray(getattr(kpts, "kpts", kpts), float))
    if kpts.ndim != 2 or kpts.shape[1] != 3 or not np.isfinite(kpts).all():
        raise ValueError(f"kpts must be finite and of shape (n_k, 3), got shape {kpts.shape}")
    return kpts
