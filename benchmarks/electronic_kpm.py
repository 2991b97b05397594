"""Density of states of 10^6 orbitals by kernel polynomials: time, memory, and the distance from the exact one.

    python benchmarks/electronic_kpm.py                        # 500 x 500 cells of bilayer graphene, 300 elements a row
    python benchmarks/electronic_kpm.py --cells 100 --width 0.1

At Γ of N x N cells the bands are those of one cell on an N x N mesh. So the moments of the density of states are known
exactly, and with the same kernel what is left is the error of the stochastic trace.
"""

import argparse
import resource
import time

import numpy as np
from ase import Atoms
from electronic_models import DISTANCE, LATTICE, slater_koster
from scipy.sparse import csr_matrix

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.orbitals import DTYPE
from ase_wander.electronic.properties.dos import density_of_states
from ase_wander.electronic.solvers import chebyshev


def bilayer():
    """AB bilayer graphene, four atoms."""
    a = LATTICE * np.array([[1, 0, 0], [-0.5, np.sqrt(3) / 2, 0]])
    scaled = np.array([[0, 0, 0], [1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 1], [2 / 3, 1 / 3, 1]])
    positions = scaled[:, :2] @ a
    positions[:, 2] = 8 + DISTANCE * scaled[:, 2]
    return Atoms("C4", positions, cell=[*a, [0, 0, 20]], pbc=(True, True, False))


def at_gamma(h, n):
    """H of n x n cells at Γ as a Hamiltonian with one block, built row by row without a list of all pairs."""
    m, rows = h.n_orbitals, []
    for i in range(m):
        rows.append(
            [
                (r[0], r[1], j, v)
                for r, block in zip(h.cell_shifts, h.blocks)
                for j, v in zip(block[[i]].indices, block[[i]].data)
            ]
        )
    lengths = np.array([len(row) for row in rows])
    indptr = np.concatenate([[0], np.cumsum(np.tile(lengths, n * n))]).astype(np.int32)
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1])
    elements = np.concatenate([np.array(row) for row in rows])
    da, db, j, values = (
        elements[:, 0].astype(int),
        elements[:, 1].astype(int),
        elements[:, 2].astype(int),
        elements[:, 3],
    )
    b = np.arange(n)
    for a in range(n):
        stripe = ((((a + da) % n) * n + (b[:, None] + db) % n) * m + j).astype(np.int32)
        where = slice(a * stripe.size, (a + 1) * stripe.size)
        indices[where], data[where] = stripe.ravel(), np.tile(values, n)
    matrix = csr_matrix((data, indices, indptr), shape=(n * n * m, n * n * m), copy=False)
    orbitals = np.zeros(n * n * m, DTYPE)
    return WannierHamiltonian(None, orbitals, [[0, 0, 0]], [matrix], n_electrons=n * n * m, check=False)


def exact_moments(h, n, n_moments, centre, half):
    """mu_m = sum over all bands of T_m((E - centre) / half), bands of one cell on the n x n mesh."""
    mesh = np.arange(n) / n
    moments = np.zeros(n_moments)
    for a in mesh:
        kpts = np.column_stack([np.full(n, a), mesh, np.zeros(n)])
        phases = np.exp(2j * np.pi * kpts @ h.cell_shifts.T)
        matrices = np.einsum("kr,rij->kij", phases, np.array([block.toarray() for block in h.blocks]), optimize=True)
        angle = np.arccos((np.linalg.eigvalsh(matrices).ravel() - centre) / half)
        moments += [np.cos(m * angle).sum() for m in range(n_moments)]
    return moments


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--cutoff", type=float, default=11.4)
    parser.add_argument("--width", type=float, default=0.3)
    parser.add_argument("--vectors", type=int, default=4)
    arguments = parser.parse_args()
    small = slater_koster(bilayer(), arguments.cutoff)
    start = time.perf_counter()
    h = at_gamma(small, arguments.cells)
    matrix = h.blocks[0]
    print(
        f"{h.n_orbitals} orbitals, {matrix.nnz / h.n_orbitals:.0f} elements a row, {matrix.nnz * 12 / 1e9:.2f} GB, "
        f"built in {time.perf_counter() - start:.1f} s"
    )
    low, high = chebyshev.spectral_bounds(matrix)  # the same as inside density_of_states
    start, cpu = time.perf_counter(), time.process_time()
    dos = density_of_states(
        h,
        np.linspace(low + 0.2, high - 0.2, 801),
        kpts=[[0, 0, 0]],
        width=arguments.width,
        method="kpm",
        n_vectors=arguments.vectors,
    )
    print(
        f"kernel polynomials, {arguments.vectors} vectors, width {arguments.width} eV: "
        f"{time.perf_counter() - start:.1f} s "
        f"({time.process_time() - cpu:.1f} s CPU), peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
    )
    centre, half = (high + low) / 2, (high - low) / 2
    n_moments = max(16, int(np.ceil(np.pi * half / arguments.width)))
    start = time.perf_counter()
    moments = exact_moments(small, arguments.cells, n_moments, centre, half)
    exact = 2 * chebyshev.density(moments, (dos.get_energies() - centre) / half)[:, 0] / half
    error = np.abs(dos.get_weights() - exact)
    print(
        f"exact ({n_moments} moments of {h.n_orbitals} bands, {time.perf_counter() - start:.1f} s): largest difference "
        f"{error.max() / exact.max():.1e} of the "
        f"maximum, stated standard error there up to {dos.error.max() / exact.max():.1e}; "
        f"rms of difference / standard error {np.sqrt(np.mean((error / dos.error) ** 2)):.2f}"
    )


if __name__ == "__main__":
    main()
