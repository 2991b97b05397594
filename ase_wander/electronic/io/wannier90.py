"""Wannier90 files: _hr.dat, _tb.dat, _wsvec.dat, _centres.xyz and .win, in and out.

H_mn(R) = <m,0|H|n,R> in eV; H(k) = sum_R e^{2 pi i k.R} H(R) / degeneracy(R).
Wannier90 user guide 3.1, chapter 8 (files), appendix on seedname_wsvec.dat.
"""

from __future__ import annotations

import os
import warnings
from datetime import date
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from ...files import atomic_write
from ..blocks import unique_rows
from ..orbitals import DTYPE
from . import win
from .textfile import NumberedLines, file_error

#: Bytes that one element of H takes in each file as written here; _tb.dat has a line for its position too.
_BYTES = {"hr": 68, "tb": 53 + 85, "centres": 0, "win": 0}

#: Files of more than this (bytes) in all are announced.
LARGE = 1e8


def write(h, seed, *, files=("hr", "tb", "centres", "win"), max_bytes=2e9, threshold=0.0, progress=None):
    """Write Wannier90 files; every element of every H(R) is a line, so large cells do not fit.

    More than `LARGE` bytes in all are said in a UserWarning before they are written.

    Parameters
    ----------
    h : WannierHamiltonian
    seed : str or path
        ``seed_hr.dat``, ``seed_tb.dat``, ``seed_centres.xyz``, ``seed.win`` are written.
    files : sequence of {"hr", "tb", "centres", "win"}
        All but "hr" need atoms.
    max_bytes : float
        Largest size of one file.
    threshold : float
        Elements up to this size (eV) are written as zeros, and cells R without any other are left out; see
        `WannierHamiltonian.truncate`.
    progress : callable, optional
        Called as ``progress(cells done, cells in all)`` while files are written.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        When a file would be larger, naming the sparse format to use instead.
    """
    if threshold:
        h = h.truncate(threshold)
    unknown = set(files) - set(_BYTES)
    if unknown:
        raise ValueError(f"unknown Wannier90 file {', '.join(sorted(unknown))}; known: {', '.join(_BYTES)}")
    if h.atoms is None:
        files = [name for name in files if name == "hr"]
    sizes = {name: h.n_orbitals**2 * len(h.blocks) * _BYTES[name] for name in files}
    for name, size in sizes.items():
        if size > max_bytes:
            raise ValueError(
                f"{seed}_{name}.dat would take {size / 1e9:.1f} GB (limit {max_bytes / 1e9:g} GB, max_bytes=): "
                "write_wanniertools writes only the non-zero elements; a threshold leaves cells R out"
            )
    if sum(sizes.values()) > LARGE:
        warnings.warn(
            f"{' and '.join(f'{seed}_{name}.dat' for name in sizes if sizes[name])} take "
            f"{sum(sizes.values()) / 1e6:.0f} MB; smaller: files=('hr', 'win'), threshold=, or write_wanniertools",
            UserWarning,
            stacklevel=3,
        )
    total, done = len(h.blocks) * sum(1 for size in sizes.values() if size), [0]

    def step():
        done[0] += 1
        if progress is not None:
            progress(done[0], total)

    writers = {
        "hr": ("_hr.dat", lambda: _hr_text(h, step)),
        "tb": ("_tb.dat", lambda: _tb_text(h, step)),
        "centres": ("_centres.xyz", lambda: _centres_text(h)),
        "win": (".win", lambda: win.write_text(h)),
    }
    written = []
    for name in files:
        suffix, text = writers[name]
        path = Path(f"{os.fspath(seed)}{suffix}")
        atomic_write(path, lambda file, text=text: file.writelines(piece.encode() for piece in text()))
        written.append(path)
    return written


def header(h):
    """First line of the files: convention, gauge and what a reader cannot know otherwise."""
    electrons = "unknown" if h.n_electrons is None else f"{h.n_electrons:.10g}"
    return (
        f"ase_wander {date.today()} n_electrons={electrons} spin_degeneracy={h.spin_degeneracy} eV, "
        f"H_mn(R)=<m,0|H|n,R>, phase exp(2 pi i k.R), R of positions as given, all degeneracies 1\n"
    )


