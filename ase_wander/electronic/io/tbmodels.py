"""Files of TBmodels (.hdf5), read and written with h5py alone; TBmodels itself need not be there.

Layout of `tbmodels.Model.to_hdf5`, TBmodels 1.4: H = sum over the stored R of (H_R e^{2 pi i k.R}) + its conjugate,
with one of each pair R, -R (first non-zero component positive) and half of H(0); H_R[i, j] = <i,0|H|j,R>.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from ..orbitals import DTYPE
from .checked import check_finite, checked_csr, whole_numbers
from .hdf5 import read_hdf5

#: Orbitals of a model; TBmodels' own files hold thousands.
MAX_SIZE = 1_000_000


def write_tbmodels(h, path):
    """Write `h` as a sparse TBmodels file; ImportError without h5py.

    The orbitals' names and the electron count beyond TBmodels' number of occupied states are not in the format.
    """
    h5py = _h5py()
    atoms = h.require_atoms("a TBmodels file")
    positions = h.scaled_centres
    # TBmodels moves orbitals into the home cell when it reads: do so here, H_ij(R) -> H_ij(R + n_j - n_i)
    home = np.floor(positions).astype(int)
    with h5py.File(path, "w") as file:
        file["type_tag"] = "tbmodels.model"
        file["uc"], file["size"], file["dim"] = atoms.cell.complete().array, h.n_orbitals, 3
        if h.n_electrons is not None:
            file["occ"] = h.n_occupied
        file["pos"], file["sparse"] = positions - home, True
        hop = file.create_group("hop")
        for number, (shift, matrix) in enumerate(_half(h, home)):
            group = hop.create_group(str(number))
            group["R"], group["shape"] = np.array(shift), np.array(matrix.shape)
            group["data"], group["indices"], group["indptr"] = (
                matrix.data.astype(complex),
                matrix.indices,
                matrix.indptr,
            )


def read_tbmodels(path, n_electrons=None, spin_degeneracy=2):
    """Arguments of WannierHamiltonian from a TBmodels file, dense or sparse.

    ``WannierHamiltonian(**read_tbmodels(path))`` is the Hamiltonian.

    Parameters
    ----------
    n_electrons : float, optional
        By default `spin_degeneracy` times the file's number of occupied states.

    Raises
    ------
    ImportError
        Without h5py.
    FileNotFoundError
    ValueError
        For what is no TBmodels file of up to three dimensions, naming the file.
    """
    try:
        found = read_hdf5(path)
        group = {k.removeprefix("tb_model/"): v for k, v in found.items()}
        size, dim, sparse = int(group["size"]), int(group["dim"]), bool(group["sparse"])
        if not (1 <= dim <= 3 and 1 <= size <= MAX_SIZE):
            raise ValueError(f"{size} orbitals in {dim} dimensions")
        positions = _array(group, "pos", (size, dim)) if "pos" in group else np.zeros((size, dim))
        vectors = _array(group, "uc", (dim, dim)) if "uc" in group else None
        if vectors is not None and not abs(np.linalg.det(vectors)) > 1e-6:
            raise ValueError(f"the lattice vectors {vectors.tolist()} span no cell")
        occupied = float(group["occ"]) if "occ" in group else None
        table = {}
        for part in sorted({key.split("/")[1] for key in group if key.startswith("hop/")}):
            shift = whole_numbers(_array(group, f"hop/{part}/R", (dim,)), "R")
            shift = (*shift.tolist(), *(0,) * (3 - dim))
            matrix = _matrix(group, part, size, sparse)
            for key, term in ((shift, matrix), (tuple(-x for x in shift), matrix.conj().T.tocsr())):
                table[key] = table[key] + term if key in table else term
        if not table:
            raise ValueError("no hoppings")
    except (FileNotFoundError, ImportError, MemoryError):
        raise
    except Exception as error:  # arrays of other shapes and types than TBmodels writes stumble in many places
        missing = "missing: " if isinstance(error, KeyError) else ""
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a readable TBmodels file ({missing}{reason})") from None
    if n_electrons is None and occupied is not None:
        n_electrons = spin_degeneracy * occupied
    blocks = [m.tocsr() for m in table.values()]
    if not any(np.abs(m.data.imag).max(initial=0) for m in blocks):
        blocks = [m.real.tocsr() for m in blocks]
    atoms, centres = None, None
    if vectors is not None:
        cell = np.eye(3) * 1.0
        cell[:dim, :dim] = vectors
        scaled = np.zeros((size, 3))
        scaled[:, :dim] = positions
        centres = scaled @ cell
        atoms = Atoms(f"X{size}", centres, cell=cell, pbc=np.arange(3) < dim)
    orbitals = np.zeros(size, DTYPE)
    orbitals["atom"] = np.arange(size) if atoms is not None else 0
    orbitals["l"], orbitals["label"] = -1, "w"
    return {
        "atoms": atoms,
        "orbitals": orbitals,
        "cell_shifts": np.array(list(table)),
        "blocks": blocks,
        "n_electrons": n_electrons,
        "spin_degeneracy": spin_degeneracy,
        "centres": centres,
        "info": {"source": f"TBmodels file {Path(path).name}"},
    }


def _array(group, name, shape):
    array = np.asarray(group[name])
    if array.shape != shape:
        raise ValueError(f"{name} of shape {array.shape}, expected {shape}")
    check_finite(array, name)
    return array


def _matrix(group, part, size, sparse):
    """H_R of one group, a checked CSR."""
    if not sparse:
        return csr_matrix(_array(group, f"hop/{part}/mat", (size, size)))
    if np.asarray(group[f"hop/{part}/shape"]).tolist() != [size, size]:
        raise ValueError(f"hop/{part} is no matrix of {size} orbitals")
    return checked_csr(*(group[f"hop/{part}/{name}"] for name in ("data", "indices", "indptr")), size, f"hop/{part}")


def _half(h, home):
    """(R, CSR) as TBmodels stores them, orbitals in the home cell."""
    out = {}
    for shift, block in zip(h.cell_shifts, h.blocks):
        coo = block.tocoo()
        moved = shift + home[coo.col] - home[coo.row]
        keys, which = np.unique(moved, axis=0, return_inverse=True)
        which = which.ravel()
        for r, key in enumerate(keys.tolist()):
            nonzero = [x for x in key if x]
            if nonzero and nonzero[0] < 0:
                continue
            chosen = which == r
            values = coo.data[chosen] * (1.0 if nonzero else 0.5)
            part = csr_matrix((values, (coo.row[chosen], coo.col[chosen])), shape=block.shape)
            out[tuple(key)] = out[tuple(key)] + part if tuple(key) in out else part
    return out.items()


def _h5py():
    try:
        import h5py
    except ImportError:
        raise ImportError("TBmodels files need h5py: pip install h5py") from None
    return h5py
