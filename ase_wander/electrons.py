"""What a WanderCalculator gives beside ASE's properties: Hamiltonian, bands, Fermi level, density of states."""

from __future__ import annotations

import logging
import time
from copy import copy
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError

from . import domain

if TYPE_CHECKING:
    import threading

    from ase.spectrum.band_structure import BandStructure

    from .electronic.hamiltonian import WannierHamiltonian
    from .model.protocol import Model

log = logging.getLogger(__name__)

#: The last Hamiltonian is kept up to so many stored elements (12 bytes each).
KEPT_ELEMENTS = 10**8


def as_input_error(function, *args, **kwargs):
    """Call; what a lower floor refuses as ValueError is the calculator's InputError, and still a ValueError."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise BadInput(str(error)) from None


class BadInput(InputError, ValueError):
    """Bad input in ASE's words, and the ValueError that every reader and builder raises."""


class Electrons:
    """Mixin with the electronic side of the calculator, on top of its `model`, `_checked` and `_lock`."""

    model: Model
    parameters: dict
    _lock: threading.RLock
    _checked: Any
    _warn_outside: Any
    _kept: tuple | None = None  # (atoms, layers, options, WannierHamiltonian) of the last Hamiltonian

    def get_wannier_hamiltonian(
        self, atoms: Atoms | None = None, *, threshold: float = 0.0, **options
    ) -> WannierHamiltonian:
        """Wannier Hamiltonian of `atoms` (default: the last structure) as a sparse `WannierHamiltonian`, eV.

        Elements below `threshold` (eV) in size are left out. `options` go to the model: `progress(done, total)` where
        it reports progress; `hermitian` and `orbitals` of kind published (others are Hermitian by construction).

        The last Hamiltonian is kept, up to 10^8 stored elements, and given again while structure and options stay. A
        DomainWarning says when layers lie outside the training data; coupling across gaps wider than theirs is
        continued with the decay of a wave in vacuum, blocks larger than any in nature are limited
        (`ase_wander.domain`).
        """
        if not isinstance(threshold, Real) or isinstance(threshold, bool) or not 0 <= threshold < np.inf:
            raise InputError(f"threshold is {threshold!r}; it must be a finite energy of at least 0 eV")
        if self.model.is_equivariant:
            if not options.pop("hermitian", True):
                raise InputError(
                    "hermitian=False is for models of kind published; this one is Hermitian by construction"
                )
            if options.get("progress") is not None and not callable(options["progress"]):
                raise InputError("progress is a function of (pairs done, pairs in all)")
        with self._lock:
            h = self._hamiltonian(atoms, options)
        return h.truncate(threshold) if threshold else copy(h)

    def _hamiltonian(self, atoms, options):
        """The Hamiltonian that is kept, or a new one."""
        from .electronic.hamiltonian import WannierHamiltonian

        atoms, layers = self._checked(atoms)
        self._warn_outside(atoms, layers)
        asked = {name: value for name, value in options.items() if name != "progress"}
        if self._kept is not None and _same(self._kept, atoms, layers, asked):
            return self._kept[-1]
        self._kept = None  # not two at a time
        begin = time.perf_counter()
        findings = domain.stray_layers(self.model, atoms, layers)
        blocks, n_limited = as_input_error(
            domain.believable_hamiltonian, self.model, atoms, layers, findings, **options
        )
        if n_limited:
            domain.warn(
                f"{n_limited} blocks of the Hamiltonian were larger than {domain.LIMIT:g} eV and have been limited to "
                f"it: the structure is far outside the training data of {self.model.name!r}, its bands mean nothing",
                domain.NonsenseWarning,
            )
        h = WannierHamiltonian.from_pairs(atoms, self.model.shells, blocks, check=options.get("hermitian", True))
        log.info("Hamiltonian of %d atoms, %d orbitals: %.1f s", len(atoms), h.n_orbitals, time.perf_counter() - begin)
        self._last = atoms.copy()
        if sum(b.nnz for b in h.blocks) <= KEPT_ELEMENTS and not n_limited:
            self._kept = (atoms.copy(), layers, asked, h)
        return h

    def get_band_structure(
        self,
        atoms: Atoms | None = None,
        path=None,
        npoints: int | None = None,
        n_bands: int | None = None,
        reference: str | float = "fermi",
        **options,
    ) -> BandStructure:
        """Bands as an ASE `BandStructure`, energies relative to the vacuum level.

        Parameters
        ----------
        path : str or BandPath
            Special points such as "GMKG"; default: the standard path of the plane's lattice.
        npoints : int
        n_bands : int
            Only the bands nearest the gap; their absolute indices are in `bs.band_indices`, and between which
            energies no other band lies in `bs.complete`.
        reference : "fermi", "vacuum" or float
            Only sets `bs.reference`.
        **options
            `threshold`, `hermitian` as for `get_wannier_hamiltonian`; the rest goes to the eigensolver, see
            `ase_wander.electronic.bands.band_structure`.
        """
        from .electronic.bands import band_structure

        h = self.get_wannier_hamiltonian(atoms, **_pop_model_options(options))
        return as_input_error(band_structure, h, path, npoints, n_bands, reference, **options)

    def get_fermi_level(self, atoms: Atoms | None = None) -> float:
        """Fermi level (eV, relative to vacuum): mid-gap of an insulator."""
        return self.get_wannier_hamiltonian(atoms).fermi_level()

    def get_dos(self, atoms: Atoms | None = None, *, kpts=None, **options):
        """Density of states; the options of `ase_wander.electronic.properties.dos.density_of_states`.

        Parameters
        ----------
        kpts : (int, int), array_like (n_k, 3), optional
            A Gamma-centred mesh of the plane, reduced by the layer group of the atoms (up to 0.001 Å) and time
            reversal, or k-points with their `weights`. Parts by layer, by atom or of one's own choice are not
            symmetric: for those, and for models that are not equivariant, a mesh is reduced by time reversal alone.
        **options
            Also `threshold`, `hermitian` as for `get_wannier_hamiltonian`.
        """
        from .electronic.properties.dos import density_of_states

        h = self.get_wannier_hamiltonian(atoms, **_pop_model_options(options))
        if kpts is not None and np.ndim(kpts) == 1 and np.issubdtype(np.asarray(kpts).dtype, np.integer):
            symmetric = self.model.is_equivariant and options.get("project") in (None, "species", "shell")
            kpts, options["weights"] = as_input_error(_mesh, h.atoms, kpts, symmetric)
        return as_input_error(density_of_states, h, kpts=kpts, **options)

    def band_structure(self) -> BandStructure:
        """Bands along the path of `set(bandpath=...)`: ASE's protocol, see `ase.spectrum.band_structure`."""
        path = self.parameters.get("bandpath")
        if path is None:
            raise InputError("no path: set(bandpath=atoms.cell.bandpath(..., pbc=atoms.pbc)) first")
        return self.get_band_structure(path=path)