def _counts(h):
    yield f"{h.n_orbitals:12d}\n{len(h.blocks):12d}\n"
    for start in range(0, len(h.blocks), 15):
        yield "    1" * min(15, len(h.blocks) - start) + "\n"


def _elements(block):
    """(m, n, value) in Wannier90's order, m fastest, 1-based."""
    n = block.shape[0]
    values = block.toarray().T.ravel().astype(complex)
    return zip(
        np.tile(np.arange(1, n + 1), n).tolist(),
        np.repeat(np.arange(1, n + 1), n).tolist(),
        values.real.tolist(),
        values.imag.tolist(),
    )


def _hr_text(h, step):
    yield header(h)
    yield from _counts(h)
    for (a, b, c), block in zip(h.cell_shifts.tolist(), h.blocks):
        start = f"{a:5d}{b:5d}{c:5d}"
        yield "".join([f"{start}{m:6d}{n:6d}{re:20.12f}{im:20.12f}\n" for m, n, re, im in _elements(block)])
        step()


def _tb_text(h, step):
    yield header(h)
    for vector in h.atoms.cell.complete().array:
        yield "".join(f"{x:20.12f}" for x in vector) + "\n"
    yield from _counts(h)
    for shift, block in zip(h.cell_shifts.tolist(), h.blocks):
        yield "\n" + "".join(f"{x:5d}" for x in shift) + "\n"
        yield "".join([f"{m:6d}{n:6d}{re:20.12f}{im:20.12f}\n" for m, n, re, im in _elements(block)])
    # Positions: only the centres are known, <m,0|r|m,0>.
    for shift in h.cell_shifts.tolist():
        yield "\n" + "".join(f"{x:5d}" for x in shift) + "\n"
        for n in range(h.n_orbitals):
            for m in range(h.n_orbitals):
                r = h.centres[n] if m == n and shift == [0, 0, 0] else (0.0, 0.0, 0.0)
                yield f"{m + 1:6d}{n + 1:6d}" + "".join(f"{x:20.12f}{0:4.1f}" for x in r) + "\n"
        step()


def _centres_text(h):
    yield f"{h.n_orbitals + len(h.atoms)}\n Wannier centres and atoms in Angstrom, ase_wander {date.today()}\n"
    for x, y, z in h.centres:
        yield f"X {x:20.12f}{y:20.12f}{z:20.12f}\n"
    for symbol, (x, y, z) in zip(h.atoms.symbols, h.atoms.positions):
        yield f"{symbol} {x:20.12f}{y:20.12f}{z:20.12f}\n"


