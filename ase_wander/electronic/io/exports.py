"""Sparse formats for cells that Wannier90's dense files cannot hold: WannierTools, and PETSc for SLEPc."""

from __future__ import annotations

import os
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from ...files import atomic_write
from ..blocks import unique_rows
from ..kpath import special_points
from ..orbitals import order_by_atom, spin_pairs
from ..transforms import reordered
from .checked import MAX_SHIFT, checked_csr
from .textfile import NumberedLines, file_error

#: PETSc's class id of a matrix file.
MAT_FILE_CLASSID = 1211216


def write_wanniertools(h, folder, seed="wander", max_bytes=2e10):
    """Write ``seed_hr.dat`` (sparse) and ``wt.in`` for WannierTools into `folder`.

    Orbitals are written as WannierTools expects them, all spin up before all spin down and each sorted by atom,
    whatever their order in `h`.

    The sparse file: a comment, the number of elements, the number of orbitals, then "R1 R2 R3 m n Re Im" per non-zero
    element (readSparseHmnR of WannierTools 2.7). ``wt.in`` asks for bands along the special points.

    Returns
    -------
    list of Path
    """
    atoms = h.require_sites("WannierTools input")
    if (h.orbitals["l"] < 0).any():
        raise ValueError("wt.in needs named orbitals; those of this Hamiltonian are not known")
    if h.spin_degeneracy == 1:
        spin_pairs(h.orbitals)  # refuses spinors whose partners are not known
    h = reordered(h, order_by_atom(h.orbitals))
    n_elements = sum(block.nnz for block in h.blocks)
    if n_elements * 72 > max_bytes:
        raise ValueError(
            f"{seed}_hr.dat would take {n_elements * 72 / 1e9:.1f} GB (limit {max_bytes / 1e9:g} GB, max_bytes=): "
            "use h.truncate(threshold) first"
        )
    folder = Path(folder)
    paths = [folder / f"{seed}_hr.dat", folder / "wt.in"]

    def hr():
        yield (
            f"ase_wander {date.today()} sparse, eV, H_mn(R)=<m,0|H|n,R>, phase exp(2 pi i k.R), R of positions as "
            f"given, no degeneracies, n_electrons={h.n_electrons}\n{n_elements}\n{h.n_orbitals}\n"
        )
        for (a, b, c), block in zip(h.cell_shifts.tolist(), h.blocks):
            coo = block.tocoo()
            values = coo.data.astype(complex)
            start = f"{a:5d}{b:5d}{c:5d}"
            yield "".join(
                [
                    f"{start}{m:8d}{n:8d}{re:20.12f}{im:20.12f}\n"
                    for m, n, re, im in zip(
                        (coo.row + 1).tolist(), (coo.col + 1).tolist(), values.real.tolist(), values.imag.tolist()
                    )
                ]
            )

    atomic_write(paths[0], lambda file: file.writelines(piece.encode() for piece in hr()))
    atomic_write(paths[1], _wt_in(h, atoms, seed))
    return paths


