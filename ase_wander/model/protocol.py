"""Interface of every kind of model, between networks and calculator, evaluation and command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from ase import Atoms

from ..electronic.blocks import PairBlocks


@runtime_checkable
class Model(Protocol):
    """A trained model of one material family, whatever its kind.

    Attributes
    ----------
    kind : str
        "wander", "two-center" or "published": the name of the recipe, for messages and cards. What a model can do is
        said by the attributes below, never by its kind.
    name, digest : str
        Name in the catalogue, and SHA-256 of the weights.
    config : dict
        Contents of `config.json`: `layers`, `equilibrium`, `trained_whole`, ...
    species : tuple of str
    shells : dict
        Symbol -> shells of the Wannier functions.
    implemented_properties : tuple of str
        ASE's names of what `compute` returns.
    precisions : tuple of torch.dtype
        Types of the weights that the model is meant to compute in.
    is_equivariant : bool
        Whether forces and H follow every rotation, reflection and permutation, with H Hermitian by construction.
        Other models take `hermitian` and `orbitals` as options of `hamiltonian`.
    is_differentiable : bool
        Whether H has derivatives, see `model.derivatives`.
    reports_progress : bool
        Whether `hamiltonian` takes `progress`, a function of (pairs done, pairs in all).
    has_vacuum_step : bool
        Whether the model predicts the step of the vacuum level across the slab.
    n_raer : int
        Size of the descriptors.
    n_parameters : int
        Number of trained weights.
    trust : FittedUncertainty or None
        Fitted uncertainty.
    """

    kind: str
    config: dict[str, Any]
    species: Sequence[str]
    shells: Mapping[str, tuple]
    implemented_properties: Sequence[str]
    precisions: Sequence[torch.dtype]
    is_equivariant: bool
    is_differentiable: bool
    reports_progress: bool
    digest: str
    trust: Any

    @property
    def name(self) -> str: ...

    @property
    def cutoff(self) -> float:
        """Largest distance (Å) at which two atoms share a Hamiltonian block."""

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def n_raer(self) -> int: ...

    @property
    def n_parameters(self) -> int: ...

    @property
    def has_vacuum_step(self) -> bool: ...

    def refusal(self, atoms: Atoms, layers: np.ndarray) -> str | None:
        """Why the model does not take a structure of its species; None when it does."""

    def compute(self, atoms: Atoms, layers: np.ndarray, properties: Sequence[str] = ...) -> dict[str, Any]:
        """Results in ASE units."""

    def descriptors(self, atoms: Atoms, layers: np.ndarray) -> np.ndarray:
        """RAER of every atom, (n_atoms, n_raer)."""

    def hamiltonian(self, atoms: Atoms, layers: np.ndarray, **options) -> PairBlocks:
        """Blocks of every ordered pair within the cutoff, and the number of electrons."""

    def uncertainty(self, atoms: Atoms, layers: np.ndarray) -> dict[str, Any]:
        """Standard deviations, and the atoms outside the training data; ValueError of a model without `trust`."""

    def save(self, folder):
        """Write a model folder."""


def fingerprint(model: Model) -> str:
    """SHA-256 over the hash of a model's weights and its configuration, which decide what it predicts together."""
    settings = getattr(model, "settings", model.config)
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(f"{model.digest}\n{text}".encode()).hexdigest()
