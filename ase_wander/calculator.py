"""WanderCalculator: ASE in, ASE out."""

from __future__ import annotations

import warnings
from copy import deepcopy
from numbers import Real
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, Calculator, InputError, PropertyNotImplementedError, all_changes

from .loading import load_model
from .model.protocol import Model
from .structure import check_atoms, continues, doubt_about_the_third_vector, empty_height, find_layers

if TYPE_CHECKING:
    from ase.spectrum.band_structure import BandStructure

    from .electronic.hamiltonian import WannierHamiltonian

#: An atom that moves farther than this (Å) between two calls belongs to a new structure: layers are recognised anew.
SAME_STRUCTURE = 1.0

#: Atoms that a DomainWarning names.
NAMED = 3


class DomainWarning(UserWarning):
    """Atoms lie outside the training data of the model; what it says of them is extrapolation."""


class WanderCalculator(Calculator):
    """Energies, forces and stress of layered materials, and their Wannier Hamiltonian, from one loaded model.

    Parameters
    ----------
    model : str, path or model
        Name of a shipped model (`ase_wander.list_models()`), a folder, or a loaded model.
    device : str
        Torch device, "cpu" (default) or "cuda"; a loaded model keeps its own.
    dtype : {"float64", "float32"}
        Default float64; a loaded model keeps its own.

    Examples
    --------
    >>> atoms.calc = WanderCalculator("mos2-bilayer")
    >>> atoms.get_potential_energy()
    >>> atoms.calc.get_band_structure(path="GMKG", npoints=60, n_bands=40).plot()

    Notes
    -----
    Layers are recognised by covalent connectivity and then kept while the atoms' numbers and pbc stay and no atom
    jumps by more than 1 Å between calls, so that the energy never jumps during relaxation or MD. Any number of them
    is taken; a UserWarning says when the model's data (key `layers` of its config.json) have fewer. A DomainWarning,
    once per structure, names the atoms that lie outside the training data, where the model carries what is needed to
    tell.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    accepts_bandpath_keyword = True

    def __init__(
        self, model: str | PathLike | Model = "mos2-bilayer", *, device: str | None = None, dtype: str | None = None
    ):
        BaseCalculator.__init__(self)
        self.atoms, self.results, self.parameters = None, {}, {}
        self._directory, self.prefix = ".", None  # what ASE's file-based calculators are asked for
        if isinstance(model, Model):
            loaded: Model = model
        else:  # the published kind keeps the precision of its weights
            loaded = _as_input_error(load_model, model, device or "cpu", dtype or "float64")
            device = dtype = None
        self.model = loaded
        own = {
            "dtype": str(loaded.dtype).replace("torch.", ""),
            "device": str(loaded.device),
        }
        for name, wanted in (("dtype", dtype), ("device", device)):
            if wanted is not None and str(wanted).replace("torch.", "").split(":")[0] != own[name].split(":")[0]:
                raise InputError(
                    f"{name} is {wanted!r}, but the loaded model {loaded.name!r} is on {own[name]}; convert it "
                    f"with model.to(...), or give the calculator its name"
                )
        self.parameters = {"model": loaded.name, "sha256": loaded.digest, **own}
        self.implemented_properties = list(self.model.implemented_properties)
        self._warned, self._doubt = False, ""
        self._layers: tuple | None = None  # (copy of the last structure, its layers)
        self._outside_named = False  # of this structure, as is the uncertainty
        self._uncertainty: dict | None = None

    def _get_name(self):
        return "wander"

    def set(self, **kwargs) -> dict:
        """Nothing can be changed after construction; InputError for any keyword."""
        if kwargs:
            raise InputError(f"WanderCalculator has no settable parameter {', '.join(kwargs)}; make a new one")
        return {}

    def todict(self, skip_default: bool = True) -> dict:
        """Model name, hash of its weights, dtype and device: what a trajectory or database records."""
        return dict(self.parameters)

    # ------------------------------------------------------------------ ASE's side
    def layers(self, atoms: Atoms) -> np.ndarray:
        """Layer index of every atom (n,), 0 = lowest; InputError for what is no stack of layers."""
        if self._layers is not None and continues(self._layers[0], atoms, SAME_STRUCTURE):
            layers = self._layers[-1]
            self._layers = (atoms.copy(), layers)
            return layers
        try:
            layers = find_layers(atoms)
        except ValueError as error:
            raise InputError(str(error)) from None
        self._layers, self._outside_named = (atoms.copy(), layers), False
        return layers

    def recognise_layers(self, atoms: Atoms) -> np.ndarray:
        """Layers (n,) by the bonds of `atoms` as they are now; results of other layers are dropped.

        A structure that begins as something else (layers so near that they count as bonded) keeps its first layers
        while it moves; this is for its end.
        """
        kept = None if self._layers is None else self._layers[-1]
        self._layers = None
        layers = self.layers(atoms)
        if kept is None or not np.array_equal(layers, kept):
            self.reset()
        return layers

    def check_species(self, atoms: Atoms) -> None:
        """InputError naming the first atom of a species that the model does not know."""
        known = set(self.model.species)
        for index, symbol in enumerate(atoms.symbols):
            if symbol not in known:
                raise InputError(
                    f"atom {index} is {symbol}, but model {self.model.name!r} knows only "
                    f"{', '.join(self.model.species)}"
                )

    def set_atoms(self, atoms: Atoms) -> None:
        """Called by ASE at `atoms.calc = calculator`: refuses unknown species at once."""
        self.check_species(atoms)

    def _checked(self, atoms):
        if atoms is None:
            atoms = self.atoms
        if atoms is None:
            raise InputError("no atoms given, and none calculated before")
        if not isinstance(atoms, Atoms):
            raise InputError(f"atoms are {atoms!r}, not an ase.Atoms")
        self.check_species(atoms)
        try:
            check_atoms(atoms)
        except ValueError as error:
            raise InputError(str(error)) from None
        layers = self.layers(atoms)
        self._check_vacuum(atoms)
        self._check_layers(layers.max() + 1)
        return atoms, layers

    def _check_layers(self, n_layers):
        """Warn once of more layers than any configuration of the model's data has."""
        known = self.model.config.get("layers")
        if known and n_layers > max(known) and not self._warned:
            self._warned = True
            warnings.warn(
                f"the structure has {n_layers} layers; the data of model {self.model.name!r} have at most "
                f"{max(known)}, so that it is extrapolated",
                DomainWarning,
                stacklevel=4,
            )

    def _check_vacuum(self, atoms):
        """A slab periodic in three directions must not feel its image; without that periodicity, nothing may look as if
        it had been meant."""
        if not atoms.pbc[2]:
            remark = doubt_about_the_third_vector(atoms)
            if remark and remark != self._doubt:
                warnings.warn(remark, DomainWarning, stacklevel=4)
            self._doubt = remark
            return
        vacuum = empty_height(atoms)
        if vacuum < self.model.cutoff:
            raise InputError(
                f"pbc is true along the third lattice vector but the vacuum is only {vacuum:.2f} Å, less than "
                f"the model's cutoff of {self.model.cutoff:g} Å. A slab takes more vacuum "
                "(atoms.center(vacuum=10, axis=2)) or atoms.pbc = (True, True, False). A bulk crystal is not what the "
                "model is for: without that periodicity its layers count as one stack alone in the vacuum"
            )

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=all_changes) -> None:
        """One pass gives every property the model has; `properties` (a name, several, None) must be among them."""
        properties = (properties,) if isinstance(properties, str) else properties or ()
        for name in properties:
            if name not in self.implemented_properties:
                raise PropertyNotImplementedError(
                    f"model {self.model.name!r} ({self.model.kind}) has no {name}; it has "
                    f"{', '.join(self.implemented_properties)}"
                )
        if atoms is not None:
            self.atoms = atoms.copy()
        self.results, self._uncertainty = {}, None  # clear old results so that a rejected structure never returns them
        atoms, layers = self._checked(self.atoms)
        results = _as_input_error(self.model.compute, atoms, layers, properties)
        outside = results.pop("outside", None)
        self.results = results
        if outside is not None and outside.any() and not self._outside_named:
            self._warn_outside(atoms, layers)

    def _warn_outside(self, atoms, layers):
        """Name, once per structure, the atoms outside the training data."""
        self._outside_named = True
        self._uncertainty = uncertainty = self.model.uncertainty(atoms, layers)
        outside = np.flatnonzero(uncertainty["outside"])
        worst = outside[np.argsort(-uncertainty["distance"][outside], kind="stable")]
        named = "; ".join(f"atom {i} ({atoms.symbols[i]}): {uncertainty['reasons'][int(i)]}" for i in worst[:NAMED])
        more = f"; and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        warnings.warn(
            f"{len(outside)} of {len(atoms)} atoms lie outside the training data of model {self.model.name!r}: "
            f"{named}{more}",
            DomainWarning,
            stacklevel=4,
        )

    # ------------------------------------------------------------------ electrons
    def get_wannier_hamiltonian(
        self, atoms: Atoms | None = None, *, threshold: float = 0.0, **options
    ) -> WannierHamiltonian:
        """Wannier Hamiltonian of `atoms` (default: the last calculated) as a sparse `WannierHamiltonian`, eV.

        Elements below `threshold` (eV) in size are left out. `options` go to the model: `progress(done, total)` of kind
        wander; `hermitian` and `orbitals` of kind published (a wander Hamiltonian is always Hermitian).
        """
        from .electronic.hamiltonian import WannierHamiltonian

        atoms, layers = self._checked(atoms)
        if not isinstance(threshold, Real) or not 0 <= threshold < np.inf:
            raise InputError(f"threshold is {threshold!r}; it must be a finite energy of at least 0 eV")
        if self.model.is_equivariant:
            if not options.pop("hermitian", True):
                raise InputError(
                    "hermitian=False is for models of kind published; this one is Hermitian by construction"
                )
            if options.get("progress") is not None and not callable(options["progress"]):
                raise InputError("progress is a function of (pairs done, pairs in all)")
        blocks = _as_input_error(self.model.hamiltonian, atoms, layers, **options)
        h = WannierHamiltonian.from_pairs(atoms, self.model.shells, blocks, check=options.get("hermitian", True))
        return h.truncate(threshold) if threshold else h

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
            Only the bands nearest the gap; their absolute indices are in `bs.band_indices`.
        reference : "fermi", "vacuum" or float
            Only sets `bs.reference`.
        **options
            `threshold`, `hermitian` as for `get_wannier_hamiltonian`; the rest goes to the eigensolver, see
            `ase_wander.electronic.bands.band_structure`.
        """
        from .electronic.bands import band_structure

        h = self.get_wannier_hamiltonian(atoms, **_pop_model_options(options))
        return _as_input_error(band_structure, h, path, npoints, n_bands, reference, **options)

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
            kpts, options["weights"] = _as_input_error(_mesh, h.atoms, kpts, symmetric)
        return _as_input_error(density_of_states, h, kpts=kpts, **options)

    def get_descriptors(self, atoms: Atoms | None = None) -> np.ndarray:
        """RAER of every atom, (n_atoms, n_raer)."""
        return _as_input_error(self.model.descriptors, *self._checked(atoms))

    def get_uncertainty(self, atoms: Atoms | None = None) -> dict:
        """Standard deviations of what the model predicts, and the atoms outside its training data.

        Returns
        -------
        dict with

        energy : float, eV; energies : (n,), eV
        forces : (n,), eV/Å, of one Cartesian component of the force on each atom
        hamiltonian : (n,), eV, of an element among the blocks of each atom; absent where H was not calibrated
        outside : (n,) bool, whether the atom lies outside the training data
        distance : (n,), how far it lies from them, 1 at the limit
        reasons : {atom: str}, why, of those outside

        PropertyNotImplementedError of a model that has no uncertainty fitted (see docs/trust.md).
        """
        if self.model.trust is None:
            raise PropertyNotImplementedError(
                f"model {self.model.name!r} ({self.model.kind}) has no uncertainty: none was fitted "
                "when it was shipped (ase_wander.evaluation.uncertainty.fit_trust)"
            )
        known = self.atoms is not None and self.results  # asked for again, it is there
        if known and (atoms is None or (isinstance(atoms, Atoms) and not self.check_state(atoms))):
            if self._uncertainty is None:
                self._uncertainty = _as_input_error(self.model.uncertainty, *self._checked(self.atoms))
            return deepcopy(self._uncertainty)  # the caller's own, as ASE's results are
        return _as_input_error(self.model.uncertainty, *self._checked(atoms))


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


def _as_input_error(function, *args, **kwargs):
    """Call; what a lower floor refuses as ValueError is the calculator's InputError, and still a ValueError."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise _BadInput(str(error)) from None


class _BadInput(InputError, ValueError):
    """Bad input in ASE's words, and the ValueError that every reader and builder raises."""
