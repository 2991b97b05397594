"""Fermi level, gap and filling from the electron count alone."""

from __future__ import annotations

import numpy as np

from ..structure import standing_cells
from .kpath import special_points
from .validity import finite


def monkhorst_pack(size, time_reversal=True):
    """Gamma-centred grid (n_k, 3) with weights (n_k,) that sum to one; of k and -k only one is kept."""
    size = np.asarray(size, int)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1).reshape(-1, 3)
    if not time_reversal:
        return grid / size, np.full(len(grid), 1 / len(grid))
    partner = np.ravel_multi_index(((-grid) % size).T, size)
    keep = np.arange(len(grid)) <= partner
    weights = np.where(partner == np.arange(len(grid)), 1.0, 2.0)[keep]
    return grid[keep] / size, weights / weights.sum()


def default_grid(h, length=36.0):
    """Gamma-centred grid whose folded-out lattice vectors reach `length` Å, rounded up to a multiple of six.

    Multiples of six hold G, M and K of a hexagonal cell. Cells longer than `length` get one point, and so does the
    third direction of a slab.
    """
    atoms = h.require_atoms("a default k-grid")
    size = []
    for vector, periodic in zip(atoms.cell.lengths(), atoms.pbc):
        ratio = length / vector if periodic and vector > 0 else 0
        size.append(1 if ratio <= 1 else 6 * int(np.ceil(ratio / 6)))
    if atoms.pbc.all() and not _disperses_along_third(h):
        size[2] = 1
    return size


def _disperses_along_third(h):
    """Whether hoppings lead from a slab to its image along the third vector, wherever the cell boundary cuts it."""
    if (h.cell_shifts[:, 2] == 0).all():
        return False
    lifted = standing_cells(h.atoms)[h.orbitals["atom"]]
    for shift, block in zip(h.cell_shifts, h.blocks):
        coo = block.tocoo()
        if (shift[2] + lifted[coo.row] != lifted[coo.col]).any():
            return True
    return False


def default_kpts(h):
    """k-points and weights for filling: `default_grid`, with the cell's special points at weight zero.

    Without atoms, whose cell tells its size, 12 along every direction in which there are hoppings.
    """
    if h.atoms is None:
        return monkhorst_pack([12 if along.any() else 1 for along in h.cell_shifts.T], h.is_real)
    kpts, weights = monkhorst_pack(default_grid(h), h.is_real)
    special = np.array(list(special_points(h.atoms).values()))
    extra = [k for k in special if np.abs(kpts - k).max(axis=1).min() > 1e-9]
    return np.concatenate([kpts, np.reshape(extra, (-1, 3))]), np.append(weights, np.zeros(len(extra)))


def fermi_level(h, kpts=None, weights=None, **options):
    """Fermi level in eV at zero temperature: mid-gap, or where the filled weight meets the electron count.

    Only bands around the expected filling are computed; the window grows until no band outside it can matter.

    Parameters
    ----------
    h : WannierHamiltonian
    kpts, weights : array_like, shape (n_k, 3), (n_k,), optional
        By default a grid that suits the cell, with its special points. Equal weights where none are given.
    **options
        See `kpoints.solve_kpoints`.
    """
    kpts, weights = _points(h, kpts, weights)
    edges = _band_edges(h, kpts, **options)
    if edges is not None and edges[1] > edges[0]:
        return 0.5 * (edges[0] + edges[1])
    wanted = h.n_electrons / h.spin_degeneracy
    n_bands = min(h.n_orbitals, 8)
    while True:
        window = h.band_window(n_bands)
        energies = h.eigenvalues(kpts, n_bands, **options) if n_bands < h.n_orbitals else h.eigenvalues(kpts, **options)
        level = filling_level(energies, weights, wanted - window.start)
        # Band window.stop - 1 crosses the level somewhere: those above may too (likewise at the bottom).
        low_enough = window.start == 0 or energies[:, 0].max() < level
        high_enough = window.stop == h.n_orbitals or energies[:, -1].min() > level
        if low_enough and high_enough:
            return level
        n_bands = min(2 * n_bands, h.n_orbitals)


def level_at_density(h, carriers, kpts=None, weights=None, **options):
    """Fermi level in eV with `carriers` (per cm^2 of the cell's area) added: positive electrons, negative holes.

    The bands stay rigid. A density that fills only a small pocket needs a k-grid that resolves it.
    """
    finite(carriers, "carriers (per cm^2)")
    area = np.linalg.norm(np.cross(*h.require_atoms("a carrier density").cell.array[:2]))
    # 1 Å^2 = 1e-16 cm^2
    return fermi_level(h.replace(n_electrons=h.n_electrons + carriers * area * 1e-16), kpts, weights, **options)


def filling_level(energies, weights, count):
    """Energy that `count` states per cell fill, given (n_k, n_b) energies and weights; mid-gap where there is one."""
    flat = energies.ravel()
    order = np.argsort(flat)
    filled = np.cumsum(np.repeat(weights, energies.shape[1])[order])
    at = int(np.searchsorted(filled, count - 1e-9))
    if at >= len(flat):
        return float(flat[order[-1]])
    if abs(filled[at] - count) < 1e-9 and at + 1 < len(flat):
        return float((flat[order[at]] + flat[order[at + 1]]) / 2)
    return float(flat[order[at]])


def band_gap(h, kpts=None, direct=False, **options):
    """Fundamental gap in eV on `kpts` (default as in `fermi_level`), 0 for a metal.

    With `direct` the smallest vertical one.
    """
    kpts, _ = _points(h, kpts, None)
    edges = _band_edges(h, kpts, direct=direct, **options)
    return 0.0 if edges is None else max(0.0, float(edges[1] - edges[0]))


def normalised_points(h, kpts=None, weights=None):
    """k-points (n_k, 3) and weights (n_k,) that sum to one, by default those of `default_grid`.

    Raises
    ------
    ValueError
        For weights of another number than the k-points, negative, not finite or all zero.
    """
    if kpts is None:
        if weights is not None:
            raise ValueError("weights without kpts")
        return monkhorst_pack(default_grid(h), h.is_real)
    kpts = h.kpoints(kpts)
    weights = np.full(len(kpts), 1.0) if weights is None else np.asarray(weights, float)
    if weights.shape != (len(kpts),):
        raise ValueError(f"weights of shape {weights.shape} for {len(kpts)} k-points")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("k-point weights must be finite, not negative, and some of them positive")
    return kpts, weights / weights.sum()


def _points(h, kpts, weights):
    return default_kpts(h) if kpts is None else normalised_points(h, kpts, weights)


def _band_edges(h, kpts, direct=False, **options):
    """(valence maximum, conduction minimum), of one k with `direct`; None when the count leaves no gap."""
    occupied = h.n_occupied
    if not 0 < occupied < h.n_orbitals or abs(h.n_electrons - h.spin_degeneracy * occupied) > 1e-6:
        return None
    pair = h.eigenvalues(kpts, 2, **options)
    if direct:
        return pair[np.argmin(pair[:, 1] - pair[:, 0])]
    return pair[:, 0].max(), pair[:, 1].min()
