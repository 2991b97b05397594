"""Two data sets that hold the same configurations: how far their labels differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..electronic.blocks import PairBlocks
from .dataset import load_dataset

#: Positions and cells that differ by more (Å) belong to other configurations.
SAME_STRUCTURE = 1e-4


@dataclass(frozen=True)
class Difference:
    """Largest differences of the labels of one configuration; nan where one of the two has none.

    Attributes
    ----------
    name : str
    n_atoms : int
    energy : float
        eV.
    forces : float
        Of a component, eV/Å.
    stress : float
        Of a component, eV/Å^3.
    eigenvalues : float
        On the k-points of both, eV.
    elements : float
        Of the Hamiltonian between pairs that both have, eV.
    """

    name: str
    n_atoms: int
    energy: float
    forces: float
    stress: float
    eigenvalues: float
    elements: float


def compare(one, two) -> list[Difference]:
    """Differences of every configuration that two data sets share.

    Parameters
    ----------
    one, two : path-like
        See `load_dataset`.

    Raises
    ------
    ValueError
        When they share none, and for configurations of one name and different structures.
    """
    first, second = ({c.name: c for c in load_dataset(path)} for path in (one, two))
    shared = [name for name in first if name in second]
    if not shared:
        raise ValueError(f"{one} and {two} share no configuration")
    return [_difference(first[name], second[name]) for name in shared]


def _difference(a, b) -> Difference:
    if (
        not np.array_equal(a.atoms.numbers, b.atoms.numbers)
        or max(abs(a.atoms.positions - b.atoms.positions).max(), abs(a.atoms.cell.array - b.atoms.cell.array).max())
        > SAME_STRUCTURE
    ):
        raise ValueError(f"{a.source} and {b.source}: the structures differ")
    labels = [_largest(a.results.get(name), b.results.get(name)) for name in ("energy", "forces", "stress")]
    bands = elements = np.nan
    if (a.hamiltonian or a.bands) and (b.hamiltonian or b.bands):
        x, y = a.load_reference(), b.load_reference()
        if "eigenvalues" in x and "eigenvalues" in y:
            bands = _bands(x, y)
        if "block" in x and "block" in y:
            elements = _elements(x, y)
    return Difference(a.name, len(a.atoms), *labels, bands, elements)


def _largest(a, b):
    return np.nan if a is None or b is None else float(np.abs(np.subtract(a, b)).max())


def _bands(x, y):
    """Largest difference on k-points that agree up to a reciprocal lattice vector and time reversal."""
    worst = np.nan
    if x["eigenvalues"].shape[1] != y["eigenvalues"].shape[1]:
        return worst
    for k, energies in zip(x["kpts"], x["eigenvalues"]):
        delta = np.stack([y["kpts"] - k, y["kpts"] + k])
        same = np.flatnonzero((abs(delta - np.round(delta)).max(axis=-1) < 1e-6).any(axis=0))
        if len(same):
            worst = np.fmax(worst, abs(energies - y["eigenvalues"][same[0]]).max())
    return float(worst)


def _elements(x, y):
    """Largest difference of blocks between the same atoms."""
    x, y = PairBlocks.from_arrays(x), PairBlocks.from_arrays(y)
    place = y.find(x.pair_i, x.pair_j, x.pair_shift)
    both = np.flatnonzero(place >= 0)
    both = both[x.sizes[both] == y.sizes[place[both]]]
    return float(abs(x.take(both).block - y.take(place[both]).block).max()) if len(both) else np.nan