def _same(kept, atoms, layers, asked):
    """Whether a kept Hamiltonian is that of the atoms, their layers and options."""
    there, its_layers, its_options, _ = kept
    if set(its_options) != set(asked) or any(its_options[name] is not asked[name] for name in asked):
        return False
    return (
        np.array_equal(there.numbers, atoms.numbers)
        and np.array_equal(there.positions, atoms.positions)
        and np.array_equal(there.cell.array, atoms.cell.array)
        and np.array_equal(there.pbc, atoms.pbc)
        and np.array_equal(its_layers, layers)
    )


def _pop_model_options(options):
    """Take what `get_wannier_hamiltonian` knows out of `options`."""
    return {k: options.pop(k) for k in ("hermitian", "orbitals", "threshold") if k in options}


def _mesh(atoms, mesh, symmetric):
    """k-points (n, 3) and weights of a mesh in the plane, (n1, n2) or (n1, n2, 1)."""
    mesh = [int(n) for n in mesh]
    if len(mesh) not in (2, 3) or min(mesh) < 1 or mesh[2:] not in ([], [1]):
        raise ValueError(f"kpts is {tuple(mesh)}; a mesh of the plane takes two positive integers")
    if symmetric:
        from .moire import irreducible_kpoints

        return irreducible_kpoints(atoms, mesh[:2])
    from .electronic.filling import monkhorst_pack

    return monkhorst_pack([*mesh[:2], 1])
