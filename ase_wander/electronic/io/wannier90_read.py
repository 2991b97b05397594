"""Wannier90 files, read: _hr.dat or _tb.dat, with _wsvec.dat, _centres.xyz and .win where they are.

H_mn(R) = <m,0|H|n,R> in eV; H(k) = sum_R e^{2 pi i k.R} H(R) / degeneracy(R).
Wannier90 user guide 3.1, chapter 8 (files), appendix on seedname_wsvec.dat.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from scipy.sparse import csr_matrix

from ...files import check_structure
from ..blocks import unique_rows
from ..orbitals import DTYPE
from . import win
from .checked import MAX_SHIFT
from .textfile import NumberedLines, file_error, to_float

#: _wsvec.dat may spread the elements of _hr.dat over this many times as many cells.
MAX_GROWTH = 64


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
    if settings.get("num_wann", n) != n:
        raise ValueError(f"{paths['.win']}: num_wann is {settings['num_wann']}, the Hamiltonian has {n} functions")
    projections = settings.get("projections") if atoms is None or _same_order(atoms, settings.get("atoms")) else None
    pbc = (shifts != 0).any(axis=0) | (np.arange(3) < 2)
    if atoms is None and "atoms" in settings:
        atoms = settings["atoms"]
        atoms.pbc = pbc
    sites = []
    if paths["_centres.xyz"].is_file():
        centres, sites = _read_centres(paths["_centres.xyz"], n)
    if atoms is None and lattice is not None:
        # a file that names no atoms: one without an element at every centre
        symbols, positions = ([s for s, _ in sites], [x for _, x in sites]) if sites else (["X"] * n, centres)
        atoms = Atoms(symbols, positions, cell=lattice, pbc=pbc)
        check_structure(atoms, f"{seed}: atoms at the Wannier centres")
    facts = _facts(remark, f"{seed}{'_tb.dat' if lattice is not None else '_hr.dat'}:1")
    if n_electrons is None:
        n_electrons = facts.get("n_electrons")
    degeneracy = int(facts.get("spin_degeneracy", 1 if settings.get("spinors") else 2))
    orbitals = _orbitals(n, atoms, centres, projections)
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


def _same_order(atoms, own):
    """Whether the atoms of .win are those given, so that its projections number the same ones."""
    return own is not None and np.array_equal(atoms.numbers, own.numbers)


def _facts(remark, where):
    """Numbers that a file of our own says in its first line."""
    facts = {}
    for name, value in (word.split("=", 1) for word in remark.split() if word.count("=") == 1):
        if name in ("n_electrons", "spin_degeneracy") and value != "unknown":
            try:
                facts[name] = to_float(value)
            except ValueError:
                raise ValueError(f"{where}: {name}={value} is no number") from None
    return facts


def _read_counts(lines):
    n = lines.to_integers(lines.first_word("number of Wannier functions"), "number of Wannier functions")[0]
    n_r = lines.to_integers(lines.first_word("number of cells R"), "number of cells R")[0]
    if n < 1 or n_r < 1:
        raise lines.error(f"{n} Wannier functions and {n_r} cells R")
    lines.require(n * n * n_r, f"{n} x {n} elements of {n_r} cells R")
    degeneracy = lines.listed_integers(n_r, "degeneracies")
    if min(degeneracy) < 1:
        raise lines.error(f"degeneracy {min(degeneracy)}")
    return n, n_r, np.array(degeneracy)


def _read_hr(path):
    lines = NumberedLines(path)
    remark = lines.next("header", blank=True)
    n, n_r, degeneracy = _read_counts(lines)
    table, first = lines.table(n * n * n_r, 7, "R1 R2 R3 m n Re Im")
    lines.expect_end(f"{n_r} cells R of {n} x {n} elements")
    shifts = _whole(path, first, table[:, :3]).reshape(n_r, n * n, 3)
    wrong = np.flatnonzero((shifts != shifts[:, :1]).any(axis=(1, 2)))
    if len(wrong):
        inside = int(np.flatnonzero((shifts[wrong[0]] != shifts[wrong[0], 0]).any(axis=1))[0])
        raise file_error(path, first + wrong[0] * n * n + inside, f"R changes before all {n} x {n} elements are there")
    values = _matrices(path, first, table[:, 3:], n, n_r)
    return remark, None, _distinct(path, shifts[:, 0], first, n * n), values / degeneracy[:, None, None]


def _read_tb(path):
    lines = NumberedLines(path)
    remark = lines.next("header", blank=True)
    lattice = np.array([lines.floats(3, "lattice vector") for _ in range(3)])
    if not abs(np.linalg.det(lattice)) > 1e-6:
        raise lines.error(f"the lattice vectors {lattice.tolist()} span no cell")
    n, n_r, degeneracy = _read_counts(lines)
    lines.require(2 * n * n * n_r, "elements and positions")
    shifts, values = np.empty((n_r, 3), int), np.empty((n_r, n, n), complex)
    for r in range(n_r):
        shifts[r] = _whole(path, lines.number + 1, [lines.integers(3, "R1 R2 R3")])[0]
        table, first = lines.table(n * n, 4, "m n Re Im")
        values[r] = _matrices(path, first, table, n, 1)[0]
    shifts = _distinct(path, shifts, None, 0)
    known, centres = set(map(tuple, shifts.tolist())), None
    for _ in range(n_r):
        shift = tuple(lines.integers(3, "R1 R2 R3 of a position block"))
        if shift not in known:
            raise lines.error(f"R = {list(shift)} of a position block is not one of the Hamiltonian, or there twice")
        known.remove(shift)
        table, first = lines.table(n * n, 8, "m n and three complex numbers")
        position = [_matrices(path, first, table[:, [0, 1, a, a + 1]], n, 1)[0] for a in (2, 4, 6)]
        if not any(shift):
            centres = np.array([p.diagonal().real for p in position]).T
    if centres is None:
        raise ValueError(f"{path}: no position block of R = [0, 0, 0], which holds the centres")
    lines.expect_end(f"{n_r} position blocks")
    return remark, lattice, shifts, values / degeneracy[:, None, None], centres


def _whole(path, first, values):
    """Cell shifts (n, 3) as integers."""
    values = np.asarray(values)
    bad = np.flatnonzero(((np.abs(values) > MAX_SHIFT) | (values != np.floor(values))).any(axis=1))
    if len(bad):
        raise file_error(
            path, first + bad[0], f"R = {values[bad[0]].tolist()} is no cell of integers up to {MAX_SHIFT}"
        )
    return values.astype(int)


def _matrices(path, first, table, n, n_r):
    """(n_r, n, n) complex from rows m, n, Re, Im."""
    index = table[:, :2]
    bad = np.flatnonzero(~((index >= 1) & (index <= n) & (index == np.floor(index))).all(axis=1))
    if len(bad):
        raise file_error(
            path, first + bad[0], f"Wannier function {table[bad[0], 0]:g}, {table[bad[0], 1]:g}: there are {n}"
        )
    r, (row, column) = np.repeat(np.arange(n_r), n * n), index.astype(int).T - 1
    values = np.full((n_r, n, n), np.nan, complex)
    values[r, row, column] = table[:, 2] + 1j * table[:, 3]
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
    lines.next("header", blank=True)
    n = values.shape[1]
    index = {tuple(r): k for k, r in enumerate(shifts.tolist())}
    target, source, done = [], [], set()
    while not lines.at_end():
        a, b, c, m, column = lines.integers(5, "R1 R2 R3 m n")
        if (a, b, c) not in index or not (1 <= m <= n and 1 <= column <= n):
            raise lines.error(f"R = {[a, b, c]}, m = {m}, n = {column} is not in the Hamiltonian")
        key = (index[a, b, c], m - 1, column - 1)
        if key in done:
            raise lines.error(f"R = {[a, b, c]}, m = {m}, n = {column} appears twice")
        done.add(key)
        count = lines.integers(1, "number of cells")[0]
        if count < 1:
            raise lines.error(f"{count} equivalent cells")
        lines.require(count, "equivalent cells")
        cells = [tuple(lines.integers(3, "T1 T2 T3")) for _ in range(count)]
        if len(set(cells)) < count or np.abs(cells).max() > MAX_SHIFT:
            raise lines.error(f"equivalent cells {cells[:5]} of R = {[a, b, c]} repeat, or lie beyond {MAX_SHIFT}")
        target += [(a + t[0], b + t[1], c + t[2]) for t in cells]
        source += [(*key, count)] * count
    if len(done) != values.size:
        raise ValueError(f"{path}:{lines.number}: the file ends after {len(done)} of {values.size} elements")
    new_shifts, which = unique_rows(np.array(target))
    if len(new_shifts) * n * n * 16 > MAX_GROWTH * values.nbytes + 1e8:
        raise ValueError(f"{path}: spreads {len(shifts)} cells R over {len(new_shifts)}")
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
        elif symbol.capitalize() not in atomic_numbers:
            raise lines.error(f"unknown element {symbol!r}")
        else:
            sites.append((symbol.capitalize(), position))
    lines.expect_end(f"{count} sites")
    if len(centres) != n:
        raise ValueError(f"{path}: {len(centres)} centres (X), the Hamiltonian has {n} Wannier functions")
    return np.array(centres), sites


def _orbitals(n, atoms, centres, projections):
    """Orbital table: from the projections of .win, else every function on the atom nearest its centre.

    Where neither is known the atom is -1: no function is put on an atom by a guess.
    """
    orbitals = np.zeros(n, DTYPE)
    orbitals["l"], orbitals["label"] = -1, [f"w{k + 1}" for k in range(n)]
    if atoms is None:
        return orbitals
    orbitals["atom"] = -1
    if projections and len(projections) == n:
        orbitals[:] = projections
    elif centres is not None:
        cell = atoms.cell.complete()
        away = (cell.scaled_positions(centres)[:, None] - cell.scaled_positions(atoms.positions)[None]).reshape(-1, 3)
        away -= np.rint(away)
        orbitals["atom"] = np.linalg.norm(away @ cell.array, axis=1).reshape(n, -1).argmin(axis=1)
    return orbitals
