"""Errors of a predicted Hamiltonian: its elements and its eigenvalues, from one build of H per configuration."""

from __future__ import annotations

import numpy as np

from ..electronic.blocks import PairBlocks
from ..electronic.filling import filling_level
from ..electronic.hamiltonian import WannierHamiltonian
from ..electronic.orbitals import expand_shells

#: What the array `zero` of a file says of its eigenvalues, also where it is missing; anything else: a zero of their
#: own.
VACUUM = "vacuum"


def hamiltonian_errors(model, configuration, r_max=12.0, blocks=None):
    """Predicted and reference elements of every reference pair within `r_max` (Å); pairs the model leaves out are 0.

    `blocks` is what `model.hamiltonian` gave for the configuration, where it is known already.

    Returns
    -------
    dict of str to ndarray
        Per element `predicted`, `reference` (eV), `distance` (Å), `kind` (0 on-site, 1 intra, 2 inter), `pair` (1000 x
        the smaller atomic number + the larger) and `atom` (index of the first atom).
    """
    data = configuration.load_blocks(n_orbitals(model, configuration))
    reference, atoms = PairBlocks.from_arrays(data), configuration.atoms
    distance = data.get("pair_distance")
    if distance is None:
        distance = np.linalg.norm(reference.vectors(atoms), axis=1)
    reference, distance = reference.take(distance < r_max), distance[distance < r_max]
    blocks = blocks or model.hamiltonian(atoms, configuration.layers)
    a, b, size, z = reference.pair_i, reference.pair_j, reference.sizes, atoms.numbers
    place = blocks.find(a, b, reference.pair_shift)
    predicted = np.zeros(len(reference.block))
    predicted[np.repeat(place >= 0, size)] = blocks.take(place[place >= 0]).block
    kind = np.where(distance < 1e-6, 0, 1 + (configuration.layers[a] != configuration.layers[b]))
    pair = np.minimum(z[a], z[b]) * 1000 + np.maximum(z[a], z[b])
    return {
        "predicted": predicted,
        "reference": reference.block,
        **{
            name: np.repeat(values, size)
            for name, values in (("distance", distance), ("kind", kind), ("pair", pair), ("atom", a))
        },
    }


def n_orbitals(model, configuration):
    """Orbitals of every atom in the model's shells."""
    return [len(expand_shells(model.shells[s])) for s in configuration.atoms.symbols]


def eigenvalue_errors(model, configuration, window=1.0, blocks=None):
    """Differences (eV) to the reference eigenvalues near the gap, their k weights, and the error of the gap.

    The file needs no Hamiltonian: k-points, weights and eigenvalues do. Those with `zero` = "none" are on a zero of
    their own; their mean difference is taken off (see `level_shift`).
    Near means from `window` (eV) below the highest occupied to `window` above the lowest empty reference level on the
    k-points of the data; of a metal, within `window` of its Fermi level. A gap that closes counts as zero; a metal by
    the number of its electrons (an odd number) has none: nan. None where the file has no eigenvalues.
    """
    data = configuration.load_reference(n_orbitals(model, configuration))
    if "eigenvalues" not in data:
        return None
    blocks = blocks or model.hamiltonian(configuration.atoms, configuration.layers)
    h, n_electrons = WannierHamiltonian.from_pairs(configuration.atoms, model.shells, blocks), blocks.n_electrons
    reference, weight = data["eigenvalues"], data["kweights"] / data["kweights"].sum()
    if not 0 < n_electrons / 2 < reference.shape[1]:
        raise ValueError(
            f"{configuration.hamiltonian or configuration.bands}: {n_electrons:g} electrons fill {n_electrons / 2:g} "
            f"of {reference.shape[1]} bands, there is neither gap nor Fermi level"
        )
    predicted = np.array([np.linalg.eigvalsh(h.at_k(k).toarray()) for k in data["kpts"]])
    n, whole = int(n_electrons // 2), abs(n_electrons / 2 - round(n_electrons / 2)) < 1e-6
    width = lambda e: max(0.0, e[:, n].min() - e[:, n - 1].max())
    if whole and width(reference) > 0:
        low, high = reference[:, n - 1].max(), reference[:, n].min()
    else:
        low = high = filling_level(reference, weight, n_electrons / 2)
    near = (reference > low - window) & (reference < high + window)
    weights = np.broadcast_to(data["kweights"][:, None], near.shape)
    difference, weights = (predicted - reference)[near], weights[near]
    if has_own_zero(data):
        difference = difference - level_shift(difference, weights)
    return difference, weights, width(predicted) - width(reference) if whole else np.nan


def has_own_zero(data) -> bool:
    """Whether the eigenvalues of a file are on another zero than the vacuum level."""
    return str(data.get("zero", VACUUM)) != VACUUM


def level_shift(difference, weights) -> float:
    """Weighted mean (eV) of the differences of levels: the one shift that puts them on a common zero."""
    return float(np.average(difference, weights=weights))
