"""The .win file of Wannier90: cell, atoms and projections, as far as a Hamiltonian's reader needs them."""

from __future__ import annotations

import re

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr

from ...files import check_structure
from .textfile import NumberedLines, to_float
from .win_keywords import BLOCKS, KEYWORDS

#: Order of the real harmonics in Wannier90 (mr = 1, 2, ...), user guide table 3.1, by our labels.
WANNIER90_ORDER = {
    0: ("s",),
    1: ("pz", "px", "py"),
    2: ("dz2", "dxz", "dyz", "dx2-y2", "dxy"),
    3: ("fz3", "fxz2", "fyz2", "fz(x2-y2)", "fxyz", "fx(x2-3y2)", "fy(3x2-y2)"),
}
_LETTER = {"s": 0, "p": 1, "d": 2, "f": 3}
#: m of our labels, see `orbitals.LABELS`.
_M = {
    "s": 0,
    "py": -1,
    "pz": 0,
    "px": 1,
    "dxy": -2,
    "dyz": -1,
    "dz2": 0,
    "dxz": 1,
    "dx2-y2": 2,
    "fy(3x2-y2)": -3,
    "fxyz": -2,
    "fyz2": -1,
    "fz3": 0,
    "fxz2": 1,
    "fz(x2-y2)": 2,
    "fx(x2-3y2)": 3,
}


def write_text(h):
    """Pieces of a .win with cell, atoms, and one projection a line in the order of the orbitals."""
    spinors = bool((h.orbitals["spin"] != 0).any())
    yield f"num_wann = {h.n_orbitals}\nspinors = {'true' if spinors else 'false'}\n\nbegin unit_cell_cart\nang\n"
    for vector in h.atoms.cell.complete().array:
        yield "".join(f"{x:20.12f}" for x in vector) + "\n"
    yield "end unit_cell_cart\n\nbegin atoms_cart\nang\n"
    for symbol, position in zip(h.atoms.symbols, h.atoms.positions):
        yield f"{symbol:3s}" + "".join(f"{x:20.12f}" for x in position) + "\n"
    yield "end atoms_cart\n"
    if (h.orbitals["l"] >= 0).all():
        yield "\nbegin projections\nang\n"
        for orbital in h.orbitals:
            ell = int(orbital["l"])
            mr = WANNIER90_ORDER[ell].index(str(orbital["label"])) + 1
            site = ",".join(f"{x:.12f}" for x in h.atoms.positions[orbital["atom"]])
            spin = {1: "(u)", -1: "(d)"}.get(int(orbital["spin"]), "")
            yield f"c={site}:l={ell},mr={mr}{spin}\n"
        yield "end projections\n"


def read(path):
    """What a Hamiltonian's reader needs of a .win.

    Returns
    -------
    dict
        "spinors" (bool) and, where the file has them, "num_wann" (int), "mp_grid" (3 int), "cell" (3, 3), "atoms", and
        "projections": orbital rows in the order of Wannier90's trial functions, None where they do not say which
        function is which.

    Raises
    ------
    ValueError
        Naming file and line, for what Wannier90 refuses too: unknown or repeated keywords and blocks, a cell without
        volume, unknown elements, numbers that are none.
    """
    blocks, keywords = _parse(path)
    settings = {"spinors": _logical(path, *keywords["spinors"]) if "spinors" in keywords else False}
    if "num_wann" in keywords:
        settings["num_wann"] = _integers(path, *keywords["num_wann"], 1)[0]
    if "mp_grid" in keywords:
        settings["mp_grid"] = _integers(path, *keywords["mp_grid"], 3)
    if {"atoms_cart", "atoms_frac"} <= set(blocks):
        raise ValueError(f"{path}: atoms_cart and atoms_frac, there can be one of them")
    if "unit_cell_cart" in blocks:
        cell = _coordinates(path, blocks["unit_cell_cart"], symbols=False)[1]
        if cell.shape != (3, 3) or not abs(np.linalg.det(cell)) > 1e-6:
            raise ValueError(f"{path}: unit_cell_cart holds {len(cell)} vectors that span no cell")
        settings["cell"] = cell
        name = next((n for n in ("atoms_cart", "atoms_frac") if n in blocks), None)
        if name is not None:
            labels, x = _coordinates(path, blocks[name], symbols=True, units=name == "atoms_cart")
            if not labels:
                raise ValueError(f"{path}: {name} holds no atoms")
            symbols = [_symbol(label) for label in labels]
            settings["atoms"] = Atoms(symbols, x if name == "atoms_cart" else x @ cell, cell=cell, pbc=True)
            check_structure(settings["atoms"], str(path))
            if "projections" in blocks:
                rows = _projections(path, settings["atoms"], labels, blocks["projections"], settings["spinors"])
                settings["projections"] = None if "select_projections" in keywords else rows
    return settings


def _parse(path):
    """Blocks {name: [(line number, text)]} and keywords {name: (line number, value)} of a .win, in small letters."""
    lines = NumberedLines(path)
    blocks, keywords, name = {}, {}, None
    while not lines.at_end():
        text = re.split(r"[!#]", lines.next("text"))[0].strip().lower()
        word = text.split()
        if not word:
            continue
        if word[0] == "begin" and len(word) == 2:
            if name is not None:
                raise lines.error(f"begin {word[1]} inside {name}")
            name = word[1]
            if name in blocks or name not in BLOCKS:
                raise lines.error(f"block {name} " + ("for the second time" if name in blocks else "is not known"))
            blocks[name] = []
        elif word[0] == "end" and len(word) == 2:
            if word[1] != name:
                raise lines.error(f"end {word[1]} without its begin")
            name = None
        elif name is not None:
            blocks[name].append((lines.number, text))
        else:
            key, _, value = re.match(r"([^=:\s]+)\s*([=:]?)\s*(.*)", text).groups()
            if key in keywords or key not in KEYWORDS:
                raise lines.error(f"keyword {key!r} " + ("for the second time" if key in keywords else "is not known"))
            keywords[key] = (lines.number, value)
    if name is not None:
        raise lines.error(f"the file ends inside {name}")
    return blocks, keywords