def read(seed, n_electrons=None, *, atoms=None, tolerance=1e-5, drop=0.0):
    """Arguments of `WannierHamiltonian` from Wannier90 files.

    Parameters
    ----------
    seed : str or path
        ``seed_hr.dat`` or, where that is missing, ``seed_tb.dat``; ``_wsvec.dat``, ``_centres.xyz`` and
        ``.win`` are used where they are.
    n_electrons : float, optional
        Taken from the header of files written by ase_wander when not given.
    atoms : ase.Atoms, optional
        Instead of those in ``.win``.
    tolerance : float
        Largest violation of Hermiticity in eV.
    drop : float
        Elements up to this size (eV) are not stored.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming file and line.
    """
    seed = os.fspath(seed)
    paths = {name: Path(seed + name) for name in ("_hr.dat", "_tb.dat", "_wsvec.dat", "_centres.xyz", ".win")}
    if paths["_hr.dat"].is_file():
        remark, lattice, shifts, values, centres = *_read_hr(paths["_hr.dat"]), None
    elif paths["_tb.dat"].is_file():
        remark, lattice, shifts, values, centres = _read_tb(paths["_tb.dat"])
    else:
        raise FileNotFoundError(f"neither {paths['_hr.dat']} nor {paths['_tb.dat']} exists")
    n = values.shape[1]
    if paths["_wsvec.dat"].is_file():
        shifts, values = _apply_wsvec(paths["_wsvec.dat"], shifts, values)
    settings = win.read(paths[".win"]) if paths[".win"].is_file() else {}
    atoms = atoms if atoms is not None else settings.get("atoms")
    if paths["_centres.xyz"].is_file():
        centres, sites = _read_centres(paths["_centres.xyz"], n)
        if atoms is None and lattice is not None and len(sites):
            atoms = Atoms([s for s, _ in sites], [x for _, x in sites], cell=lattice, pbc=(shifts != 0).any(axis=0))
    if atoms is not None and "atoms" in settings and atoms is settings["atoms"]:
        atoms.pbc = (shifts != 0).any(axis=0) | (np.arange(3) < 2)
    facts = dict(word.split("=", 1) for word in remark.split() if "=" in word and word.count("=") == 1)
    if n_electrons is None and facts.get("n_electrons", "unknown") != "unknown":
        n_electrons = float(facts["n_electrons"])
    degeneracy = int(facts.get("spin_degeneracy", 1 if settings.get("spinors") else 2))
    orbitals = _orbitals(n, atoms, centres, settings.get("projections"))
    if centres is not None and atoms is not None and np.allclose(centres, atoms.positions[orbitals["atom"]], atol=1e-9):
        centres = None
    if not np.abs(values.imag).any():
        values = values.real
    values = np.where(np.abs(values) > drop, values, 0)
    return {
        "atoms": atoms,
        "orbitals": orbitals,
        "cell_shifts": shifts,
        "blocks": [csr_matrix(v) for v in values],
        "n_electrons": n_electrons,
        "spin_degeneracy": degeneracy,
        "centres": centres,
        "tolerance": tolerance,
        "info": {"source": Path(seed).name},
    }


def _read_counts(lines):
    n = lines.integers(1, "number of Wannier functions")[0]
    n_r = lines.integers(1, "number of cells R")[0]
    if n < 1 or n_r < 1:
        raise lines.error(f"{n} Wannier functions and {n_r} cells R")
    degeneracy = []
    while len(degeneracy) < n_r:
        degeneracy += lines.integers(min(15, n_r - len(degeneracy)), "degeneracies")
    if min(degeneracy) < 1:
        raise lines.error(f"degeneracy {min(degeneracy)}")
    return n, n_r, np.array(degeneracy)


def _read_hr(path):
    lines = NumberedLines(path)
    remark = lines.next("header")
    n, n_r, degeneracy = _read_counts(lines)
    table, first = lines.table(n * n * n_r, 7, "R1 R2 R3 m n Re Im")
    shifts = table[:, :3].reshape(n_r, n * n, 3)
    wrong = np.flatnonzero((shifts != shifts[:, :1]).any(axis=(1, 2)))
    if len(wrong):
        inside = int(np.flatnonzero((shifts[wrong[0]] != shifts[wrong[0], 0]).any(axis=1))[0])
        raise file_error(path, first + wrong[0] * n * n + inside, f"R changes before all {n} x {n} elements are there")
    values = _matrices(path, first, table[:, 3:], n, n_r)
    return remark, None, _distinct(path, shifts[:, 0].astype(int), first, n * n), values / degeneracy[:, None, None]


def _read_tb(path):
    lines = NumberedLines(path)
    remark = lines.next("header")
    lattice = np.array([lines.floats(3, "lattice vector") for _ in range(3)])
    n, n_r, degeneracy = _read_counts(lines)
    shifts, values = np.empty((n_r, 3), int), np.empty((n_r, n, n), complex)
    for r in range(n_r):
        shifts[r] = lines.integers(3, "R1 R2 R3")
        table, first = lines.table(n * n, 4, "m n Re Im")
        values[r] = _matrices(path, first, table, n, 1)[0]
    centres = np.zeros((n, 3))
    for _ in range(n_r):
        shift = lines.integers(3, "R1 R2 R3 of a position block")
        table, _ = lines.table(n * n, 8, "m n and three complex numbers")
        if not any(shift):
            diagonal = table[table[:, 0] == table[:, 1]]
            centres[diagonal[:, 0].astype(int) - 1] = diagonal[:, 2::2]
    return remark, lattice, _distinct(path, shifts, None, 0), values / degeneracy[:, None, None], centres


