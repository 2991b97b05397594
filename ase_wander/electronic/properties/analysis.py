"""What a moiré band is made of: widths and gaps of a group, weights on layers and orbitals, |psi|^2 in space."""

from __future__ import annotations

import numpy as np

from ...structure import plane_axes
from ..solvers.kpoints import solve_kpoints
from .dos import orbital_groups


def band_group(energies, indices, group):
    """Width and isolation of a group of bands.

    Parameters
    ----------
    energies : ndarray (n_k, n_bands), eV
    indices : sequence of int, length n_bands
        Absolute indices of the columns.
    group : sequence of int
        Absolute indices of the bands of the group.

    Returns
    -------
    dict
        bottom, top, width (eV); gap_below, gap_above: indirect gaps to the neighbours, negative where they
        overlap, NaN where the neighbour was not computed.
    """
    indices, group = np.asarray(indices), np.sort(np.asarray(group))
    missing = [int(b) for b in group if b not in indices]
    if missing:
        raise ValueError(f"band {missing[0]} is not among the computed {indices.min()} to {indices.max()}")
    inside = energies[:, np.isin(indices, group)]
    bottom, top = float(inside.min()), float(inside.max())
    below, above = energies[:, indices == group[0] - 1], energies[:, indices == group[-1] + 1]
    return {
        "bottom": bottom,
        "top": top,
        "width": top - bottom,
        "gap_below": bottom - float(below.max()) if below.size else np.nan,
        "gap_above": float(above.min()) - top if above.size else np.nan,
    }


def fat_bands(h, kpts, n_bands=None, sigma=None, project="layer", **options):
    """Energies (n_k, n_bands) and weights {name: (n_k, n_bands)} of states on groups of orbitals.

    `project` as in `dos.density_of_states`: "layer", "species", "atom", "shell" or a dict of orbital indices. The
    weights of a partition of the orbitals add up to one.
    """
    groups = orbital_groups(h, project)
    data = solve_kpoints(h, h.kpoints(kpts), n_bands, sigma, vectors=True, **options)
    density = np.abs(data.states) ** 2
    return data.energies, {name: density[:, index].sum(axis=1) for name, index in groups.items()}


def atomic_density(h, states):
    """`|psi|^2` summed over the orbitals of every atom: (n_atoms, n_states) of states (n_orbitals, n_states)."""
    states = np.asarray(states).reshape(h.n_orbitals, -1)
    density = np.zeros((len(h.require_sites("a density map")), states.shape[1]))
    np.add.at(density, h.orbitals["atom"], np.abs(states) ** 2)
    return density


def matrix_elements(perturbation, k, states, others=None):
    """`<psi_a| dH(k) |psi_b>` in the units of `perturbation` (a WannierHamiltonian-like dH, eV or eV/Å).

    With dH the derivative of H along a phonon these are electron-phonon matrix elements at q = 0, with dH along a
    strain the deformation potentials; the diagonal is the first-order shift of the bands (Hellmann-Feynman).

    Parameters
    ----------
    states, others : ndarray (n_orbitals, n_a), (n_orbitals, n_b)
        In the lattice gauge; `others` defaults to `states`.
    """
    others = states if others is None else others
    return states.conj().T @ (perturbation.at_k(k) @ others)


def density_map(h, state, shape=(100, 100), width=1.0, atoms=None):
    """`|psi|^2` of one state in the plane, every atom a Gaussian.

    Parameters
    ----------
    state : ndarray (n_orbitals,)
    shape : (int, int)
        Points along the first two lattice vectors, the far edges not repeated.
    width : float
        Standard deviation in Å.
    atoms : array_like of int, optional
        Only these atoms (one layer, say).

    Returns
    -------
    points : ndarray (n1, n2, 2), Cartesian, Å; for layers in another plane than xy along `structure.plane_axes`
    density : ndarray (shape), 1/Å^2; its integral over the cell is the norm on the atoms
    """
    if not np.isfinite(width) or width <= 0:
        raise ValueError(f"width is {width} Å; it must be positive")
    weight = atomic_density(h, state)[:, 0]
    axes = plane_axes(h.atoms)
    cell = h.atoms.cell.array[:2] @ axes.T
    chosen = np.arange(len(h.atoms)) if atoms is None else np.asarray(atoms)
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    # Periodic Gaussians by their Fourier series: sum_G e^{-G^2 s^2 / 2} e^{iG.(r - r_a)} / A
    scaled = h.atoms.positions[chosen] @ axes.T @ np.linalg.inv(cell)
    reach = [int(np.ceil(6.5 * np.linalg.norm(v) / (2 * np.pi * width))) for v in cell]
    m = [np.arange(-r, r + 1) for r in reach]
    phases = [np.exp(-2j * np.pi * np.multiply.outer(n, scaled[:, a])) for a, n in enumerate(m)]
    coefficients = np.einsum("ap,bp,p->ab", phases[0], phases[1], weight[chosen], optimize=True)
    g = 2 * np.pi * np.stack(np.meshgrid(*m, indexing="ij"), -1) @ np.linalg.inv(cell).T
    coefficients = coefficients * np.exp(-(g**2).sum(axis=-1) * width**2 / 2) / abs(np.linalg.det(cell))
    waves = [np.exp(2j * np.pi * np.multiply.outer(np.arange(n) / n, k)) for n, k in zip(shape, m)]
    return grid @ cell, (waves[0] @ coefficients @ waves[1].T).real
