"""The Hamiltonian as a model of pythtb and of sisl (optional packages)."""

from __future__ import annotations

import numpy as np


def _half(h):
    """R = 0 and one of every pair R, -R: what codes that add the conjugate themselves want."""
    for shift, block in zip(h.cell_shifts.tolist(), h.blocks):
        if tuple(shift) >= (0, 0, 0):
            yield tuple(shift), block.tocoo()


def to_pythtb(h, threshold=0.0):
    """pythtb model of `h`.

    Parameters
    ----------
    threshold : float
        Elements up to this size (eV) are left out.

    Raises
    ------
    ImportError
        Without pythtb.
    """
    try:
        import pythtb
    except ImportError:
        raise ImportError("to_pythtb needs pythtb: pip install pythtb") from None
    atoms = h._require_atoms("a pythtb model")
    periodic = [a for a in range(3) if (h.cell_shifts[:, a] != 0).any()]
    lattice, orbitals = atoms.cell.complete().array, h.scaled_centres
    if hasattr(pythtb, "TBModel"):
        model = pythtb.TBModel(pythtb.Lattice(lattice, orbitals, periodic_dirs=periodic))
    else:
        model = pythtb.tb_model(len(periodic), 3, lattice, orbitals, per=periodic)
    for shift, block in _half(h):
        if shift == (0, 0, 0):
            model.set_onsite(h.blocks[_index(h, shift)].diagonal().real.tolist(), mode="set")
        for i, j, value in zip(block.row.tolist(), block.col.tolist(), block.data.tolist()):
            if abs(value) > threshold and not (shift == (0, 0, 0) and i >= j):
                model.set_hop(value, i, j, list(shift), mode="set")
    return model


def to_sisl(h):
    """sisl.Hamiltonian of `h` (orthogonal basis); ImportError without sisl."""
    try:
        import sisl
    except ImportError:
        raise ImportError("to_sisl needs sisl: pip install sisl") from None
    atoms = h._require_sites("a sisl Hamiltonian")
    counts = np.bincount(h.orbitals["atom"], minlength=len(atoms))
    reach = float(np.linalg.norm(atoms.cell.array, axis=1).max()) * (np.abs(h.cell_shifts).max() + 1)
    species = [sisl.Atom(int(z), R=[reach] * max(int(c), 1)) for z, c in zip(atoms.numbers, counts)]
    nsc = [2 * int(np.abs(h.cell_shifts[:, a]).max()) + 1 for a in range(3)]
    geometry = sisl.Geometry(atoms.positions, species, sisl.Lattice(atoms.cell.complete().array, nsc=nsc))
    from scipy.sparse import csr_matrix, hstack

    index = {tuple(r): b for r, b in zip(h.cell_shifts.tolist(), h.blocks)}
    empty = csr_matrix((h.n_orbitals, h.n_orbitals))
    wide = hstack([index.get(tuple(int(x) for x in r), empty) for r in geometry.lattice.sc_off], format="csr")
    return sisl.Hamiltonian.fromsp(geometry, wide)


def _index(h, shift):
    return h.cell_shifts.tolist().index(list(shift))
