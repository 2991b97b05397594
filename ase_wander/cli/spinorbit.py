"""Spin-orbit coupling and the energy window on the command line, for every command that draws bands."""

from __future__ import annotations

import argparse
import math

from .common import CommandError

#: Letters of shells, as they stand in --strengths, and their angular momenta.
SHELLS = {"s": 0, "p": 1, "d": 2, "f": 3}


def add_spin_options(group) -> None:
    """--spin-orbit, --strengths."""
    group.add_argument(
        "--spin-orbit",
        action="store_true",
        help="couple spin and orbit on every atom (lambda L.S); without --strengths by the constants of Mo, W and S",
    )
    group.add_argument(
        "--strengths",
        type=coupling_strengths,
        metavar="X:l=eV,...",
        help="coupling constants in eV by species and shell, as Mo:d=0.075,S:p=0.052, instead; implies --spin-orbit",
    )


def add_window_option(group) -> None:
    """--window."""
    group.add_argument(
        "--window",
        nargs=2,
        type=finite_float,
        metavar=("LOW", "HIGH"),
        help="energies drawn, eV from the zero of the figure; default 1.5 eV around the gap",
    )


def finite_float(text: str) -> float:
    """A finite number, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def coupling_strengths(text: str) -> dict:
    """Species -> {l: eV} of a word such as "Mo:d=0.075,S:p=0.052", for argparse."""
    from ase.data import atomic_numbers

    found: dict = {}
    for part in text.split(","):
        symbol, _, rest = part.strip().partition(":")
        letter, equals, value = rest.partition("=")
        if atomic_numbers.get(symbol, 0) < 1 or letter not in SHELLS or not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not of the form Mo:d=0.075 (species, shell, eV)")
        if SHELLS[letter] in found.setdefault(symbol, {}):
            raise argparse.ArgumentTypeError(f"{symbol}:{letter} is given twice")
        found[symbol][SHELLS[letter]] = finite_float(value)
    return found


def spin_settings(arguments) -> dict:
    """Settings that results depend on; nothing without spin-orbit coupling."""
    if not _is_wanted(arguments):
        return {}
    from ..electronic.spinorbit import STRENGTHS

    return {"spin_orbit": _named(arguments.strengths or STRENGTHS)}


def with_spins(hamiltonian, arguments):
    """The Hamiltonian with the coupling that the options ask for; one that a run before has doubled stays as it is.

    CommandError for what cannot couple, or where a Hamiltonian from elsewhere has spin already.
    """
    if not _is_wanted(arguments):
        return hamiltonian
    from ..electronic.spinorbit import STRENGTHS, with_spin_orbit

    strengths = arguments.strengths
    if hamiltonian.spin_degeneracy == 1:
        wanted = {s: {str(ell): x for ell, x in d.items()} for s, d in (strengths or STRENGTHS).items()}
        if hamiltonian.info.get("spin_orbit") == wanted:
            return hamiltonian
        raise CommandError("the Hamiltonian has spin already, of other coupling; leave --spin-orbit out")
    try:
        return with_spin_orbit(hamiltonian, strengths)
    except ValueError as error:
        advice = "; on the command line --strengths, as Mo:d=0.075" if "strengths" in str(error) else ""
        raise CommandError(f"--spin-orbit: {error}{advice}") from None


def check_spins(atoms, model, arguments) -> None:
    """Refuse what cannot couple before anything long begins: the coupling on orbitals without any hopping."""
    if not _is_wanted(arguments):
        return
    from scipy.sparse import csr_matrix

    from ..electronic.hamiltonian import WannierHamiltonian
    from ..electronic.orbitals import orbital_table

    if not model.shells:
        return
    orbitals = orbital_table(atoms.symbols, model.shells)
    nothing = csr_matrix((len(orbitals), len(orbitals)))
    with_spins(WannierHamiltonian(atoms, orbitals, [[0, 0, 0]], [nothing]), arguments)


def checked_window(arguments):
    """(low, high) in eV or None; CommandError where they are the wrong way round."""
    if arguments.window is not None and not arguments.window[0] < arguments.window[1]:
        raise CommandError(f"--window: LOW {arguments.window[0]:g} eV is not below HIGH {arguments.window[1]:g} eV")
    return arguments.window


def _is_wanted(arguments):
    return arguments.spin_orbit or arguments.strengths is not None


def _named(strengths):
    """Strengths with letters for shells, for a settings file."""
    letters = {ell: letter for letter, ell in SHELLS.items()}
    return {symbol: {letters[ell]: x for ell, x in by_l.items()} for symbol, by_l in strengths.items()}
