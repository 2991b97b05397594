"""Wannier90 files: _hr.dat, _tb.dat, _wsvec.dat, _centres.xyz and .win; written here, read in `wannier90_read`.

H_mn(R) = <m,0|H|n,R> in eV; H(k) = sum_R e^{2 pi i k.R} H(R) / degeneracy(R).
Wannier90 user guide 3.1, chapter 8 (files), appendix on seedname_wsvec.dat.
"""

from __future__ import annotations

import os
import warnings
from datetime import date
from pathlib import Path

import numpy as np

from ...files import atomic_write
from . import win
from .wannier90_read import read

__all__ = ["header", "read", "write"]

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