def _matrices(path, first, table, n, n_r):
    """(n_r, n, n) complex from rows m, n, Re, Im."""
    index = table[:, :2].astype(int) - 1
    bad = np.flatnonzero((index < 0).any(axis=1) | (index >= n).any(axis=1) | (index + 1 != table[:, :2]).any(axis=1))
    if len(bad):
        raise file_error(
            path, first + bad[0], f"Wannier function {table[bad[0], 0]:g}, {table[bad[0], 1]:g}: there are {n}"
        )
    r = np.repeat(np.arange(n_r), n * n)
    values = np.full((n_r, n, n), np.nan, complex)
    values[r, index[:, 0], index[:, 1]] = table[:, 2] + 1j * table[:, 3]
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        k, m, column = missing[0]
        raise file_error(
            path, first + k * n * n, f"element {m + 1}, {column + 1} of the {k + 1}th R is missing or not finite"
        )
    return values


def _distinct(path, shifts, first, stride):
    seen = {}
    for k, shift in enumerate(shifts.tolist()):
        if tuple(shift) in seen:
            where = path if first is None else f"{path}:{first + k * stride}"
            raise ValueError(f"{where}: R = {shift} appears twice")
        seen[tuple(shift)] = k
    return shifts


def _apply_wsvec(path, shifts, values):
    """Share every element out over its equivalent cells R + T (use_ws_distance)."""
    lines = NumberedLines(path)
    lines.next("header")
    n = values.shape[1]
    index = {tuple(r): k for k, r in enumerate(shifts.tolist())}
    target, source = [], []
    while not lines.at_end():
        a, b, c, m, column = lines.integers(5, "R1 R2 R3 m n")
        if (a, b, c) not in index or not (1 <= m <= n and 1 <= column <= n):
            raise lines.error(f"R = {[a, b, c]}, m = {m}, n = {column} is not in the Hamiltonian")
        count = lines.integers(1, "number of cells")[0]
        if count < 1:
            raise lines.error(f"{count} equivalent cells")
        for _ in range(count):
            t = lines.integers(3, "T1 T2 T3")
            target.append((a + t[0], b + t[1], c + t[2]))
            source.append((index[a, b, c], m - 1, column - 1, count))
    if len({s[:3] for s in source}) != values.size:
        raise ValueError(
            f"{path}:{lines.number}: the file ends after {len({s[:3] for s in source})} of {values.size} elements"
        )
    new_shifts, which = unique_rows(np.array(target))
    r, m, column, count = np.array(source).T
    out = np.zeros((len(new_shifts), n, n), complex)
    np.add.at(out, (which, m, column), values[r, m, column] / count)
    return new_shifts, out


def _read_centres(path, n):
    """(n, 3) centres in Å and the atoms [(symbol, position)] of _centres.xyz."""
    lines = NumberedLines(path)
    count = lines.integers(1, "number of sites")[0]
    lines.next("comment", blank=True)
    centres, sites = [], []
    for _ in range(count):
        symbol, *position = lines.fields(4, "symbol x y z")
        position = lines.to_floats(position)
        if symbol == "X":
            centres.append(position)
        else:
            sites.append((symbol, position))
    if len(centres) != n:
        raise ValueError(f"{path}: {len(centres)} centres (X), the Hamiltonian has {n} Wannier functions")
    return np.array(centres), sites


def _orbitals(n, atoms, centres, projections):
    """Orbital table: from the projections of .win, else every function on the atom nearest its centre."""
    orbitals = np.zeros(n, DTYPE)
    orbitals["l"], orbitals["label"] = -1, [f"w{k + 1}" for k in range(n)]
    if atoms is None:
        return orbitals
    if projections and len(projections) == n:
        orbitals[:] = projections
    elif centres is not None:
        cell = atoms.cell.complete()
        away = (cell.scaled_positions(centres)[:, None] - cell.scaled_positions(atoms.positions)[None]).reshape(-1, 3)
        away -= np.rint(away)
        orbitals["atom"] = np.linalg.norm(away @ cell.array, axis=1).reshape(n, -1).argmin(axis=1)
    return orbitals
