"""Files of a Wannier90 run: .win, .eig, .amn, .mmn out; .nnkp, .wout, _u.mat, _u_dis.mat, .amn, .eig in.

Wannier90 user guide 3.1, chapters 2 (.win), 5 (.nnkp, .mmn, .amn, .eig) and 8 (.wout, _u.mat, _u_dis.mat).
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ...electronic.io import win
from ...electronic.io.textfile import NumberedLines


def write_win(path, atoms, orbitals, mp_grid, kpts, n_bands, settings, axes=None, zona=None):
    """.win: cell, atoms and projections as `electronic.io.win` writes them, keywords, k-points.

    Parameters
    ----------
    axes : list of (3,) or None, optional
        Own z axis of every projection.
    zona : list of float, optional
        Inverse decay length of every projection's radial part, 1/bohr (for codes that project on it).
    """
    pieces = list(win.write_text(SimpleNamespace(atoms=atoms, orbitals=orbitals, n_orbitals=len(orbitals))))
    first = len(pieces) - 1 - len(orbitals)  # the last piece ends the block
    for n in range(len(orbitals)):
        extra = (
            ""
            if axes is None or axes[n] is None
            else ":z={:.10f},{:.10f},{:.10f}:x={:.10f},{:.10f},{:.10f}".format(*axes[n], *_perpendicular(axes[n]))
        )
        extra += "" if zona is None else f":zona={zona[n]:.6f}"
        pieces[first + n] = pieces[first + n].rstrip("\n") + extra + "\n"
    pieces.append(f"\nnum_bands = {n_bands}\n")
    for key, value in settings.items():
        if value is not None:
            pieces.append(f"{key} = {_fortran(value)}\n")
    pieces.append("mp_grid = {} {} {}\n\nbegin kpoints\n".format(*mp_grid))
    pieces += [f"{a:18.14f}{b:18.14f}{c:18.14f}\n" for a, b, c in kpts]
    pieces.append("end kpoints\n")
    Path(path).write_text("".join(pieces))


def _perpendicular(z):
    """A unit vector perpendicular to z."""
    z = np.asarray(z, float)
    x = np.cross(z, np.eye(3)[np.abs(z).argmin()])
    return x / np.linalg.norm(x)


def _fortran(value):
    return {True: "true", False: "false"}[value] if isinstance(value, (bool, np.bool_)) else f"{value}"


def read_neighbours(path):
    """[(k, k2, g)] of a .nnkp, k-points counted from 0; ValueError naming the line."""
    lines = NumberedLines(path)
    while lines.next("the block nnkpts").split() != ["begin", "nnkpts"]:
        pass
    count = lines.integers(1, "number of neighbours")[0]
    rows, text = [], lines.next("a pair of k-points").split()
    while text != ["end", "nnkpts"]:
        try:
            k, k2, g1, g2, g3 = (int(word) for word in text)
        except ValueError:
            raise lines.error(f"expected five integers, found {' '.join(text)!r}") from None
        rows.append((k - 1, k2 - 1, (g1, g2, g3)))
        text = lines.next("end nnkpts").split()
    if not rows or len(rows) % count:
        raise ValueError(f"{path}: {len(rows)} pairs of k-points, not a multiple of {count} neighbours")
    return rows


def write_eig(path, eigenvalues):
    """.eig: band, k-point, energy in eV."""
    with open(path, "w") as file:
        for k, row in enumerate(eigenvalues, 1):
            file.writelines(f"{n:5d}{k:6d}{e:20.12f}\n" for n, e in enumerate(row.tolist(), 1))


def write_amn(path, projections):
    """.amn: A_mn(k) = <psi_mk|g_n>, m fastest."""
    n_k, n_bands, n_wannier = projections.shape
    with open(path, "w") as file:
        file.write(f"projections, ase_wander\n{n_bands:8d}{n_k:8d}{n_wannier:8d}\n")
        for k, a in enumerate(projections, 1):
            for n, column in enumerate(a.T.tolist(), 1):
                file.writelines(f"{m:5d}{n:5d}{k:6d}{z.real:22.14f}{z.imag:22.14f}\n" for m, z in enumerate(column, 1))


def write_mmn(path, overlaps, n_k, neighbours):
    """.mmn: M_mn(k, b) = <u_mk|u_n,k+b>, m fastest, from rows (k, k2, g, M) in the order of the .nnkp."""
    with open(path, "w") as file:
        header = False
        for k, k2, g, m in overlaps:
            if not header:
                file.write(f"overlaps, ase_wander\n{len(m):8d}{n_k:8d}{len(neighbours) // n_k:8d}\n")
                header = True
            file.write("{:6d}{:6d}{:5d}{:5d}{:5d}\n".format(k + 1, k2 + 1, *g))
            np.savetxt(file, np.asarray(m, complex).T.reshape(-1, 1).view(float), fmt="%22.14f")


def read_matrices(path):
    """(n_k, n_rows, n_columns) complex of a _u.mat or _u_dis.mat, and its k-points (n_k, 3).

    ValueError naming the line.
    """
    lines = NumberedLines(path)
    lines.next("header")
    n_k, n_columns, n_rows = lines.integers(3, "number of k-points, Wannier functions and bands")
    kpts, out = np.empty((n_k, 3)), np.empty((n_k, n_rows, n_columns), complex)
    for k in range(n_k):
        kpts[k] = lines.floats(3, "k-point")
        table, _ = lines.table(n_rows * n_columns, 2, "real and imaginary part")
        out[k] = (table[:, 0] + 1j * table[:, 1]).reshape(n_columns, n_rows).T
    return out, kpts


def read_amn(path):
    """A_mn(k) of an .amn, complex (n_k, n_bands, n_wannier); ValueError naming the line."""
    lines = NumberedLines(path)
    lines.next("header")
    n_bands, n_k, n_wannier = lines.integers(3, "number of bands, k-points and Wannier functions")
    table, first = lines.table(n_bands * n_k * n_wannier, 5, "band, function, k-point and two numbers")
    m, n, k = (table[:, :3].astype(int) - 1).T
    if not ((m >= 0) & (m < n_bands) & (n >= 0) & (n < n_wannier) & (k >= 0) & (k < n_k)).all():
        raise ValueError(
            f"{path}: an index beyond {n_bands} bands, {n_wannier} functions, {n_k} k-points (from line {first})"
        )
    out = np.full((n_k, n_bands, n_wannier), np.nan, complex)
    out[k, m, n] = table[:, 3] + 1j * table[:, 4]
    if np.isnan(out).any():
        raise ValueError(f"{path}: elements are missing")
    return out


def read_mmn(path):
    """{(k, k2, g): M (n_bands, n_bands)} of an .mmn, k-points counted from 0; ValueError naming the line."""
    lines, out = NumberedLines(path), {}
    lines.next("header")
    n_bands, n_k, n_neighbours = lines.integers(3, "number of bands, k-points and neighbours")
    for _ in range(n_k * n_neighbours):
        k, k2, *g = lines.integers(5, "k-point, neighbour and three shifts")
        table, _ = lines.table(n_bands * n_bands, 2, "real and imaginary part")
        out[k - 1, k2 - 1, tuple(g)] = (table[:, 0] + 1j * table[:, 1]).reshape(n_bands, n_bands).T
    return out


def read_eig(path):
    """Energies of an .eig, (n_k, n_bands) in eV; ValueError naming the line."""
    lines, rows = NumberedLines(path), []
    while not lines.at_end():
        rows.append(lines.floats(3, "band, k-point, energy"))
    table = np.array(rows)
    n, k = table[:, 0].astype(int), table[:, 1].astype(int)
    if len(table) != n.max() * k.max():
        raise ValueError(f"{path}: {len(table)} energies for {n.max()} bands and {k.max()} k-points")
    out = np.empty((k.max(), n.max()))
    out[k - 1, n - 1] = table[:, 2]
    return out


_STATE = re.compile(r"WF centre and spread\s+\d+\s+\(\s*([^,]+),\s*([^,]+),\s*([^)]+)\)\s+(\S+)")


def read_spreads(text, n_wannier, path=".wout"):
    """(omega, centres, spreads) of the final state in the text of a .wout."""
    final = text[text.rfind("Final State") :]
    rows = _STATE.findall(final)
    if len(rows) < n_wannier or "Final State" not in text:
        raise ValueError(f"{path}: no final state of {n_wannier} Wannier functions")
    values = np.array([[float(x) for x in row] for row in rows[:n_wannier]])
    omega = {}
    for name in ("I", "D", "OD", "Total"):
        match = re.search(rf"Omega {name}\s*=\s*(\S+)", final)
        if match:
            omega[name.lower() if name == "Total" else name] = float(match.group(1))
    return omega, values[:, :3], values[:, 3]
