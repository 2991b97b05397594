"""Bands of other codes: FHI-aims `band*.out`, VASP `EIGENVAL`, Quantum ESPRESSO `bands.dat.gnu`, our own `.npz`.

Every code has a zero of energy of its own; only our own reference files are relative to the vacuum level. Whoever
compares takes one shift for all levels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .textfile import NumberedLines

FORMATS = "FHI-aims band*.out, VASP EIGENVAL, Quantum ESPRESSO *.gnu, .npz with kpts and eigenvalues"


@dataclass(frozen=True)
class ForeignBands:
    """Levels of another code.

    Attributes
    ----------
    energies : ndarray (n_k, n_bands), eV, ascending at every k
    kpts : ndarray (n_k, 3), fractional, or None where the file has none
    x : ndarray (n_k,), place along the path in any unit, where there are no k-points; else None
    n_occupied : int or None
        Bands that are filled at every k, where the file says it.
    from_vacuum : bool
        Whether the zero is the vacuum level.
    source : str
    """

    energies: np.ndarray
    kpts: np.ndarray | None
    x: np.ndarray | None
    n_occupied: int | None
    from_vacuum: bool
    source: str


def read_foreign_bands(paths) -> ForeignBands:
    """Bands from one file, or from several of FHI-aims (one for each piece of the path, in this order).

    Raises
    ------
    ValueError
        For a file of no known format, naming it; for a damaged one with the line; for two spins.
    """
    paths = [Path(p) for p in ([paths] if isinstance(paths, (str, Path)) else paths)]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
    if len(paths) > 1 and not all(_is_aims(path) for path in paths):
        raise ValueError(f"{paths[0]}: several files are taken of FHI-aims alone (band1001.out, band1002.out, ...)")
    first = paths[0]
    if _is_aims(first):
        return _aims(paths)
    if first.suffix == ".npz":
        return _own(first)
    if first.suffix == ".gnu":
        return _espresso(first)
    if "EIGENVAL" in first.name:
        return _vasp(first)
    raise ValueError(f"{first}: not known as bands of another code; known: {FORMATS}")


def _is_aims(path):
    return re.fullmatch(r"band\d+\.out", path.name) is not None


# ---------------------------------------------------------------- the formats
def _aims(paths):
    """Lines "index k1 k2 k3 f1 e1 f2 e2 ..."; the first digit of the number in the name is the spin."""
    kpts, energies, filled = [], [], []
    for path in paths:
        if re.fullmatch(r"band2\d+\.out", path.name):
            raise ValueError(f"{path}: the second spin of a calculation with two; the model has none")
        lines, width = NumberedLines(path), None
        while not lines.at_end():
            row = np.array(lines.to_floats(lines.next("a k-point").split()))
            width = width or len(row)
            if len(row) != width or width < 6 or width % 2:
                raise lines.error(
                    f"expected an index, three coordinates, pairs of occupation and energy; found {len(row)} fields"
                )
            kpts.append(row[1:4])
            filled.append(row[4::2])
            energies.append(row[5::2])
    if len({len(e) for e in energies}) > 1:
        raise ValueError(f"{paths[0]}: the files have different numbers of bands")
    return _checked(np.array(energies), np.array(kpts), None, _occupied(np.array(filled)), str(paths[0]))


def _vasp(path):
    """Six lines of header (the first ends with the spins, the sixth: electrons, k-points, bands), then blocks."""
    lines = NumberedLines(path)
    spins = lines.integers(4, "atoms, atoms, block, spins")[3]
    if spins != 1:
        raise lines.error(f"{spins} spins; the model has none")
    for _ in range(4):
        lines.next("the header", blank=True)
    electrons, n_k, n_bands = lines.integers(3, "electrons, k-points, bands")
    kpts, energies, filled = [], [], []
    for _ in range(n_k):
        kpts.append(lines.floats(4, "k-point and weight")[:3])
        rows = [lines.to_floats(lines.next("a band").split()) for _ in range(n_bands)]
        if {len(row) for row in rows} - {2, 3}:
            raise lines.error("expected band, energy and, in newer files, occupation")
        energies.append([row[1] for row in rows])
        filled.append([row[2] for row in rows] if all(len(row) == 3 for row in rows) else np.nan)
    if electrons % 2:
        raise ValueError(f"{path}: {electrons} electrons without spin are a metal; give the number of occupied bands")
    return _checked(np.array(energies), np.array(kpts), None, electrons // 2, str(path))


def _espresso(path):
    """Two columns, place on the path and energy; a blank line after every band."""
    lines, bands = NumberedLines(path), [[]]
    while not lines.at_end():
        row = lines.to_floats(lines.next("a level").split())
        if len(row) != 2:
            raise lines.error(f"expected place and energy, found {len(row)} fields")
        if bands[-1] and row[0] < bands[-1][-1][0]:  # the next band begins at the path's beginning
            bands.append([])
        bands[-1].append(row)
    if len({len(b) for b in bands}) > 1:
        raise ValueError(f"{path}: the bands have {sorted({len(b) for b in bands})} points, not all the same number")
    table = np.array(bands)  # (n_bands, n_k, 2)
    if np.abs(table[:, :, 0] - table[0, :, 0]).max() > 1e-6:
        raise ValueError(f"{path}: the bands do not share the places on the path")
    return _checked(table[:, :, 1].T, None, table[0, :, 0], None, str(path))


def _own(path):
    """`.npz` with kpts and eigenvalues, as reference data have them; of those with `kept` the bands kept at all k."""
    try:
        with np.load(path, allow_pickle=False) as data:
            kpts, energies = data["kpts"], data["eigenvalues"]
            if "kept" in data.files:
                energies = energies[:, np.broadcast_to(data["kept"], energies.shape).all(0)]
            own = "zero" in data.files and str(data["zero"]) != "vacuum"
    except Exception as error:
        raise ValueError(f"{path}: no kpts and eigenvalues in it ({error})") from None
    out = _checked(np.asarray(energies, float), np.asarray(kpts, float), None, None, str(path))
    return ForeignBands(out.energies, out.kpts, None, None, not own, out.source)


def _occupied(filled):
    """Bands that are filled at every k, None of a metal; occupations count 2 or, in some codes, 1 for a full band."""
    count = (filled > 0.5 * filled.max()).sum(axis=1)
    return int(count[0]) if (count == count[0]).all() else None


def _checked(energies, kpts, x, n_occupied, source):
    if energies.ndim != 2 or not energies.size or (kpts is not None and kpts.shape != (len(energies), 3)):
        raise ValueError(f"{source}: holds no bands")
    return ForeignBands(np.sort(energies, axis=1), kpts, x, n_occupied, False, source)
