"""Recipe of a reference calculation: the settings that all configurations of one data set share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields

import numpy as np
from ase.data import atomic_numbers

from ...checks import is_number, shown
from ...electronic.orbitals import expand_shells

#: Module of every engine; each has `compute(atoms, recipe, log=None) -> Labels`.
ENGINES = {"gpaw": "ase_wander.data.dft.gpaw", "espresso": "ase_wander.data.dft.espresso"}


@dataclass(frozen=True)
class Recipe:
    """Settings of the reference calculations of one data set.

    Attributes
    ----------
    shells : dict symbol -> list of one shell, as in a model's configuration: an l, or "pz" for p along the local
        normal.
    engine : "gpaw" or "espresso".
    cutoff : eV, of the plane waves.
    xc : exchange-correlation functional.
    dispersion : "d3bj" or None.
    smearing : eV, width of the Fermi-Dirac occupations.
    length : Å; the k-grid has the least number of points n with n |a| >= length along each in-plane vector a.
    bands : bands of the calculation per atom of every species, symbol -> number.
    converged_bands : number of them, counted from below, per atom of every species, that the eigensolver converges.
    semicore : bands per atom of every species below an isolated manifold; None asks for disentanglement, or, without
        `window`, for finding the manifold by itself (`data.wannier.manifold`).
    window : (low, high) in eV about the Fermi level, where the bands of an entangled manifold must be right.
    fade : {height, centre, width, gate}, weights of the states of an entangled manifold (`projection.fade_weights`, eV
        above the
        Fermi level); None freezes the window's states instead, as Wannier90 does.
    extent : Å, length of the Hamiltonian's elements that are written.
    density, eigenstates : convergence criteria, as in GPAW.
    symmetry : use the structure's point group: fewer k-points, and no Hamiltonian, whose transform needs the whole
        grid; energy, forces, stress and eigenvalues are what they are without (a reference for `evaluate`, GPAW only).
    max_band_error : eV; a Hamiltonian whose bands miss the DFT eigenvalues by more (rms, inside the window) is refused.
    options : further settings of the engine (pseudopotentials, commands, ...).
    """

    shells: dict
    engine: str = "gpaw"
    cutoff: float = 400.0
    xc: str = "PBE"
    dispersion: str | None = "d3bj"
    smearing: float = 0.02
    length: float = 27.0
    bands: dict = field(default_factory=dict)
    converged_bands: dict = field(default_factory=dict)
    semicore: dict | None = None
    window: tuple | None = None
    fade: dict | None = None
    extent: float = 15.0
    density: float = 1e-5
    eigenstates: float = 1e-4
    symmetry: bool = False
    max_band_error: float = 0.02
    options: dict = field(default_factory=dict)

    @classmethod
    def from_dict(cls, raw: dict, source: str = "recipe") -> Recipe:
        """A checked recipe; ValueError that names the key that is wrong."""

        def fail(key, what):
            raise ValueError(f"{source}: {key}: {what}")

        if not isinstance(raw, dict):
            raise ValueError(f"{source}: expected a mapping of {', '.join(f.name for f in fields(cls))}")
        known = [f.name for f in fields(cls)]
        for key in raw:
            if key not in known:
                fail(key, f"unknown; known: {', '.join(known)}")
        if not isinstance(raw.get("shells"), dict) or not raw["shells"]:
            fail(
                "shells", "a mapping from symbols to lists of one shell is needed, e.g. {Mo: [2], S: [1]} or {C: [pz]}"
            )
        if raw.get("engine", "gpaw") not in ENGINES:
            fail("engine", f"{shown(raw['engine'])} is not known; known: {', '.join(ENGINES)}")
        if not isinstance(raw.get("symmetry", False), bool):
            fail("symmetry", f"{shown(raw['symmetry'])} is not true or false")
        if raw.get("symmetry") and raw.get("engine", "gpaw") == "espresso":
            fail("symmetry", "of engine espresso is not supported; leave it out")
        if raw.get("dispersion", "d3bj") not in ("d3bj", None):
            fail("dispersion", f"{shown(raw['dispersion'])} is not known; known: d3bj, null")
        for key in ("cutoff", "smearing", "length", "extent", "density", "eigenstates", "max_band_error"):
            if key in raw and not (is_number(raw[key]) and raw[key] > 0):
                fail(key, f"{shown(raw[key])} is not a positive number (write 1.0e-5, not 1e-5)")
        for key in ("shells", "bands", "converged_bands", "semicore", "options"):
            if raw.get(key) is not None and not isinstance(raw.get(key, {}), dict):
                fail(key, f"{shown(raw[key])} is not a mapping")
        for symbol, shells in raw["shells"].items():
            if atomic_numbers.get(symbol, 0) < 1:
                fail(f"shells.{symbol}", f"{shown(symbol)} is no element")
            if not isinstance(shells, (list, tuple)) or len(shells) != 1:
                fail(f"shells.{symbol}", f"{shown(shells)} is not a list of one shell")
            try:
                expand_shells(shells)
            except (ValueError, TypeError) as error:
                fail(f"shells.{symbol}", str(error))
        for key in ("bands", "converged_bands", "semicore"):
            for symbol, value in (raw.get(key) or {}).items():
                if not (is_number(value) and value >= 0):
                    fail(f"{key}.{symbol}", f"{shown(value)} is not a number of bands")
        window = raw.get("window")
        if window is not None and not (
            isinstance(window, (list, tuple))
            and len(window) == 2
            and all(map(is_number, window))
            and window[0] < window[1]
        ):
            fail("window", f"{shown(window)} is not [low, high] in eV about the Fermi level")
        fade = raw.get("fade")
        if fade is not None and not (
            isinstance(fade, dict)
            and set(fade) == {"height", "centre", "width", "gate"}
            and all(map(is_number, fade.values()))
            and fade["height"] >= 1
            and fade["width"] > 0
        ):
            fail("fade", f"{shown(fade)} is not a mapping of height (1 or more), centre and width (eV), gate (0 to 1)")
        return cls(**{**raw, "window": tuple(window) if window is not None else None})

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
            (shell,) = self.shells[symbol]
            if shell == "pz":
                out.append((k, 1, None))
            else:
                out += [(k, l, m) for l, m, _ in expand_shells([shell])]
        return out


def orbitals_per_atom(orbitals, n_atoms: int) -> np.ndarray:
    """Number of Wannier functions on every atom (n_atoms,)."""
    return np.bincount([k for k, _, _ in orbitals], minlength=n_atoms)
