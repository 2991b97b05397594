"""Recipe of a reference calculation: the settings that all configurations of one data set share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from ase.data import atomic_numbers

from ...checks import is_number, shown
from ...electronic.orbitals import expand_shells
from ...schema import entries, mapping, number, one_of, optional, read, setting, switch

#: Module of every engine; each has `compute(atoms, recipe, log=None) -> Labels`.
ENGINES = {"gpaw": "ase_wander.data.dft.gpaw", "espresso": "ase_wander.data.dft.espresso"}


#: Checks of a positive number, and of numbers of bands by species.
POSITIVE = number(above=0, what="is not a positive number (write 1.0e-5, not 1e-5)")
BANDS = entries(number(what="is not a number of bands"), "a mapping from symbols to numbers of bands")


def is_shell(value):
    """Check of the shells of a species: complete ones, each once, or a single orbital."""
    if not isinstance(value, (list, tuple)) or not value:
        return "is not a list of shells"
    try:
        expand_shells(value)
    except (ValueError, TypeError) as error:
        return f"is no shell: {error}"
    if len(value) > 1 and (len(set(value)) < len(value) or any(isinstance(shell, str) for shell in value)):
        return "are not different complete shells, or one orbital alone"
    return None


def is_window(value):
    """Check of a window of energies."""
    good = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]
    return None if good else "is not [low, high] in eV about the Fermi level"


def is_fade(value):
    """Check of the weights of an entangled manifold."""
    good = (
        isinstance(value, dict)
        and set(value) == {"height", "centre", "width", "gate"}
        and all(map(is_number, value.values()))
        and value["height"] >= 1
        and value["width"] > 0
    )
    return None if good else "is not a mapping of height (1 or more), centre and width (eV), gate (0 to 1)"


@dataclass(frozen=True)
class Recipe:
    """Settings of the reference calculations of one data set.

    Attributes
    ----------
    shells : dict of str to list
        Of every species its shells, each by its l, or "pz" alone for p along the local normal. Models take one shell.
    engine : {"gpaw", "espresso"}
    cutoff : float
        Of the plane waves, eV.
    xc : str
        Exchange-correlation functional.
    dispersion : {"d3bj", None}
    smearing : float
        Width of the Fermi-Dirac occupations, eV.
    length : float
        Å; the k-grid has the least number of points n with n |a| >= length along each in-plane vector a.
    bands : dict of str to float
        Bands of the calculation per atom of every species.
    converged_bands : dict of str to float
        How many of them, counted from below, the eigensolver converges, per atom of every species.
    semicore : dict of str to float, optional
        Bands per atom of every species below an isolated manifold. None asks for disentanglement, or, without
        `window`, for finding the manifold by itself (`data.wannier.manifold`).
    window : (float, float), optional
        Lowest and highest energy, eV about the Fermi level, where the bands of an entangled manifold must be right.
    fade : dict, optional
        {height, centre, width, gate}, weights of the states of an entangled manifold (`projection.fade_weights`, eV
        above the Fermi level); None freezes the window's states instead, as Wannier90 does.
    extent : float
        Length of the Hamiltonian's elements that are written, Å.
    density, eigenstates : float
        Convergence criteria, as in GPAW.
    symmetry : bool
        Use the structure's point group: fewer k-points, and no Hamiltonian, whose transform needs the whole grid.
        Energy, forces, stress and eigenvalues are what they are without (a reference for `evaluate`, GPAW only).
    max_band_error : float
        eV; a Hamiltonian whose bands miss the DFT eigenvalues by more (rms, inside the window) is refused.
    options : dict
        Further settings of the engine (pseudopotentials, commands, ...).
    """

    shells: dict = setting(entries(is_shell, "a mapping from symbols to lists of shells"))
    engine: str = setting(one_of(ENGINES), "gpaw")
    cutoff: float = setting(POSITIVE, 400.0)
    xc: str = setting(None, "PBE")
    dispersion: str | None = setting(one_of(("d3bj", None)), "d3bj")
    smearing: float = setting(POSITIVE, 0.02)
    length: float = setting(POSITIVE, 27.0)
    bands: dict = setting(optional(BANDS), factory=dict)
    converged_bands: dict = setting(optional(BANDS), factory=dict)
    semicore: dict | None = setting(optional(BANDS), None)
    window: tuple | None = setting(optional(is_window), None)
    fade: dict | None = setting(optional(is_fade), None)
    extent: float = setting(POSITIVE, 15.0)
    density: float = setting(POSITIVE, 1e-5)
    eigenstates: float = setting(POSITIVE, 1e-4)
    symmetry: bool = setting(switch(), False)
    max_band_error: float = setting(POSITIVE, 0.02)
    options: dict = setting(optional(mapping("a mapping")), factory=dict)

    @classmethod
    def from_dict(cls, raw: dict, source: str = "recipe") -> Recipe:
        """A checked recipe; ValueError that names the key that is wrong."""

        def fail(key, what):
            raise ValueError(f"{source}: {key}: {what}")

        if not isinstance(raw, dict):
            raise ValueError(f"{source}: expected a mapping of {', '.join(f.name for f in fields(cls))}")
        recipe = read(cls, raw, fail)
        if not recipe.shells:
            fail("shells", "nothing there; needed are shells by symbol, e.g. {Mo: [2], S: [1]} or {C: [pz]}")
        for symbol in recipe.shells:
            if atomic_numbers.get(symbol, 0) < 1:
                fail(f"shells.{symbol}", f"{shown(symbol)} is no element")
        if recipe.symmetry and recipe.engine == "espresso":
            fail("symmetry", "of engine espresso is not supported; leave it out")
        return replace(recipe, window=None if recipe.window is None else tuple(recipe.window))

    def to_dict(self) -> dict:
        """Plain data, for files and hashes."""
        return asdict(self)

    def grid(self, atoms) -> tuple:
        """Γ-centred k-grid (n1, n2, 1) of a slab."""
        lengths = atoms.cell.lengths()
        return tuple(max(math.ceil(self.length / lengths[axis] - 1e-9), 1) for axis in (0, 1)) + (1,)

    def count(self, key: str, atoms) -> int:
        """Number of bands of `bands`, `converged_bands` or `semicore` in a cell, rounded up.

        ValueError for a species without one.
        """
        table = getattr(self, key)
        missing = sorted(set(atoms.symbols) - set(table))
        if missing:
            raise ValueError(f"recipe: {key}: nothing for {', '.join(missing)}")
        return math.ceil(sum(table[s] for s in atoms.symbols) - 1e-9)

    def orbitals(self, atoms) -> list:
        """(atom, l, m or None) of every Wannier function; None means p along the local normal."""
        out = []
        for k, symbol in enumerate(atoms.symbols):
            if symbol not in self.shells:
                raise ValueError(f"recipe: shells: nothing for {symbol} (atom {k})")
            shells = self.shells[symbol]
            if list(shells) == ["pz"]:
                out.append((k, 1, None))
            else:
                out += [(k, l, m) for l, m, _ in expand_shells(shells)]
        return out


def orbitals_per_atom(orbitals, n_atoms: int) -> np.ndarray:
    """Number of Wannier functions on every atom (n_atoms,)."""
    return np.bincount([k for k, _, _ in orbitals], minlength=n_atoms)