def _logical(path, number, value):
    if value not in ("t", "true", ".true.", "f", "false", ".false."):
        raise ValueError(f"{path}:{number}: {value!r} is neither true nor false")
    return value.strip(".").startswith("t")


def _integers(path, number, value, count):
    words = re.split(r"[\s,]+", value)
    if len(words) != count or not all(re.fullmatch(r"\d{1,9}", word) and int(word) > 0 for word in words):
        raise ValueError(f"{path}:{number}: {value!r} is not {count} positive integer{'s' * (count > 1)}")
    return [int(word) for word in words]


def _symbol(label):
    """Element of a label such as "mo" or "C2", None where there is none."""
    letters = re.match(r"[a-z]*", label.lower()).group().capitalize()
    return letters if letters in atomic_numbers else None


def _coordinates(path, rows, symbols, units=True):
    """Labels and coordinates of a block, bohr turned to Å."""
    unit = 1.0
    if units and rows and rows[0][1] in ("ang", "angstrom", "bohr"):
        unit = Bohr if rows[0][1] == "bohr" else 1.0
        rows = rows[1:]
    names, values = [], []
    for number, text in rows:
        words = text.replace(",", " ").split()
        if symbols:
            if _symbol(words[0]) is None:
                raise ValueError(f"{path}:{number}: unknown element {words[0]!r}")
            names.append(words[0])
            words = words[1:]
        try:
            values.append([to_float(word) for word in words])
        except ValueError:
            raise ValueError(f"{path}:{number}: expected numbers, found {text!r}") from None
        if len(values[-1]) != 3 or not np.isfinite(values[-1]).all():
            raise ValueError(f"{path}:{number}: expected three finite numbers, found {text!r}")
    return names, unit * np.array(values).reshape(-1, 3)


def _projections(path, atoms, labels, rows, spinors):
    """Orbital rows (atom, l, m, spin, label), or None where a projection is not one of the plain forms.

    Wannier90 collects the functions of a line in a table by l and mr and goes through that table for every site, so
    their order in the line, and a function that it names twice, do not count; spin goes fastest.
    """
    orbitals, unit = [], 1.0
    for line, (number, text) in enumerate(rows):
        if line == 0 and text in ("ang", "angstrom", "bohr"):
            unit = Bohr if text == "bohr" else 1.0
            continue
        match = re.fullmatch(r"([^:]+):([^:(\[]+)(\((?:u|d|u,d|d,u|ud|du)\))?", text.replace(" ", ""))
        if match is None:
            return None
        if match[3] and not spinors:
            raise ValueError(f"{path}:{number}: {match[3]} of a projection, but spinors is not true")
        sites, functions = _sites(atoms, labels, match[1], unit), _functions(match[2])
        if sites is None or functions is None:
            return None
        spins = [s for s, letter in ((1, "u"), (-1, "d")) if not match[3] or letter in match[3]] if spinors else [0]
        orbitals += [(site, ell, _M[name], s, name) for site in sites for ell, name in functions for s in spins]
    return orbitals


def _sites(atoms, labels, text, unit):
    """Indices of atoms that "Mo", "f=0.3,0.3,0.5" or "c=..." names."""
    kind, _, numbers = text.partition("=")
    if not numbers:
        return [k for k, label in enumerate(labels) if label == kind] or None
    try:
        point = np.array([to_float(x) for x in numbers.split(",")])
    except ValueError:
        return None
    if kind not in ("f", "c") or point.shape != (3,) or not np.isfinite(point).all():
        return None
    cell = atoms.cell.array
    away = atoms.positions - (point @ cell if kind == "f" else unit * point)
    away -= np.rint(away @ np.linalg.inv(cell)) @ cell
    distance = np.linalg.norm(away, axis=1)
    return [int(distance.argmin())] if distance.min() < 1e-3 else None


def _functions(text):
    """(l, label) in Wannier90's order of functions such as "l=2,mr=1,3", "d", "dxy;dyz"; None for others (hybrids)."""
    found = set()
    for piece in text.split(";"):
        match = re.fullmatch(r"l=(\d)(?:,mr=(\d(?:,\d)*))?", piece)
        if match:
            ell = int(match[1])
            order = WANNIER90_ORDER.get(ell, ())
            chosen = [int(x) - 1 for x in match[2].split(",")] if match[2] else range(len(order))
            if not order or any(not 0 <= m < len(order) for m in chosen):
                return None
            found |= {(ell, m) for m in chosen}
            continue
        for name in piece.split(","):
            ell = _LETTER.get(name[:1])
            if name in _LETTER:
                found |= {(ell, m) for m in range(2 * ell + 1)}
            elif name in _M:
                found.add((ell, WANNIER90_ORDER[ell].index(name)))
            else:
                return None
    return [(ell, WANNIER90_ORDER[ell][m]) for ell, m in sorted(found)]