def _wt_in(h, atoms, seed):
    soc = int(h.spin_degeneracy == 1)
    spatial = h.orbitals[: h.n_orbitals // 2] if soc else h.orbitals
    fermi = 0.0 if h.n_electrons is None else h.fermi_level()
    points = special_points(atoms)
    letters = ("G", "M", "K", "G") if {"G", "M", "K"} <= set(points) else tuple(sorted(points))
    lines = [
        "&TB_FILE",
        f"Hrfile = '{seed}_hr.dat'",
        "Is_Sparse_Hr = T",
        "/",
        "",
        "&CONTROL",
        "BulkBand_calc = T",
        "/",
        "",
        "&SYSTEM",
        f"NumOccupied = {h.n_occupied if h.n_electrons is not None else 1}",
        f"SOC = {soc}",
        f"E_FERMI = {fermi:.10f}",
        "/",
        "",
        "&PARAMETERS",
        "Nk1 = 40",
        f"NumSelectedEigenVals = {min(20, h.n_orbitals - 2)}",
        "/",
        "",
        "LATTICE",
        "Angstrom",
    ]
    lines += ["".join(f"{x:20.12f}" for x in vector) for vector in atoms.cell.complete().array]
    lines += ["", "ATOM_POSITIONS", str(len(atoms)), "Cartesian"]
    lines += [f"{s:3s}" + "".join(f"{x:20.12f}" for x in p) for s, p in zip(atoms.symbols, atoms.positions)]
    counts = np.bincount(spatial["atom"], minlength=len(atoms))
    lines += ["", "PROJECTORS", " ".join(map(str, counts))]
    first = np.append(0, np.cumsum(counts))
    lines += [
        f"{s} " + " ".join(spatial["label"][first[a] : first[a + 1]].tolist()) for a, s in enumerate(atoms.symbols)
    ]
    lines += ["", "SURFACE", "1 0 0", "0 1 0", "0 0 1", "", "KPATH_BULK", str(len(letters) - 1)]
    for start, end in pairwise(letters):
        lines.append(" ".join(f"{p} {points[p][0]:.8f} {points[p][1]:.8f} {points[p][2]:.8f}" for p in (start, end)))
    return "\n".join(lines) + "\n"


def read_wanniertools(path):
    """Cell shifts (n_R, 3) and CSR matrices of a sparse ``_hr.dat``; ValueError naming file and line."""
    lines = NumberedLines(path)
    lines.next("comment", blank=True)
    n_elements = lines.to_integers(lines.first_word("number of elements"), "number of elements")[0]
    n = lines.to_integers(lines.first_word("number of orbitals"), "number of orbitals")[0]
    if n_elements < 1 or not 1 <= n < 2**31:
        raise lines.error(f"{n_elements} elements and {n} orbitals")
    lines.require(n_elements, "elements")
    table, first = lines.table(n_elements, 7, "R1 R2 R3 m n Re Im")
    lines.expect_end(f"{n_elements} elements")
    shift, index = table[:, :3], table[:, 3:5]
    bad = np.flatnonzero(~((index >= 1) & (index <= n) & (index == np.floor(index))).all(axis=1))
    if len(bad):
        raise file_error(path, first + bad[0], f"orbital {index[bad[0]].max():g}, there are {n}")
    bad = np.flatnonzero(~((np.abs(shift) <= MAX_SHIFT) & (shift == np.floor(shift))).all(axis=1))
    if len(bad):
        raise file_error(path, first + bad[0], f"R = {shift[bad[0]].tolist()} is no cell of integers up to {MAX_SHIFT}")
    _, once = np.unique(table[:, :5].astype(np.int64), axis=0, return_index=True)
    if len(once) < n_elements:
        bad = np.setdiff1d(np.arange(n_elements), once)[0]
        raise file_error(path, first + bad, f"element {table[bad, :5].astype(int).tolist()} appears twice")
    index = index.astype(np.int64) - 1
    shifts, which = unique_rows(shift.astype(np.int64))
    values = table[:, 5] + 1j * table[:, 6] if table[:, 6].any() else table[:, 5]
    # every cell takes a row pointer per orbital, however few its elements
    if n * len(shifts) > 64 * n_elements + 10_000_000:
        raise ValueError(f"{path}: {n} orbitals in {len(shifts)} cells R with {n_elements} elements")
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.searchsorted(which[order], np.arange(1, len(shifts))))
    return shifts, [csr_matrix((values[p], tuple(index[p].T)), shape=(n, n)) for p in parts]


def write_petsc(h, k, path, gauge="lattice"):
    """H(k) as a PETSc binary matrix (AIJ, 32-bit integers, complex scalars, big-endian), for SLEPc on many nodes.

    https://petsc.org/release/manualpages/Mat/MatLoad: class id, rows, columns, elements, elements of every row,
    column indices, values.
    """
    matrix = h.at_k(k, gauge)
    matrix.sort_indices()
    if matrix.nnz >= 2**31:
        raise ValueError(f"H(k) has {matrix.nnz} elements, a PETSc file with 32-bit integers holds fewer than 2^31")

    def write(file):
        file.write(np.array([MAT_FILE_CLASSID, *matrix.shape, matrix.nnz], ">i4").tobytes())
        file.write(np.diff(matrix.indptr).astype(">i4").tobytes())
        file.write(matrix.indices.astype(">i4").tobytes())
        file.write(matrix.data.astype(">c16").tobytes())

    atomic_write(Path(os.fspath(path)), write)


def read_petsc(path):
    """CSR matrix of a PETSc binary file with complex scalars; ValueError naming the file when it is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = Path(path).read_bytes()
    header = np.frombuffer(content[:16], ">i4") if len(content) >= 16 else np.zeros(4, int)
    rows, columns, nnz = (int(x) for x in header[1:])
    if header[0] != MAT_FILE_CLASSID or min(rows, columns, nnz) < 0 or len(content) != 16 + 4 * (rows + nnz) + 16 * nnz:
        raise ValueError(
            f"{path}: no PETSc matrix with complex scalars (class id {int(header[0])}, {len(content)} bytes)"
        )
    if rows != columns:
        raise ValueError(f"{path}: a matrix of {rows} rows and {columns} columns is no Hamiltonian")
    lengths = np.frombuffer(content, ">i4", rows, 16).astype(np.int64)
    if (lengths < 0).any():
        raise ValueError(f"{path}: row {np.argmin(lengths)} has {lengths.min()} elements")
    indices = np.frombuffer(content, ">i4", nnz, 16 + 4 * rows).astype(np.int32)
    values = np.frombuffer(content, ">c16", nnz, 16 + 4 * (rows + nnz)).astype(complex)
    return checked_csr(values, indices, np.append(0, np.cumsum(lengths)), rows, str(path))
