"""A material by name or by file: any single layer that ASE reads stands where a known name does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ..files import read_structure
from .lattice import Monolayer, standard_monolayer
from .materials import canonical_name, monolayer


def is_layer_file(material: str, folder=".") -> bool:
    """Whether `material` is no known name but a file, relative to `folder`."""
    try:
        canonical_name(material)
    except ValueError:
        return (Path(folder) / material).is_file()
    return False


def read_layer(path) -> Atoms:
    """One layer from a file.

    Raises
    ------
    ValueError
        Naming the file: no structure in it, more than one layer.
    """
    atoms = read_structure(path)
    try:
        standard_monolayer(atoms)
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    return atoms


def layer_of(material: str, lattice_constant: float, thickness: float | None = None) -> Atoms:
    """One primitive cell of a known name or of a file's layer, mid-plane at z = 0.

    Parameters
    ----------
    material : str
    lattice_constant : float
        Å, length of the first vector; the motif keeps its fractional coordinates.
    thickness : float, optional
        Å, of the outermost nuclei; that of the name or the file by default.

    Raises
    ------
    ValueError
        For a name that is neither known nor a file, and a file that holds no single layer.
    """
    if not is_layer_file(material):
        return monolayer(material, lattice_constant, thickness)
    layer = standard_monolayer(read_layer(material)).scaled(lattice_constant)
    extent = float(np.ptp(layer.heights))
    if thickness is not None and extent > 0:
        layer = replace(layer, heights=layer.heights * (thickness / extent))
    return as_atoms(layer)


def as_atoms(layer: Monolayer) -> Atoms:
    """A Monolayer as Atoms with pbc (T, T, F) and no third vector."""
    cell = np.zeros((3, 3))
    cell[:2, :2] = layer.cell
    return Atoms(
        layer.numbers,
        positions=np.column_stack([layer.fractional @ layer.cell, layer.heights]),
        cell=cell,
        pbc=(True, True, False),
    )
