"""Checks of a Hamiltonian and of k-points, before anything is computed from them."""

from __future__ import annotations

from numbers import Real

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


#: Fractional coordinates beyond this have lost the digits that tell one k-point from another.
FARTHEST = 1e6


def finite(value, what, least=None, above=None) -> float:
    """A finite real number as float; ValueError naming `what` for anything else, and for one below the bound.

    Parameters
    ----------
    value : object
    what : str
        Name and unit, as "width (eV)".
    least, above : float, optional
        Smallest value that is allowed; value above which it must lie. 0 in use.
    """
    is_real = isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and np.isfinite(value)
    if not is_real or (least is not None and value < least) or (above is not None and value <= above):
        kind = "positive" if above == 0 else "non-negative" if least == 0 else "a finite number"
        raise ValueError(f"{what} is {value!r}; it must be {kind}")
    return float(value)


def chosen_atoms(structure, atoms) -> np.ndarray:
    """Indices (n,) of atoms of a structure, all for None; ValueError for none, or for one that does not exist."""
    if atoms is None:
        return np.arange(len(structure))
    index = np.asarray(atoms)
    if index.ndim != 1 or not len(index) or not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"atoms are {atoms!r}; they must be indices, at least one")
    wrong = index[(index < 0) | (index >= len(structure))]
    if len(wrong):
        raise ValueError(f"atom {wrong[0]}: they are 0 to {len(structure) - 1}")
    return index


def as_kpoint(k):
    """k as float array (3,)."""
    k = _real(k)
    if k.shape != (3,) or not (np.abs(k) <= FARTHEST).all():
        raise ValueError(f"a k-point needs three finite fractional coordinates, got {k.tolist()}")
    return k


def as_kpoints(kpts):
    """kpts as float array (n_k, 3); a BandPath gives its points."""
    kpts = np.atleast_2d(_real(getattr(kpts, "kpts", kpts)))
    if kpts.ndim != 2 or kpts.shape[1] != 3 or not (np.abs(kpts) <= FARTHEST).all():
        raise ValueError(f"kpts must be finite and of shape (n_k, 3), got shape {kpts.shape}")
    return kpts


def _real(k):
    try:
        return np.asarray(k, float)
    except TypeError:
        raise ValueError(f"k-points are fractional coordinates, real numbers; got {k!r}") from None
