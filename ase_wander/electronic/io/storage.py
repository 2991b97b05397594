"""WannierHamiltonian files: .npz without pickles, and the reference data's block files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from ase import Atoms

from ...archives import read_npz, write_npz
from ...files import check_structure
from ..blocks import PairBlocks, hermiticity_error, opposite_shifts
from ..orbitals import DTYPE, LABELS, shells_from_counts
from .checked import check_finite, checked_csr, whole_numbers
from .compact import expanded

#: Formats that are read; files of the first have no checksum.
FORMATS = ("ase_wander WannierHamiltonian 1", "ase_wander WannierHamiltonian 2")

#: An H(R) that is not Hermitian is so throughout (the published networks); fewer wrong elements than this are damage.
WRONG_FRACTION = 0.5

#: Largest |H(-R) - H(R)^dagger| (eV) that counts as rounding.
TOLERANCE = 1e-5


def save(h, path):
    """Write `h` (see `WannierHamiltonian.save`); real and complex H(R) alike."""
    arrays = {
        "format": np.array(FORMATS[-1]),
        "cell_shifts": h.cell_shifts,
        "indptr": np.stack([block.indptr for block in h.blocks]).astype(np.int64),
        "indices": np.concatenate([block.indices for block in h.blocks]).astype(np.int32),
        "data": np.concatenate([block.data for block in h.blocks]),
        "n_electrons": np.array(np.nan if h.n_electrons is None else h.n_electrons),
        "spin_degeneracy": np.array(h.spin_degeneracy),
        "hermitian": np.array(bool(h.is_hermitian)),
        "info": np.array(json.dumps(h.info)),
    }
    arrays |= {f"orbital_{name}": h.orbitals[name] for name in DTYPE.names}
    if h._centres is not None:
        arrays["centres"] = h._centres
    if h.atoms is not None:
        arrays |= {f"atoms_{name}": value for name, value in h.atoms.arrays.items() if value.dtype.kind in "biufU"}
        arrays |= {"cell": h.atoms.cell.array, "pbc": np.asarray(h.atoms.pbc)}
    write_npz(path, arrays)


def load(path):
    """Arguments of WannierHamiltonian from a file that `save` wrote.

    Raises
    ------
    ValueError
        Naming the file: damaged, indices out of range, numbers that are not finite, an H that has lost its Hermiticity.
    """
    arrays = read_npz(path, required=lambda arrays: str(arrays.get("format", "")) == FORMATS[-1])
    found = str(arrays.get("format", "missing"))
    if found not in FORMATS:
        raise ValueError(f"{path}: not a WannierHamiltonian file (format {found[:60]!r})")
    try:
        atoms = _atoms(arrays)
        orbitals = _orbitals(arrays, atoms)
        blocks = _blocks(arrays, len(orbitals))
        shifts = whole_numbers(arrays["cell_shifts"], "cell_shifts").reshape(-1, 3)
        _check_hermitian(shifts, blocks, arrays.get("hermitian"))
        n_electrons = float(arrays["n_electrons"])
        centres = arrays.get("centres")
        if centres is not None:
            check_finite(centres, "centres")
        info = json.loads(str(arrays["info"]))
        if not isinstance(info, dict):
            raise ValueError("info is no mapping")
        return {
            "atoms": atoms,
            "orbitals": orbitals,
            "cell_shifts": shifts,
            "blocks": blocks,
            "n_electrons": None if np.isnan(n_electrons) else n_electrons,
            "spin_degeneracy": int(arrays["spin_degeneracy"]),
            "centres": centres,
            "info": info,
        }
    except MemoryError:
        raise
    except Exception as error:  # arrays of other shapes and types than `save` wrote stumble in many places
        missing = "array missing: " if isinstance(error, KeyError) else ""
        raise ValueError(f"{path}: damaged WannierHamiltonian file ({missing}{error})") from None


def _atoms(arrays):
    if "atoms_numbers" not in arrays:
        return None
    numbers = whole_numbers(arrays["atoms_numbers"], "numbers", 0, 118)
    atoms = Atoms(numbers, positions=arrays["atoms_positions"], cell=arrays["cell"], pbc=arrays["pbc"])
    for name in arrays:
        if name.startswith("atoms_") and name not in ("atoms_numbers", "atoms_positions"):
            atoms.set_array(name[len("atoms_") :], arrays[name])
    check_structure(atoms)
    if np.linalg.matrix_rank(atoms.cell.array[atoms.pbc], tol=1e-3) < atoms.pbc.sum():
        raise ValueError(f"the cell {atoms.cell.array.tolist()} does not span its periodic directions")
    return atoms


def _orbitals(arrays, atoms):
    orbitals = np.empty(len(arrays["orbital_atom"]), DTYPE)
    highest = {
        "atom": len(orbitals) if atoms is None else len(atoms) - 1,
        "l": max(LABELS),
        "m": max(LABELS),
        "spin": 1,
    }
    for name in DTYPE.names:
        column = arrays[f"orbital_{name}"]
        if column.shape != orbitals.shape or (column.dtype.kind in "US") != (name == "label"):
            raise ValueError(f"orbital_{name} of shape {column.shape} and type {column.dtype}")
        if name in highest:
            column = whole_numbers(column, f"orbital_{name}", -highest[name] if name in "m spin" else -1, highest[name])
        orbitals[name] = column
    wrong = np.flatnonzero((orbitals["l"] >= 0) & (abs(orbitals["m"]) > orbitals["l"]))
    if len(wrong):
        raise ValueError(f"orbital {wrong[0]} has l = {orbitals['l'][wrong[0]]} and m = {orbitals['m'][wrong[0]]}")
    return orbitals


def _blocks(arrays, n):
    indptr, indices, data = (arrays[name] for name in ("indptr", "indices", "data"))
    if indptr.ndim != 2 or indptr.dtype.kind not in "iu" or not (indptr[:, -1] >= 0).all() or len(indices) != len(data):
        raise ValueError(f"row pointers of shape {indptr.shape}, {len(indices)} columns for {len(data)} elements")
    first = np.append(0, np.cumsum(indptr[:, -1], dtype=np.int64))
    if first[-1] != len(data) or (first[1:] < first[:-1]).any():
        raise ValueError(f"row pointers of {first[-1]} elements, there are {len(data)}")
    return [
        checked_csr(data[a:b], indices[a:b], pointers, n, f"block {k}")
        for k, (a, b, pointers) in enumerate(zip(first, first[1:], indptr))
    ]


def _check_hermitian(shifts, blocks, hermitian):
    """ValueError where H(-R) = H(R)^dagger was true when the file was written, or is true but for some elements."""
    if hermitian is not None and not bool(hermitian):
        return
    error, where = hermiticity_error(shifts, blocks)
    if error <= TOLERANCE:
        return
    wrong = total = 0
    for block, other in zip(blocks, opposite_shifts(shifts)):
        difference = block - (blocks[other].conj().T if other >= 0 else 0 * block)
        wrong, total = wrong + (abs(difference.data) > TOLERANCE).sum(), total + block.nnz
    if hermitian is not None or wrong < WRONG_FRACTION * total:
        r, row, column = where
        raise ValueError(
            f"not Hermitian: element {row}, {column} of cell {shifts[r].tolist()} differs by {error:.3g} eV from its "
            f"counterpart, as {wrong} of {total} elements do"
        )


def read_dataset_file(path, n_electrons=None, cutoff=None, shells=None):
    """Arguments of `WannierHamiltonian.from_pairs` from a block file of the reference data."""
    data = read_npz(path)
    needed = ("pair_i", "pair_j", "pair_shift", "block", "block_ptr", "numbers", "positions", "cell")
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"{path}: no block file, {', '.join(missing)} missing")
    data = expanded(data)
    atoms = Atoms(
        numbers=data["numbers"],
        positions=data["positions"],
        cell=data["cell"],
        pbc=data.get("pbc", (True, True, False)),
    )
    blocks = PairBlocks.from_arrays(data)
    if shells is None:
        counts, onsite = np.zeros(len(atoms), int), blocks.onsite
        counts[blocks.pair_i[onsite]] = np.rint(np.sqrt(blocks.sizes[onsite])).astype(int)
        shells = shells_from_counts(atoms.symbols, counts)
    if cutoff is not None:
        blocks = blocks.take(data["pair_distance"] <= cutoff)
    if n_electrons is None:
        if not {"eigenvalues", "efermi", "kweights"} <= set(data):
            raise ValueError(f"{path}: give n_electrons, the file has no eigenvalues and efermi to count them")
        below = (data["eigenvalues"] < data["efermi"]).sum(axis=1)
        n_electrons = 2 * round(float(below @ data["kweights"]) / float(data["kweights"].sum()))
    return {"atoms": atoms, "shells": shells, "blocks": replace(blocks, n_electrons=n_electrons)}
