"""Engines: what turns a structure and a recipe into labels."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from ase import Atoms

from .labels import Labels
from .recipe import ENGINES, Recipe

#: Settings that only what follows the calculation needs: with others, labels stay valid and Hamiltonians are made
#: again.
AFTERWARDS = ("semicore", "window", "fade", "extent", "max_band_error")


def compute(atoms: Atoms, recipe: Recipe, log=None) -> Labels:
    """Labels of a structure by the recipe's engine; ValueError for an engine that is not there."""
    if recipe.engine not in ENGINES:
        raise ValueError(f"recipe: engine: {recipe.engine!r} is not known; known: {', '.join(ENGINES)}")
    return import_module(ENGINES[recipe.engine]).compute(atoms, recipe, log)


def check_installed(recipe: Recipe) -> None:
    """ValueError when a package that the recipe needs cannot be imported on this machine."""
    needed = {"gpaw": ["gpaw"]}.get(recipe.engine, []) + (
        ["dftd3"] if recipe.dispersion == "d3bj" and recipe.engine in ("gpaw", "espresso") else []
    )
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} cannot be imported here: pip install ase-wander[dft]")


def labels_hash(atoms: Atoms, recipe: Recipe) -> str:
    """SHA-256 of a structure and of the settings that its labels depend on."""
    return _hash(atoms, recipe, AFTERWARDS)


def hamiltonian_hash(atoms: Atoms, recipe: Recipe) -> str:
    """SHA-256 of a structure and of the whole recipe."""
    return _hash(atoms, recipe, ())


def _hash(atoms, recipe, without):
    """Settings at their defaults do not count, so that a new setting leaves old results valid.

    1e-8 Å, what extended XYZ keeps, does.
    """
    default = Recipe(shells={})
    settings = {k: v for k, v in recipe.to_dict().items() if k not in without and v != getattr(default, k)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (
        atoms.numbers.astype(np.int64),
        np.round(atoms.positions, 8) + 0.0,
        np.round(atoms.cell.array, 8) + 0.0,
        atoms.pbc,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
