"""Displacements of the atoms of a layered cell: random ones, and smooth waves that fit into the cell."""

from __future__ import annotations

import numpy as np
from ase import Atoms

#: Sorts of waves that `waves` knows.
WAVES = ("in_plane", "flexural", "optical")


def random_displacements(n_atoms: int, sigma: float, rng) -> np.ndarray:
    """Normally distributed displacements (n_atoms, 3) with standard deviation `sigma` along each axis, Å."""
    return sigma * rng.standard_normal((n_atoms, 3))


def commensurate_vectors(plane: np.ndarray, matrix: np.ndarray, largest: int = 1) -> np.ndarray:
    """Wave vectors, in reciprocal vectors of the supercell, of waves that fit into it.

    Parameters
    ----------
    plane : ndarray, shape (2, 2)
        Supercell vectors as rows, Å.
    matrix : ndarray of int, shape (2, 2)
        Supercell vectors in lattice vectors of the layer.
    largest : int
        Largest integer of a component.

    Returns
    -------
    ndarray of int, shape (n, 2)
        Without zero and without vectors of the layer's own reciprocal lattice (which displace every cell alike);
        one of each pair ±q, shortest first.
    """
    grid = np.stack(np.meshgrid(*[np.arange(-largest, largest + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    grid = grid[(grid[:, 0] > 0) | ((grid[:, 0] == 0) & (grid[:, 1] > 0))]
    # q = n B_super is a vector of the layer's reciprocal lattice when n matrix^-T is integer
    inner = grid @ np.linalg.inv(matrix).T
    grid = grid[abs(inner - np.round(inner)).max(axis=1) > 1e-9]
    length = np.linalg.norm(grid @ np.linalg.inv(plane).T, axis=1)
    return grid[np.lexsort((grid[:, 1], grid[:, 0], np.round(length, 6)))]


def waves(
    atoms: Atoms, layers: np.ndarray, sublattices: np.ndarray, matrix: np.ndarray, amplitudes: dict, rng
) -> np.ndarray:
    """Superposed standing waves u(r) = A e cos(2 pi n.s + phi), s the fractional coordinates of the supercell.

    Each layer gets its own wave of each sort, so that gap and registry are modulated along the cell.
    "in_plane": all atoms of the layer move along one direction e in the plane; "flexural": along z; "optical": every
    sublattice has its own direction, with no net displacement (n = 0 is allowed).  The amplitude is uniform between 0
    and the given one, n one of the three shortest commensurate vectors.

    Parameters
    ----------
    atoms : ase.Atoms
    layers, sublattices : ndarray of int, shape (n_atoms,)
        Layer, and index of the atom in the primitive cell of its layer.
    matrix : ndarray of int, shape (2, 2)
        Supercell vectors in lattice vectors of the layers.
    amplitudes : dict
        Largest amplitude, Å, by sort.

    Returns
    -------
    ndarray, shape (n_atoms, 3)
        Å.

    Raises
    ------
    ValueError
        For in-plane or flexural waves in a cell into which none fits.
    """
    plane = atoms.cell.array[:2, :2]
    vectors = commensurate_vectors(plane, matrix)[:3]
    fractional = atoms.positions[:, :2] @ np.linalg.inv(plane)
    out = np.zeros((len(atoms), 3))
    for sort in WAVES:  # a fixed order: the random numbers of one sort do not depend on how the others are listed
        if not amplitudes.get(sort):
            continue
        if sort != "optical" and len(vectors) == 0:
            raise ValueError(f"no {sort} wave fits into a primitive cell: use a supercell")
        choices = np.vstack([np.zeros((1, 2), int), vectors]) if sort == "optical" else vectors
        for layer in np.unique(layers):
            own = np.flatnonzero(layers == layer)
            amplitude = amplitudes[sort] * rng.random()
            n = choices[rng.integers(len(choices))]
            phase = np.cos(2 * np.pi * (fractional[own] @ n + rng.random()))
            out[own] += amplitude * phase[:, None] * _directions(sort, sublattices[own], rng)
    return out


def _directions(sort, sublattices, rng):
    """Unit vectors (n, 3) along which the atoms of one layer move."""
    if sort == "flexural":
        return np.array([0.0, 0.0, 1.0])
    if sort == "in_plane":
        angle = 2 * np.pi * rng.random()
        return np.array([np.cos(angle), np.sin(angle), 0.0])
    n = sublattices.max() + 1
    vectors = rng.standard_normal((n, 3))
    vectors -= vectors.mean(axis=0)
    vectors /= max(np.sqrt((vectors**2).sum(axis=1).mean()), 1e-12)
    return vectors[sublattices]
