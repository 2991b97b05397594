"""Orbital tables: which real spherical harmonic of which atom each row of H belongs to."""

from __future__ import annotations

import numpy as np

#: Real spherical harmonics by l, m = -l ... l, as the rows of a block are ordered.
LABELS = {
    0: ("s",),
    1: ("py", "pz", "px"),
    2: ("dxy", "dyz", "dz2", "dxz", "dx2-y2"),
    3: ("fy(3x2-y2)", "fxyz", "fyz2", "fz3", "fxz2", "fz(x2-y2)", "fx(x2-3y2)"),
}

#: Columns of an orbital table; spin is 0 where it is a degeneracy only, else +1 or -1.
DTYPE = np.dtype([("atom", np.int64), ("l", np.int64), ("m", np.int64), ("spin", np.int64), ("label", "U12")])

_BY_LABEL = {label: (ell, m - ell) for ell, labels in LABELS.items() for m, label in enumerate(labels)}


def expand_shells(shells):
    """(l, m, label) of every orbital of one atom.

    Parameters
    ----------
    shells : sequence of int or str
        A complete shell by its l, a single real harmonic by its label ("pz").
    """
    rows = []
    for shell in shells:
        if isinstance(shell, str):
            if shell not in _BY_LABEL:
                raise ValueError(f"unknown orbital {shell!r}; known: {', '.join(_BY_LABEL)}")
            rows.append((*_BY_LABEL[shell], shell))
        elif int(shell) in LABELS:
            ell = int(shell)
            rows += [(ell, m - ell, label) for m, label in enumerate(LABELS[ell])]
        else:
            raise ValueError(f"no shell with l = {shell}; known: {', '.join(map(str, LABELS))}")
    return rows


def orbital_table(symbols, shells):
    """Structured array (n_orbitals,) with fields atom, l, m, spin, label, in the order of the atoms.

    Parameters
    ----------
    symbols : sequence of str
        Chemical symbols, one per atom.
    shells : dict
        Chemical symbol -> shells of such an atom, e.g. ``{"Mo": (2,), "S": (1,)}`` or ``{"C": ("pz",)}``.

    Raises
    ------
    ValueError
        When a species has no entry, naming the first such atom.
    """
    symbols = list(symbols)
    expanded = {symbol: expand_shells(shells[symbol]) for symbol in set(symbols) if symbol in shells}
    for k, symbol in enumerate(symbols):
        if symbol not in expanded:
            raise ValueError(f"atom {k} is {symbol}: no orbitals are known for it (known: {', '.join(sorted(shells))})")
    rows = [(k, ell, m, 0, label) for k, symbol in enumerate(symbols) for ell, m, label in expanded[symbol]]
    return np.array(rows, dtype=DTYPE)


def orbital_counts(orbitals, n_atoms):
    """Number of orbitals per atom, shape (n_atoms,)."""
    return np.bincount(orbitals["atom"], minlength=n_atoms)


def shells_from_counts(symbols, counts):
    """Shells by species from the number of orbitals per atom: 1 -> s, 3 -> p, 5 -> d, 7 -> f.

    For files that hold blocks but do not say which shells they are.
    """
    shells = {}
    for k, (symbol, count) in enumerate(zip(symbols, counts)):
        ell, rest = divmod(int(count) - 1, 2)
        if rest or ell not in LABELS:
            raise ValueError(
                f"atom {k} ({symbol}) has {count} orbitals, no single shell: give shells={{{symbol!r}: ...}}"
            )
        if shells.setdefault(symbol, (ell,)) != (ell,):
            raise ValueError(
                f"atom {k} ({symbol}) has {count} orbitals, other atoms of the species {2 * shells[symbol][0] + 1}"
            )
    return shells


def orbital_kinds(orbitals):
    """Which orbital of its atom each one is, as rows (l, m, spin, number among equal ones of the atom), shape (n, 4).

    Equal atoms have equal rows, in whatever order their orbitals stand. Orbitals of unknown l are told apart by their
    order on the atom alone.
    """
    known = orbitals["l"] >= 0
    kinds = np.column_stack([orbitals["l"], np.where(known, orbitals["m"], 0), orbitals["spin"]])
    key = np.column_stack([orbitals["atom"], kinds])
    order = np.lexsort(key.T[::-1])  # stable: equal orbitals keep their order
    first = np.append(True, (np.diff(key[order], axis=0) != 0).any(axis=1)) if len(order) else np.zeros(0, bool)
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order)) - start
    return np.column_stack([kinds, number])


def order_by_atom(orbitals):
    """Indices that sort orbitals by atom, else keeping their order; spinors all up, then all down in the same order."""
    if (orbitals["spin"] == 0).all():
        return np.argsort(orbitals["atom"], kind="stable")
    return spin_pairs(orbitals).T.ravel()


def spin_pairs(orbitals):
    """Indices (n / 2, 2) of every orbital with spin up and of the same one with spin down, sorted by atom.

    Raises
    ------
    ValueError
        When some orbital has no partner, naming it: the file it came from does not say which spin it has.
    """
    kinds = orbital_kinds(orbitals)
    key = np.column_stack([orbitals["atom"], kinds[:, [0, 1, 3]]])
    up, down = (np.flatnonzero(orbitals["spin"] == spin) for spin in (1, -1))
    up, down = (index[np.lexsort(key[index].T[::-1])] for index in (up, down))
    if 2 * len(up) != len(orbitals) or len(down) != len(up) or (key[up] != key[down]).any():
        bad = np.flatnonzero(orbitals["spin"] == 0)
        where = (
            f"orbital {bad[0]} (atom {orbitals['atom'][bad[0]]}, {orbitals['label'][bad[0]]}) has no spin"
            if len(bad)
            else "some orbital has no partner of the other spin"
        )
        raise ValueError(f"spin needs spinors, pairs of an orbital with spin up and with spin down: {where}")
    pairs = np.column_stack([up, down])
    return pairs[np.lexsort((up, orbitals["atom"][up]))]
