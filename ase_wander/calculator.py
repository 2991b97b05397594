"""WanderCalculator: ASE in, ASE out."""

from __future__ import annotations

import threading
from copy import deepcopy
from os import PathLike

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    BaseCalculator,
    Calculator,
    InputError,
    PropertyNotImplementedError,
    all_changes,
    external_calculators,
)

from . import domain
from .domain import DomainWarning
from .electrons import Electrons, as_input_error
from .loading import load_model
from .model.protocol import Model, fingerprint
from .structure import check_atoms, continues, doubt_about_the_third_vector, empty_height, find_layers
from .tables import model_table

#: An atom that moves farther than this (Å) between two calls belongs to a new structure: layers are recognised again.
SAME_STRUCTURE = 1.0

__all__ = ["DomainWarning", "WanderCalculator"]


class WanderCalculator(Electrons, Calculator):
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
    nolabel = True  # `ase run` gives no file name to it
    ignored_changes = {"initial_charges", "initial_magmoms"}  # neither changes any result

    def __init__(
        self,
        model: str | PathLike | Model = "mos2-bilayer",
        *,
        device: str | None = None,
        dtype: str | None = None,
        sha256: str | None = None,
    ):
        """See the class; `sha256`, which `todict` records, refuses another model of the same name."""
        BaseCalculator.__init__(self)
        self.atoms, self.results, self.parameters = None, {}, {}
        self._directory, self.prefix = ".", None  # what ASE's file-based calculators are asked for
        if isinstance(model, Model):
            loaded: Model = model
        else:  # the published kind keeps the precision of its weights
            loaded = as_input_error(load_model, model, device or "cpu", dtype or "float64")
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
        whole = fingerprint(loaded)
        if sha256 not in (None, whole, loaded.digest):  # records of version 0.1 hold the hash of the weights alone
            raise InputError(
                f"model {loaded.name!r} has other weights, or another configuration, than those asked for: it was "
                "trained again or changed since"
            )
        self.parameters = {"model": loaded.name, "sha256": whole, **own}
        self.implemented_properties = list(self.model.implemented_properties)
        self._source = loaded.name if isinstance(model, Model) else str(model)  # what finds the model again
        self._warned, self._doubt = False, ""
        self._layers: tuple | None = None  # (copy of the last structure, its layers)
        self._last = None  # copy of the last structure that anything was asked of
        self._forget_domain()
        self._lock = threading.RLock()

    def __repr__(self):
        return f"WanderCalculator({', '.join(f'{k}={v!r}' for k, v in self.parameters.items() if k != 'sha256')})"

    def _repr_html_(self):
        return model_table(self.model)

    def __getstate__(self):  # a copy has its own lock, and no Hamiltonian of a gigabyte
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_kept")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def _get_name(self):
        return "wander"

    def set(self, bandpath=None, **kwargs) -> dict:
        """The path of `band_structure`, as ASE's own functions set it; nothing else can be changed."""
        if kwargs:
            raise InputError(f"WanderCalculator has no settable parameter {', '.join(kwargs)}; make a new one")
        if bandpath is None:
            return {}
        self.parameters["bandpath"] = bandpath
        return {"bandpath": bandpath}

    def todict(self, skip_default: bool = True) -> dict:
        """Model, hash of its weights and configuration, dtype and device: what a trajectory or database records, and
        __init__ takes."""
        return {k: v for k, v in self.parameters.items() if k != "bandpath"} | {"model": self._source}

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
        self._layers = (atoms.copy(), layers)
        self._forget_domain()
        return layers

    def _forget_domain(self):
        """Nothing is known, or has been said, of how far the structure is from the training data."""
        self._outside_named, self._uncertainty, self._findings, self._judged = False, None, [], None

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
            atoms = self._last
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
            domain.warn(
                f"the structure has {n_layers} layers; the data of model {self.model.name!r} have at most "
                f"{max(known)}, so that it is extrapolated"
            )

    def _check_vacuum(self, atoms):
        """A slab periodic in three directions must not feel its image; without that periodicity, nothing may look as if
        it had been meant."""
        if not atoms.pbc[2]:
            remark = doubt_about_the_third_vector(atoms)
            if remark and remark != self._doubt:
                domain.warn(remark)
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
        with self._lock:
            if atoms is not None:
                self.atoms = atoms.copy()
            self.results, self._uncertainty = {}, None  # a structure that is refused must not find those before it
            atoms, layers = self._checked(self.atoms)
            results = as_input_error(self.model.compute, atoms, layers, properties)
            outside = results.pop("outside", None)
            self.results, self._last = results, self.atoms
            self._warn_outside(atoms, layers, outside)

    def get_property(self, name, atoms=None, allow_calculation=True):
        """ASE's; one thread at a time, so that each gets the results of its own atoms."""
        with self._lock:
            return Calculator.get_property(self, name, atoms, allow_calculation)

    def _warn_outside(self, atoms, layers, outside=None):
        """Name, once per structure, atoms and layers outside the training data; `outside` (n,) where known."""
        if self._outside_named or self.model.trust is None:
            return
        fresh = self._judged is not layers  # the same array while layers are kept
        if fresh:
            self._judged, self._findings = layers, domain.stray_layers(self.model, atoms, layers)
        if outside is not None and not outside.any() and not any(f.is_outside for f in self._findings):
            return
        found = domain.widened(self.model.uncertainty(atoms, layers), layers, self._findings)
        if found["outside"].any():
            self._outside_named = True
            domain.warn(domain.outside_in_words(self.model, atoms, found))

    def get_descriptors(self, atoms: Atoms | None = None) -> np.ndarray:
        """RAER of every atom, (n_atoms, n_raer)."""
        return as_input_error(self.model.descriptors, *self._checked(atoms))

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

        The deviations were calibrated on the validation split: on kinds of structures that were not in it errors are
        larger, those of H about twice (docs/trust.md).

        PropertyNotImplementedError of a model that has no uncertainty fitted (see docs/trust.md).
        """
        if self.model.trust is None:
            raise PropertyNotImplementedError(
                f"model {self.model.name!r} ({self.model.kind}) has no uncertainty: none was fitted "
                "when it was shipped (ase_wander.evaluation.uncertainty.fit_uncertainty)"
            )
        with self._lock:
            known = self.atoms is not None and self.results  # asked for again, it is there
            if not known or (atoms is not None and not (isinstance(atoms, Atoms) and not self.check_state(atoms))):
                return self._judge(*self._checked(atoms))
            if self._uncertainty is None:
                self._uncertainty = self._judge(*self._checked(self.atoms))
            return deepcopy(self._uncertainty)  # the caller's own, as ASE's results are

    def _judge(self, atoms, layers):
        """Uncertainty of atoms and of whole layers."""
        found = as_input_error(self.model.uncertainty, atoms, layers)
        return domain.widened(found, layers, domain.stray_layers(self.model, atoms, layers))


external_calculators["wander"] = WanderCalculator  # get_calculator_class("wander")
