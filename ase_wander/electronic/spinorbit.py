"""On-site spin-orbit coupling lambda L.S on complete shells; the Hamiltonian doubles."""

from __future__ import annotations

import numpy as np
from scipy.sparse import block_diag, coo_matrix

from .transforms import with_onsite
from .validity import finite

#: Atomic coupling constants in eV by species and l, of tight-binding fits to MoS2 and WS2.
#: R. Roldan et al., 2D Mater. 1, 034003 (2014), table 4.
STRENGTHS = {"Mo": {2: 0.075}, "W": {2: 0.215}, "S": {1: 0.052}}


def angular_momentum(ell):
    """L_x, L_y, L_z (units of hbar) in the real harmonics m = -l ... l, shape (3, 2l + 1, 2l + 1), purely imaginary."""
    m = np.arange(-ell, ell + 1)
    size = 2 * ell + 1
    raising = np.diag(np.sqrt(ell * (ell + 1) - m[:-1] * (m[:-1] + 1.0)), -1).astype(complex)
    lx, ly, lz = (raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m).astype(complex)
    # Columns: real harmonics in complex ones (Condon-Shortley): m > 0: (Y_-m + (-1)^m Y_m) / sqrt2,
    # m < 0: i (Y_m - (-1)^m Y_-m) / sqrt2
    u = np.zeros((size, size), complex)
    u[ell, ell] = 1
    for k in range(1, ell + 1):
        sign = (-1) ** k
        u[ell - k, ell + k], u[ell + k, ell + k] = 1 / np.sqrt(2), sign / np.sqrt(2)
        u[ell - k, ell - k], u[ell + k, ell - k] = 1j / np.sqrt(2), -1j * sign / np.sqrt(2)
    return np.array([u.conj().T @ x @ u for x in (lx, ly, lz)])


def with_spin_orbit(h, strengths=None):
    """The spinor Hamiltonian H x 1 + lambda L.S: all orbitals spin up, then all spin down (along z).

    Parameters
    ----------
    h : WannierHamiltonian
        Without spin.
    strengths : dict, optional
        Species -> {l: lambda in eV}; `STRENGTHS` by default. Shells not listed stay without coupling.

    Raises
    ------
    ValueError
        When h has spin already, a species is unknown, no shell couples, or one that does is not complete.
    """
    if h.spin_degeneracy == 1:
        raise ValueError("the Hamiltonian has spin already")
    atoms = h.require_atoms("spin-orbit coupling")
    if strengths is None:
        strengths = STRENGTHS
        unknown = sorted(set(atoms.symbols) - set(strengths))
        if unknown:
            raise ValueError(
                f"no spin-orbit constant is known for {', '.join(unknown)}; give strengths={{{unknown[0]!r}: "
                "{l: eV}}"
            )
    _check_strengths(strengths)
    n, symbols = h.n_orbitals, np.asarray(atoms.symbols)
    row, col, data, coupled = [], [], [], False
    for symbol, by_l in strengths.items():
        for ell, strength in by_l.items():
            index = np.flatnonzero((symbols[h.orbitals["atom"]] == symbol) & (h.orbitals["l"] == ell))
            coupled |= len(index) > 0
            if not len(index) or strength == 0:
                continue
            shells = _complete_shells(h, index, ell, symbol)
            lx, ly, lz = angular_momentum(ell) * strength / 2
            # L.S = 1/2 [[Lz, Lx - i Ly], [Lx + i Ly, -Lz]]
            for s, t, block in ((0, 0, lz), (0, 1, lx - 1j * ly), (1, 0, lx + 1j * ly), (1, 1, -lz)):
                row.append((shells[:, :, None] + s * n).repeat(2 * ell + 1, 2).ravel())
                col.append((shells[:, None, :] + t * n).repeat(2 * ell + 1, 1).ravel())
                data.append(np.tile(block.ravel(), len(shells)))
    if not coupled:
        raise ValueError(f"no orbital of this Hamiltonian couples with strengths {strengths!r}")
    blocks = [block_diag([block, block], format="csr") for block in h.blocks]
    orbitals = np.concatenate([h.orbitals, h.orbitals])
    orbitals["spin"] = np.repeat([1, -1], n)
    centres = None if h._centres is None else np.concatenate([h.centres, h.centres])
    info = h.info | {"spin_orbit": {s: {str(ell): float(x) for ell, x in d.items()} for s, d in strengths.items()}}
    doubled = h.replace(orbitals=orbitals, blocks=blocks, spin_degeneracy=1, centres=centres, info=info)
    if not row:
        return doubled
    coupling = coo_matrix((np.concatenate(data), (np.concatenate(row), np.concatenate(col))), shape=(2 * n, 2 * n))
    return with_onsite(doubled, coupling.tocsr())


def _check_strengths(strengths):
    """ValueError unless `strengths` maps species to {l: finite eV}."""
    if not isinstance(strengths, dict) or not all(isinstance(by_l, dict) for by_l in strengths.values()):
        raise ValueError(f"strengths are {strengths!r}; they map species to {{l: eV}}, as {{'Mo': {{2: 0.075}}}}")
    for symbol, by_l in strengths.items():
        for ell, strength in by_l.items():
            finite(strength, f"the spin-orbit constant (eV) of {symbol}, l = {ell},")


def _complete_shells(h, index, ell, symbol):
    """(n_shells, 2l + 1) orbital indices, m ascending; ValueError for an incomplete shell."""
    size = 2 * ell + 1
    order = index[np.lexsort((h.orbitals["m"][index], h.orbitals["atom"][index]))]
    atoms, counts = np.unique(h.orbitals["atom"][index], return_counts=True)
    wrong = atoms[counts != size]
    if len(wrong):
        raise ValueError(
            f"atom {wrong[0]} ({symbol}) has {counts[counts != size][0]} of the {size} orbitals of l = {ell}: "
            "L.S needs a complete shell"
        )
    shells = order.reshape(-1, size)
    wrong = atoms[(h.orbitals["m"][shells] != np.arange(-ell, ell + 1)).any(axis=1)]
    if len(wrong):
        raise ValueError(f"atom {wrong[0]} ({symbol}) has one orbital of l = {ell} twice and lacks another")
    return shells
