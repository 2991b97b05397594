"""Arrays of a Hamiltonian file: blocks of atom pairs, eigenvalues on a k-grid, and whether they fit together."""

from __future__ import annotations

import os
import zipfile
from functools import lru_cache

import numpy as np

#: Arrays that hold the elements, and those that hold the bands.
BLOCK_ARRAYS = ("pair_i", "pair_j", "pair_shift", "pair_distance", "block", "block_ptr")
BAND_ARRAYS = ("kpts", "kweights", "eigenvalues")


def contents(file) -> frozenset:
    """Names of the arrays in an `.npz`; none for one that cannot be read, which is refused when it is loaded."""
    try:
        state = os.stat(file)
        return _contents(os.fspath(file), state.st_mtime_ns, state.st_size)
    except (OSError, zipfile.BadZipFile):
        return frozenset()


@lru_cache(maxsize=10_000)
def _contents(file, mtime_ns, size):
    """`contents` of a file as it was at that time: every term of every stage asks."""
    with zipfile.ZipFile(file) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def shifted(data, vacuum_level):
    """The arrays with `vacuum_level` (eV) taken off the diagonals of the on-site blocks and off the eigenvalues."""
    data = dict(data)
    if "eigenvalues" in data:
        data["eigenvalues"] = data["eigenvalues"] - vacuum_level
    if "block" in data:
        data["block"] = data["block"].astype(float)
        onsite = (data["pair_i"] == data["pair_j"]) & ~data["pair_shift"].any(axis=1)
        for start, stop in zip(data["block_ptr"][:-1][onsite], data["block_ptr"][1:][onsite]):
            data["block"][start : stop : round((stop - start) ** 0.5) + 1] -= vacuum_level
    return data


def check_eigenvalues(data, n_atoms, n_orbitals=None) -> None:
    """ValueError unless k-points, weights and eigenvalues of a Hamiltonian file fit together and are finite numbers."""
    for name in ("kpts", "kweights"):
        if name not in data:
            raise ValueError(f"eigenvalues without {name}")
    n_k = len(np.atleast_1d(data["kpts"]))
    n_bands = data["eigenvalues"].shape[-1] if data["eigenvalues"].ndim else 0
    _check_shapes(
        data,
        {
            "kpts": (n_k, 3),
            "kweights": (n_k,),
            "eigenvalues": (n_k, n_bands if n_orbitals is None else int(np.sum(n_orbitals))),
        },
    )
    _check_finite(data, BAND_ARRAYS)


def _check_shapes(data, shapes):
    for name, shape in shapes.items():
        if name in data and data[name].shape != shape:
            raise ValueError(f"{name} has shape {data[name].shape}, expected {shape}")
        if name in data and data[name].dtype.kind not in "iuf":
            raise ValueError(f"{name} holds {data[name].dtype}, not real numbers")


def _check_finite(data, names):
    for name in names:
        if name in data and not np.isfinite(data[name]).all():
            raise ValueError(f"{name} is not finite")


def check_blocks(data, n_atoms, n_orbitals=None) -> None:
    """ValueError unless shapes, indices and block sizes of a Hamiltonian file agree and all numbers are finite."""
    n_pairs = len(np.atleast_1d(data["pair_i"]))
    if "eigenvalues" in data:
        check_eigenvalues(data, n_atoms, n_orbitals)
    _check_shapes(
        data,
        {
            "pair_i": (n_pairs,),
            "pair_j": (n_pairs,),
            "pair_shift": (n_pairs, 3),
            "block_ptr": (n_pairs + 1,),
            "pair_distance": (n_pairs,),
            "block": (data["block"].size,),
        },
    )
    i, j, shift, ptr = (data[k].astype(int) for k in ("pair_i", "pair_j", "pair_shift", "block_ptr"))
    for name, index in (("pair_i", i), ("pair_j", j)):
        if ((index < 0) | (index >= n_atoms)).any():
            p = int(np.argmax((index < 0) | (index >= n_atoms)))
            raise ValueError(f"{name} of pair {p} is {index[p]}, the structure has {n_atoms} atoms")
    size = np.diff(ptr)
    if ptr[0] != 0 or (size < 0).any() or ptr[-1] != len(data["block"]):
        raise ValueError(
            f"block_ptr runs from {ptr[0]} to {ptr[-1]}, but block has {len(data['block'])} elements"
            + (", and it falls" if (size < 0).any() else "")
        )
    if n_orbitals is not None:
        expected = np.asarray(n_orbitals)[i] * np.asarray(n_orbitals)[j]
        if (size != expected).any():
            p = int(np.argmax(size != expected))
            raise ValueError(f"block of pair {p} (atoms {i[p]}, {j[p]}) has {size[p]} elements, expected {expected[p]}")
    onsite = i[(i == j) & ~shift.any(axis=1)]
    if len(np.unique(onsite)) < n_atoms:
        raise ValueError(f"no on-site block of atom {np.setdiff1d(np.arange(n_atoms), onsite)[0]}")
    if not np.isfinite(data["block"]).all():
        p = int(np.searchsorted(ptr, np.argmin(np.isfinite(data["block"])), side="right")) - 1
        raise ValueError(f"block of pair {p} (atoms {i[p]}, {j[p]}, shift {shift[p].tolist()}) is not finite")
    _check_finite(data, ("pair_distance",))
