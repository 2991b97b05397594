"""From Bloch states to Wannier functions by projection alone: no overlaps, no iterations.

Isolated manifold: A_nm = <p_m|psi_n>, A = U S V^dagger, M = U V^dagger, H(k) = conj(M^dagger E M): Wannier90 with
`num_iter = 0`. Entangled manifold: states inside a frozen window are kept, the rest of the subspace is what the
projectors reach outside them (Souza, Marzari, Vanderbilt, PRB 65, 035109 (2001), sec. III.G): `dis_num_iter = 0`. A
hard window makes the subspace jump from k to k, and H decays slowly; `faded_subspace` keeps states the more, the lower
they lie, without an edge, after the erfc weights of Damle and Lin, Multiscale Model. Simul. 16, 1392 (2018).
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfc

from ...electronic.blocks import PairBlocks


def loewdin(amplitudes: np.ndarray) -> np.ndarray:
    """Nearest matrix with orthonormal columns, U V^dagger of A = U S V^dagger; (..., n, m) with n >= m."""
    u, _, v = np.linalg.svd(amplitudes, full_matrices=False)
    return u @ v


def projectability(amplitudes: np.ndarray) -> np.ndarray:
    """Share of the orthonormalised projectors in every state, (n_k, n_bands), from 0 to 1.

    Sums to n_orbitals at every k.
    """
    return (np.abs(loewdin(amplitudes)) ** 2).sum(-1)


def disentangle(amplitudes: np.ndarray, frozen: np.ndarray) -> np.ndarray:
    """Subspace of an entangled manifold at one k.

    Parameters
    ----------
    amplitudes : ndarray of complex, shape (n_bands, n_orbitals)
        <p_m|psi_n>.
    frozen : ndarray of bool, shape (n_bands,)
        States that the subspace must contain.

    Returns
    -------
    ndarray of complex, shape (n_bands, n_orbitals)
        Orthonormal columns that span it.

    Raises
    ------
    ValueError
        More frozen states than orbitals.
    """
    n_bands, n_orbitals = amplitudes.shape
    kept, n_free = np.flatnonzero(frozen), n_orbitals - int(frozen.sum())
    if n_free < 0:
        raise ValueError(f"{len(kept)} states in the frozen window, but {n_orbitals} Wannier functions")
    out = np.zeros((n_bands, n_orbitals), complex)
    out[kept, np.arange(len(kept))] = 1.0
    if n_free:
        outside = np.where(frozen[:, None], 0.0, loewdin(amplitudes))  # Q S, with P = S S^dagger the projectors' space
        u, _, _ = np.linalg.svd(outside, full_matrices=False)  # leading eigenvectors of Q P Q
        out[:, len(kept) :] = u[:, :n_free]
    return out


def fade_weights(energies, shares, height, centre, width, gate=0.1):
    """Weight of states by energy E and share p of the orbitals in them.

    w = height^(erfc((E - centre)/width)/2) p^2/(p^2 + g^2),  g = gate erfc(E/1 eV)/2

    The first factor falls from `height` far below to 1 far above. The second keeps occupied states of another character
    out (sigma bands with a trace of p_z, times `height`, would push pi* out); above the Fermi level, where states of
    all kinds mix, it is 1, since a weight by p would not be smooth in k there.

    Parameters
    ----------
    energies : ndarray, shape (n_k, n_bands)
        eV above the Fermi level.
    shares : ndarray, shape (n_k, n_bands)
        See `projectability`.
    height, centre, width, gate : float
        `centre` and `width` in eV.
    """
    energies = np.asarray(energies)
    squared, g = np.asarray(shares) ** 2, gate * 0.5 * erfc(energies)
    return height ** (0.5 * erfc((energies - centre) / width)) * squared / (squared + g * g + 1e-30)


def faded_subspace(amplitudes, weights):
    """Subspace (..., n_bands, m) that the projectors span once every state's share is multiplied by its weight.

    With S = A (A^dagger A)^(-1/2), the columns of diag(w) S, orthonormalised: a state of weight w >> 1 lies in the
    subspace but for 1/w^2, as though frozen, and nothing jumps where weights change smoothly.
    """
    return loewdin(weights[..., None] * loewdin(amplitudes))


def wannier_gauge(amplitudes, frozen=None, weights=None):
    """M (n_k, n_bands, m) with orthonormal columns, |w_m> = sum_n |psi_n> conj(M_nm).

    Arguments as of `wannier_hamiltonian_at_k`.
    """
    if weights is not None:
        subspace = faded_subspace(amplitudes, weights)
        return subspace @ loewdin(subspace.conj().swapaxes(1, 2) @ amplitudes)
    if frozen is None:
        return loewdin(amplitudes)
    gauge = np.empty_like(amplitudes)
    for k in range(len(amplitudes)):
        subspace = disentangle(amplitudes[k], frozen[k])
        gauge[k] = subspace @ loewdin(subspace.conj().T @ amplitudes[k])
    return gauge


def wannier_hamiltonian_at_k(eigenvalues, amplitudes, frozen=None, weights=None):
    """H(k) (n_k, m, m) in the lattice gauge of the projectors' home cells.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n_k, n_bands)
        eV.
    amplitudes : ndarray of complex, shape (n_k, n_bands, m)
        For an isolated manifold n_bands = m.
    frozen : ndarray of bool, shape (n_k, n_bands), optional
        States kept exactly.
    weights : ndarray, shape (n_k, n_bands), optional
        See `faded_subspace`; then `frozen` does not count.
    """
    gauge = wannier_gauge(amplitudes, frozen, weights)
    # |w_m> = sum_n |psi_n> conj(M_nm)  ->  H(k) = conj(M^dagger E M)
    return np.einsum("knm,kn,knl->kml", gauge, eigenvalues, gauge.conj())


def wigner_seitz_blocks(hk, kpts, kweights, grid, cell, positions, n_orbitals, extent):
    """Real-space blocks on the Wigner-Seitz cell of the k-grid's supercell, pair by pair.

    H_ij(R) = sum_k w_k Re[exp(-2 pi i k.R) H_ij(k)], with -k implied by time reversal. Of the periodic images of a pair
    the nearest count; where several are equally near, the block is shared out (Wannier90's `use_ws_distance`).

    Parameters
    ----------
    hk : ndarray of complex, shape (n_k, m, m)
        eV.
    kpts : ndarray, shape (n_k, 3)
        In reciprocal lattice vectors.
    kweights : ndarray, shape (n_k,)
        Their sum is 1.
    grid : sequence of int, shape (3,)
    cell : ndarray, shape (3, 3)
        Å.
    positions : ndarray, shape (n, 3)
        Å, unwrapped; the phases of `hk` refer to them.
    n_orbitals : ndarray of int, shape (n,)
    extent : float
        Longest pair that is returned, Å.

    Returns
    -------
    dict of str to ndarray
        pair_i, pair_j, pair_shift, pair_distance, block (raveled), block_ptr, as in the reference data.
    """
    grid = np.asarray(grid)
    start = np.concatenate([[0], np.cumsum(n_orbitals)])
    n_atoms = len(positions)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid), indexing="ij"), -1).reshape(-1, 3)
    phase = np.exp(-2j * np.pi * kpts @ index.T) * np.asarray(kweights)[:, None]
    h = np.einsum("kR,kij->Rij", phase, hk, optimize=True).real  # (n_cells, m, m)
    # images: shifts congruent to `index` modulo the grid, as many as may be nearest for any pair
    span = [np.arange(-2, 2) if n > 1 else np.zeros(1, int) for n in grid]
    image = np.stack(np.meshgrid(*span, indexing="ij"), -1).reshape(-1, 3) * grid
    rows = []
    for i in range(n_atoms):
        for j in range(n_atoms):
            drift = np.round((positions[j] - positions[i]) @ np.linalg.inv(cell) / grid).astype(int) * np.where(
                grid > 1, grid, 0
            )
            shifts = index[:, None] + image[None] - drift  # (n_cells, images, 3)
            d = np.linalg.norm(shifts @ cell + positions[j] - positions[i], axis=-1)
            nearest = d.min(1, keepdims=True)
            chosen = d < nearest + 1e-5
            share = 1.0 / chosen.sum(1)
            cells, images = np.nonzero(chosen & (d <= extent))
            block = h[cells, start[i] : start[i + 1], start[j] : start[j + 1]] * share[cells, None, None]
            rows.append(
                (
                    np.full(len(cells), i),
                    np.full(len(cells), j),
                    shifts[cells, images],
                    d[cells, images],
                    block.reshape(-1),
                    np.full(len(cells), n_orbitals[i] * n_orbitals[j]),
                )
            )
    i, j, shift, distance, block, size = (np.concatenate(part) for part in zip(*rows))
    return {
        "pair_i": i.astype(np.int32),
        "pair_j": j.astype(np.int32),
        "pair_shift": shift.astype(np.int16),
        "pair_distance": distance.astype(np.float32),
        "block": block.astype(np.float32),
        "block_ptr": np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
    }


def interpolated(blocks, kpts, n_orbitals, hermitian=True):
    """H(k) (n_k, m, m) of blocks as `wigner_seitz_blocks` returns; averaged with its adjoint where `hermitian`."""
    start = np.concatenate([[0], np.cumsum(n_orbitals)])
    out = np.zeros((len(kpts), start[-1], start[-1]), complex)
    blocks = PairBlocks.from_arrays(blocks)
    phases = np.exp(2j * np.pi * np.asarray(kpts) @ blocks.pair_shift.astype(float).T)
    for p, (i, j) in enumerate(zip(blocks.pair_i, blocks.pair_j)):
        b = blocks.of_pair(p).reshape(n_orbitals[i], n_orbitals[j])
        out[:, start[i] : start[i + 1], start[j] : start[j + 1]] += phases[:, p, None, None] * b
    return 0.5 * (out + out.conj().swapaxes(1, 2)) if hermitian else out
