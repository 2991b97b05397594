"""Files of TBmodels (.hdf5), read and written with h5py alone; TBmodels itself need not be there.

Layout of `tbmodels.Model.to_hdf5`, TBmodels 1.4: H = sum over the stored R of (H_R e^{2 pi i k.R}) + its conjugate, with one
of each pair R, -R (first non-zero component positive) and half of H(0); H_R[i, j] = <i,0|H|j,R>.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from ..orbitals import DTYPE


def write_tbmodels(h, path):
    """Write `h` as a sparse TBmodels file; ImportError without h5py.

    The orbitals' names and the electron count beyond TBmodels' number of occupied states are not in the format.
    """
    h5py = _h5py()
    atoms = h._require_atoms("a TBmodels file")
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
    """Arguments of WannierHamiltonian from a TBmodels file, dense or sparse: ``WannierHamiltonian(**read_tbmodels(path))``.

    Parameters
    ----------
    n_electrons : float, optional
        By default `spin_degeneracy` times the file's number of occupied states.

    Raises
    ------
    ImportError
        Without h5py.
    ValueError
        For what is no TBmodels file of up to three dimensions, naming the file.
    """
    h5py = _h5py()
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            group = file.get("tb_model", file)
            size, dim, sparse = int(group["size"][()]), int(group["dim"][()]), bool(group["sparse"][()])
            positions = np.array(group["pos"]) if "pos" in group else np.zeros((size, dim))
            vectors = np.array(group["uc"]) if "uc" in group else None
            occupied = float(group["occ"][()]) if "occ" in group else None
            table = {}
            for part in group["hop"].values():
                shift = tuple(np.array(part["R"], int).tolist()) + (0,) * (3 - dim)
                matrix = (
                    csr_matrix((part["data"][()], part["indices"][()], part["indptr"][()]), shape=(size, size))
                    if sparse
                    else csr_matrix(np.array(part["mat"]))
                )
                for key, term in ((shift, matrix), (tuple(-x for x in shift), matrix.conj().T.tocsr())):
                    table[key] = table[key] + term if key in table else term
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable TBmodels file ({error})") from None
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
