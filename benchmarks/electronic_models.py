"""Model Hamiltonians of a size to be measured: twisted bilayer graphene by Slater-Koster, MoS2 supercells.

Slater-Koster of P. Moon and M. Koshino, PRB 85, 195458 (2012), Eq. 3-5.
"""

import numpy as np
from ase import Atoms

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.structure import neighbour_pairs

LATTICE, DISTANCE = 2.46, 3.35


def twisted_graphene(m):
    """Rigid twisted bilayer graphene with L1 = m a1 + (m + 1) a2: 4 (3 m^2 + 3 m + 1) atoms."""
    basis = np.array([[0, 0], [1 / 3, 2 / 3]])
    layers, n = [], m + 1
    # a1, a2 at 120 degrees: the cells (m, n; -n, m - n) and (n, m; -m, n - m) are each other's mirror image
    for index, (p, q) in enumerate(((m, -n), (n, -m))):
        matrix = np.array([[p, q], [-q, p - q]])
        assert abs(round(np.linalg.det(matrix))) == 3 * m * m + 3 * m + 1
        inverse = np.linalg.inv(matrix)
        span = np.arange(-3 * n, 3 * n + 1)
        cells = np.stack(np.meshgrid(span, span, indexing="ij"), -1).reshape(-1, 1, 2)
        scaled = ((cells + basis) @ inverse).reshape(-1, 2)
        inside = scaled[((scaled > -1e-9) & (scaled < 1 - 1e-9)).all(axis=1)]
        assert len(inside) == 2 * (3 * m * m + 3 * m + 1)
        layers.append(np.column_stack([inside, np.full(len(inside), float(index))]))
    length = LATTICE * np.sqrt(3 * m * m + 3 * m + 1)
    cell = np.array([[length, 0, 0], [-length / 2, length * np.sqrt(3) / 2, 0], [0, 0, 20]])
    scaled = np.concatenate(layers)
    positions = scaled[:, :2] @ cell[:2]
    positions[:, 2] = 8 + DISTANCE * scaled[:, 2]
    return Atoms(f"C{len(positions)}", positions, cell=cell, pbc=(True, True, False))


def slater_koster(atoms, cutoff=6.0):
    """pz Hamiltonian: -t = V_pi (1 - (z/R)^2) + V_sigma (z/R)^2, exponentials of decay length 0.184 a."""
    pairs = neighbour_pairs(atoms, cutoff)
    decay = 0.184 * LATTICE
    cosine2 = (pairs.vector[:, 2] / pairs.distance) ** 2
    v_pi = -2.7 * np.exp((LATTICE / np.sqrt(3) - pairs.distance) / decay)
    v_sigma = 0.48 * np.exp((DISTANCE - pairs.distance) / decay)
    n, every = len(pairs), np.arange(len(atoms))
    return WannierHamiltonian.from_blocks(
        atoms,
        {"C": ("pz",)},
        np.append(pairs.i, every),
        np.append(pairs.j, every),
        np.append(pairs.shift, np.zeros((len(atoms), 3), int), axis=0),
        np.append(v_pi * (1 - cosine2) + v_sigma * cosine2, np.full(len(atoms), 0.78)),
        np.arange(n + len(atoms) + 1),
        n_electrons=len(atoms),
    )
