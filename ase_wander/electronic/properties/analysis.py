"""What a moiré band is made of: widths and gaps of a group, weights on layers and orbitals, |psi|^2 in space."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ...structure import plane_axes
from .. import filling
from ..solvers.kpoints import solve_kpoints
from ..validity import chosen_atoms, finite
from .dos import EXACT_LIMIT, orbital_groups


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
    if not len(group):
        raise ValueError("the group has no bands")
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
    states = np.asarray(states)
    if states.ndim not in (1, 2) or len(states) != h.n_orbitals:
        raise ValueError(f"states have the shape {states.shape}; (n_orbitals, n_states) needs {h.n_orbitals} rows")
    states = states[:, None] if states.ndim == 1 else states
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


def states_between(h, low, high, kpts=None, weights=None, **options):
    """Local density of states between two energies (eV): number of states on every atom, both spins, shape (n_atoms,).

    N_a = g sum_k w_k sum_{n: low < E_nk < high} sum_{i on a} |psi_ink|^2; with `low` below all bands and `high` in the
    gap, the electrons on every atom.

    Parameters
    ----------
    kpts, weights : optional
        By default the grid of `filling.default_grid`.
    **options
        See `kpoints.solve_kpoints`. Up to 1,000 orbitals all bands are solved, of larger cells more and more around
        the middle until they reach both energies.
    """
    if not finite(low, "low (eV)") < finite(high, "high (eV)"):
        raise ValueError(f"the energies are {low} and {high} eV; the lower one comes first")
    h.require_sites("a local density of states")
    kpts, weights = filling.normalised_points(h, kpts, weights)
    total = np.zeros(len(h.atoms))
    for k, weight in zip(kpts, weights):
        energies, states = _states_around(h, k, low, high, options)
        inside = (energies > low) & (energies < high)
        total += weight * atomic_density(h, states[:, inside]).sum(axis=1)
    return h.spin_degeneracy * total


def _states_around(h, k, low, high, options):
    """Energies (n,) and states (n_orbitals, n) at one k-point that hold all between two energies."""
    n = h.n_orbitals if h.n_orbitals <= EXACT_LIMIT else 32
    while True:
        sigma = None if n == h.n_orbitals else (low + high) / 2
        data = solve_kpoints(h, k[None], None if sigma is None else n, sigma, vectors=True, **options)
        energies = data.energies[0]
        if sigma is None or np.abs(energies - sigma).max() > (high - low) / 2:
            return energies, data.states[0]
        n = min(2 * n, h.n_orbitals)


def density_map(h, state, shape=(100, 100), width=1.0, atoms=None):
    """`|psi|^2` of one state in the plane, every atom a Gaussian.

    Parameters
    ----------
    state : ndarray (n_orbitals,)
    shape, width, atoms
        As in `atomic_map`.

    Returns
    -------
    points, density : as from `atomic_map`; the integral over the cell is the norm on the atoms
    """
    return atomic_map(h.atoms, atomic_density(h, state)[:, 0], shape, width, atoms)


def atomic_map(structure, weight, shape=(100, 100), width=1.0, atoms=None):
    """A quantity of atoms (electrons, states, a density |psi|^2) over the plane, every atom a Gaussian.

    Parameters
    ----------
    structure : ase.Atoms
    weight : array_like (n_atoms,)
    shape : (int, int)
        Points along the first two lattice vectors, the far edges not repeated.
    width : float
        Standard deviation in Å.
    atoms : array_like of int, optional
        Only these atoms (one layer, say).

    Returns
    -------
    points : ndarray (n1, n2, 2), Cartesian, Å; for layers in another plane than xy along `structure.plane_axes`
    density : ndarray (shape), in units of `weight` per Å^2
    """
    finite(width, "width", above=0)
    weight = np.asarray(weight, float)
    if weight.shape != (len(structure),) or not np.isfinite(weight).all():
        raise ValueError(f"weight must be a finite number for each of {len(structure)} atoms, not {weight.tolist()}")
    if len(shape) != 2 or not all(isinstance(n, Integral) and n > 0 for n in shape):
        raise ValueError(f"shape is {shape!r}; it must be two positive integers")
    axes = plane_axes(structure)
    cell = structure.cell.array[:2] @ axes.T
    chosen = chosen_atoms(structure, atoms)
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    # Periodic Gaussians by their Fourier series: sum_G e^{-G^2 s^2 / 2} e^{iG.(r - r_a)} / A
    scaled = structure.positions[chosen] @ axes.T @ np.linalg.inv(cell)
    reach = [int(np.ceil(6.5 * np.linalg.norm(v) / (2 * np.pi * width))) for v in cell]
    m = [np.arange(-r, r + 1) for r in reach]
    phases = [np.exp(-2j * np.pi * np.multiply.outer(n, scaled[:, a])) for a, n in enumerate(m)]
    coefficients = np.einsum("ap,bp,p->ab", phases[0], phases[1], weight[chosen], optimize=True)
    g = 2 * np.pi * np.stack(np.meshgrid(*m, indexing="ij"), -1) @ np.linalg.inv(cell).T
    coefficients = coefficients * np.exp(-(g**2).sum(axis=-1) * width**2 / 2) / abs(np.linalg.det(cell))
    waves = [np.exp(2j * np.pi * np.multiply.outer(np.arange(n) / n, k)) for n, k in zip(shape, m)]
    return grid @ cell, (waves[0] @ coefficients @ waves[1].T).real
