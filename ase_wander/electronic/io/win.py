"""The .win file of Wannier90: cell, atoms and projections, as far as a Hamiltonian's reader needs them."""

from __future__ import annotations

import re

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr

from .textfile import NumberedLines

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
    """dict with "atoms" (where the file has cell and atoms), "projections" (orbital rows) and "spinors"."""
    blocks, keywords = _parse(path)
    settings = {"spinors": str(keywords.get("spinors", "f")).lower().strip(".").startswith("t")}
    if "unit_cell_cart" in blocks:
        cell = _cartesian(path, blocks["unit_cell_cart"], symbols=False)[1]
        if cell.shape != (3, 3):
            raise ValueError(f"{path}: unit_cell_cart has {len(cell)} vectors")
        settings["cell"] = cell
        if "atoms_cart" in blocks:
            symbols, positions = _cartesian(path, blocks["atoms_cart"], symbols=True)
            settings["atoms"] = Atoms(symbols, positions, cell=cell, pbc=True)
        elif "atoms_frac" in blocks:
            symbols, scaled = _cartesian(path, blocks["atoms_frac"], symbols=True)
            settings["atoms"] = Atoms(symbols, scaled_positions=scaled, cell=cell, pbc=True)
    if "projections" in blocks and "atoms" in settings:
        settings["projections"] = _projections(settings["atoms"], blocks["projections"])
    return settings


def _parse(path):
    """Blocks {name: [(line number, text)]} and keywords {name: value} of a .win."""
    lines = NumberedLines(path)
    blocks, keywords, name = {}, {}, None
    while not lines.at_end():
        text = re.split(r"[!#]", lines.next("text"))[0].strip()
        word = text.lower().split()
        if not word:
            continue
        if word[0] == "begin" and len(word) == 2:
            if name is not None:
                raise lines.error(f"begin {word[1]} inside {name}")
            name = word[1]
            blocks[name] = []
        elif word[0] == "end" and len(word) == 2:
            if word[1] != name:
                raise lines.error(f"end {word[1]} without its begin")
            name = None
        elif name is not None:
            blocks[name].append((lines.number, text))
        else:
            parts = re.split(r"[=:\s]+", text, maxsplit=1)
            keywords[parts[0].lower()] = parts[1] if len(parts) > 1 else ""
    if name is not None:
        raise lines.error(f"the file ends inside {name}")
    return blocks, keywords


def _cartesian(path, rows, symbols):
    """Symbols and coordinates of a block, bohr turned to Å."""
    unit = 1.0
    if rows and rows[0][1].lower().split()[0] in ("ang", "angstrom", "bohr"):
        unit = Bohr if rows[0][1].lower().startswith("bohr") else 1.0
        rows = rows[1:]
    names, values = [], []
    for number, text in rows:
        words = text.replace(",", " ").split()
        if symbols:
            symbol = re.match(r"[A-Za-z]+", words[0])
            symbol = symbol.group().capitalize() if symbol else words[0]
            if symbol not in atomic_numbers:
                raise ValueError(f"{path}:{number}: unknown element {words[0]!r}")
            names.append(symbol)
            words = words[1:]
        try:
            values.append([float(word.lower().replace("d", "e")) for word in words])
        except ValueError:
            raise ValueError(f"{path}:{number}: expected numbers, found {text!r}") from None
        if len(values[-1]) != 3:
            raise ValueError(f"{path}:{number}: expected three numbers, found {text!r}")
    return names, unit * np.array(values).reshape(-1, 3)


def _projections(atoms, rows):
    """Orbital rows (atom, l, m, spin, label), or None where a projection is not one of the plain forms."""
    orbitals = []
    for _, text in rows:
        if text.lower() in ("ang", "bohr", "random"):
            if text.lower() == "bohr":
                return None
            continue
        match = re.fullmatch(r"([^:]+):\s*([^:(\[]+?)\s*(\([ud]\))?", text)
        if match is None:
            return None
        sites, functions = _sites(atoms, match.group(1)), _functions(match.group(2))
        if sites is None or functions is None:
            return None
        spin = {"(u)": 1, "(d)": -1}.get(match.group(3), 0)
        orbitals += [(site, ell, _M[label], spin, label) for site in sites for ell, label in functions]
    return orbitals


def _sites(atoms, text):
    """Atom indices of "Mo", "f=x,y,z" or "c=x,y,z"."""
    kind, _, numbers = text.strip().partition("=")
    if not numbers:
        sites = [k for k, symbol in enumerate(atoms.symbols) if symbol.lower() == kind.strip().lower()]
        return sites or None
    try:
        point = np.array([float(x) for x in numbers.split(",")])
    except ValueError:
        return None
    if kind.strip().lower() not in ("f", "c") or point.shape != (3,):
        return None
    cell = atoms.cell.array
    away = atoms.positions - (point @ cell if kind.strip().lower() == "f" else point)
    away -= np.rint(away @ np.linalg.inv(cell)) @ cell
    distance = np.linalg.norm(away, axis=1)
    return [int(distance.argmin())] if distance.min() < 1e-3 else None


def _functions(text):
    """(l, label) list of "l=2", "l=2,mr=1,3", "d", "dxy;dyz" forms."""
    functions = []
    for piece in text.replace(" ", "").split(";"):
        match = re.fullmatch(r"l=(\d)(?:,mr=([\d,]+))?", piece)
        if match:
            ell = int(match.group(1))
            if ell not in WANNIER90_ORDER:
                return None
            order = WANNIER90_ORDER[ell]
            chosen = [int(x) - 1 for x in match.group(2).split(",")] if match.group(2) else range(len(order))
            if any(not 0 <= m < len(order) for m in chosen):
                return None
            functions += [(ell, order[m]) for m in chosen]
        elif piece in _LETTER:
            functions += [(_LETTER[piece], label) for label in WANNIER90_ORDER[_LETTER[piece]]]
        elif piece in _M:
            functions.append((_LETTER[piece[0]], piece))
        else:
            return None
    return functions
