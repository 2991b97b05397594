"""Hamiltonian files at a third of their size: pairs up to a cutoff, no reverse pairs, rounded to about 1 µeV.

H(-R) = H(R)ᵀ gives the reverse of a pair, the structure gives its distance. Elements and eigenvalues are multiples of
2^-20 eV, far below the noise of any label (0.01 meV); single precision holds them exactly up to 16 eV, and their zero
bits compress.
"""

from __future__ import annotations

import numpy as np

from ...structure import one_of_each_pair

#: Elements and eigenvalues are multiples of it, eV.
STEP = 2.0**-20

#: Largest difference (eV) between a block and the transposed block of the reverse pair.
HERMITIAN = 1e-5

#: Array that marks a compact file: its cutoff in Å.
MARK = "half_cutoff"


def compact(data: dict, cutoff: float) -> dict:
    """Arrays of a Hamiltonian file with the pairs up to `cutoff` (Å), one of each pair and its reverse.

    Parameters
    ----------
    data : dict of str to ndarray
        Arrays of a whole or a compact file; of one without blocks only the eigenvalues are rounded.
    cutoff : float
        Å.

    Raises
    ------
    ValueError
        For a pair whose reverse is missing or not its transpose.
    """
    data = expanded(data)
    out = {k: v for k, v in data.items() if k != "pair_distance"}
    if "eigenvalues" in data:
        out["eigenvalues"] = rounded(data["eigenvalues"])
    if "block" not in data:
        return out
    i, j, shift, ptr = (np.asarray(data[k]).astype(int) for k in ("pair_i", "pair_j", "pair_shift", "block_ptr"))
    near = pair_distances(data) <= cutoff
    pairs = list(zip(i.tolist(), j.tolist(), *shift.T.tolist()))
    index = {key: p for p, key in enumerate(pairs)}
    first = one_of_each_pair(i, j, -shift) | ((i == j) & ~shift.any(axis=1))
    size, kept, blocks = block_sizes(data), [], []
    for p, key in enumerate(pairs):
        other = (key[1], key[0], *(-s for s in key[2:]))
        if not near[p] or (not first[p] and other in index):
            continue
        block, q = data["block"][ptr[p] : ptr[p + 1]], index.get(other)
        back = None if q is None else data["block"][ptr[q] : ptr[q + 1]].reshape(size[j[p]], size[i[p]]).T.ravel()
        if back is None or np.abs(block - back).max(initial=0) > HERMITIAN:
            lack = "has no reverse pair" if back is None else "is not the transpose of that of the reverse pair"
            raise ValueError(f"block of pair {p} (atoms {i[p]}, {j[p]}, shift {shift[p].tolist()}) {lack}")
        kept.append(p)
        blocks.append(block)
    return out | {
        "pair_i": i[kept].astype(np.int32),
        "pair_j": j[kept].astype(np.int32),
        "pair_shift": shift[kept].astype(np.int16),
        "block_ptr": np.concatenate([[0], np.cumsum(np.diff(ptr)[kept])]),
        "block": rounded(np.concatenate(blocks)),
        MARK: np.asarray(float(cutoff)),
    }


def expanded(data: dict) -> dict:
    """Arrays of a whole file from those of a compact one; others are returned as they are."""
    if MARK not in data:
        return data
    out = {k: v for k, v in data.items() if k != MARK}
    i, j, shift, ptr = (np.asarray(data[k]).astype(int) for k in ("pair_i", "pair_j", "pair_shift", "block_ptr"))
    size = block_sizes(data)
    twice = np.flatnonzero((i != j) | shift.any(1))  # all but the on-site blocks
    back = [data["block"][ptr[p] : ptr[p + 1]].reshape(size[i[p]], size[j[p]]).T.ravel() for p in twice]
    lengths = np.concatenate([np.diff(ptr), np.diff(ptr)[twice]])
    out["pair_i"] = np.concatenate([i, j[twice]]).astype(np.int32)
    out["pair_j"] = np.concatenate([j, i[twice]]).astype(np.int32)
    out["pair_shift"] = np.concatenate([shift, -shift[twice]]).astype(np.int16)
    out["block"] = np.concatenate([data["block"], *back])
    out["block_ptr"] = np.concatenate([[0], np.cumsum(lengths)])
    out["pair_distance"] = pair_distances(out)
    return out


def rounded(values) -> np.ndarray:
    """Multiples of STEP in single precision."""
    return (np.round(np.asarray(values, float) / STEP) * STEP).astype(np.float32)


def pair_distances(data) -> np.ndarray:
    """Distances (Å) of the pairs of a file, from its own positions and cell."""
    a, b = (data["positions"][np.asarray(data[k]).astype(int)] for k in ("pair_i", "pair_j"))
    return np.linalg.norm(b + np.asarray(data["pair_shift"]) @ data["cell"] - a, axis=1)


def block_sizes(data) -> np.ndarray:
    """Orbitals of every atom, from the on-site blocks; ValueError for an atom without one.

    Every block of an atom with itself is square, whatever its shift.
    """
    i, j, shift = (np.asarray(data[k]).astype(int) for k in ("pair_i", "pair_j", "pair_shift"))
    onsite = np.flatnonzero((i == j) & ~shift.any(axis=1))
    out = np.zeros(len(data["positions"]), int)
    out[i[onsite]] = np.round(np.sqrt(np.diff(data["block_ptr"])[onsite])).astype(int)
    if not out.all():
        raise ValueError(f"no on-site block of atom {int(np.argmin(out))}")
    return out
