"""WannierHamiltonian files: .npz without pickles, and the reference data's block files."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from ...files import atomic_write
from ..blocks import PairBlocks
from ..orbitals import DTYPE, shells_from_counts
from .compact import expanded

FORMAT = "ase_wander WannierHamiltonian 1"


def open_npz(path):
    """Arrays of an .npz as a dict, never unpickled; ValueError naming the file when it is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(f"{path}: not a readable .npz file ({error})") from None


def save(h, path):
    """Write `h` (see `WannierHamiltonian.save`); real and complex H(R) alike."""
    arrays = {
        "format": np.array(FORMAT),
        "cell_shifts": h.cell_shifts,
        "indptr": np.stack([block.indptr for block in h.blocks]).astype(np.int64),
        "indices": np.concatenate([block.indices for block in h.blocks]).astype(np.int32),
        "data": np.concatenate([block.data for block in h.blocks]),
        "n_electrons": np.array(np.nan if h.n_electrons is None else h.n_electrons),
        "spin_degeneracy": np.array(h.spin_degeneracy),
        "info": np.array(json.dumps(h.info)),
    }
    arrays |= {f"orbital_{name}": h.orbitals[name] for name in DTYPE.names}
    if h._centres is not None:
        arrays["centres"] = h._centres
    if h.atoms is not None:
        arrays |= {f"atoms_{name}": value for name, value in h.atoms.arrays.items() if value.dtype.kind in "biufU"}
        arrays |= {"cell": h.atoms.cell.array, "pbc": np.asarray(h.atoms.pbc)}
    atomic_write(path, lambda file: np.savez(file, **arrays))


def load(path):
    """Arguments of WannierHamiltonian from a file that `save` wrote."""
    arrays = open_npz(path)
    if str(arrays.get("format", "")) != FORMAT:
        raise ValueError(f"{path}: not a WannierHamiltonian file (format {str(arrays.get('format', 'missing'))!r})")
    try:
        orbitals = np.empty(len(arrays["orbital_atom"]), DTYPE)
        for name in DTYPE.names:
            orbitals[name] = arrays[f"orbital_{name}"]
        n, offset, blocks = len(orbitals), 0, []
        for indptr in arrays["indptr"]:
            piece = slice(offset, offset + int(indptr[-1]))
            blocks.append(csr_matrix((arrays["data"][piece], arrays["indices"][piece], indptr), shape=(n, n)))
            offset = piece.stop
        atoms = None
        if "atoms_numbers" in arrays:
            atoms = Atoms(
                numbers=arrays["atoms_numbers"],
                positions=arrays["atoms_positions"],
                cell=arrays["cell"],
                pbc=arrays["pbc"],
            )
            for name in arrays:
                if name.startswith("atoms_") and name not in ("atoms_numbers", "atoms_positions"):
                    atoms.set_array(name[len("atoms_") :], arrays[name])
        n_electrons = float(arrays["n_electrons"])
        return {
            "atoms": atoms,
            "orbitals": orbitals,
            "cell_shifts": arrays["cell_shifts"],
            "blocks": blocks,
            "n_electrons": None if np.isnan(n_electrons) else n_electrons,
            "spin_degeneracy": int(arrays["spin_degeneracy"]),
            "centres": arrays.get("centres"),
            "info": json.loads(str(arrays["info"])),
        }
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: damaged WannierHamiltonian file ({error})") from None


def read_dataset_file(path, n_electrons=None, cutoff=None, shells=None):
    """Arguments of `WannierHamiltonian.from_pairs` from a block file of the reference data."""
    data = open_npz(path)
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
