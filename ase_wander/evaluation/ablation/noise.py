"""From an error of H to an error of bands: reference Hamiltonians with noise of known size, or cut, against the
reference eigenvalues.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from ...electronic.blocks import PairBlocks
from ..hamiltonian_errors import eigenvalue_errors, hamiltonian_errors
from .table import write_json

#: Mean absolute errors (meV) of the noise; cutoffs (Å) of the cut Hamiltonians.
LEVELS = (0.03, 0.1, 0.3, 1.0, 3.0)
CUTOFFS = (6.0, 8.0, 10.0, 12.0, 14.0)

#: Kinds of disturbance in words.
DISTURBANCES = {
    "even": "noise of one size on all elements",
    "proportional": "noise on hoppings, in proportion to their class's size at the distance",
    "common": "one random factor for all hoppings of a class and distance",
    "cut": "cut at a distance",
}


class Disturbed:
    """A stand-in for a model: the reference Hamiltonian with an error.

    Parameters
    ----------
    model : Model
        Whose shells and electrons the data have.
    disturb : callable
        Maps (configuration, data) to the error that is added to every element of `data["block"]`, eV.
    """

    def __init__(self, model, disturb):
        self.shells, self.electrons, self.disturb = model.shells, model.count_electrons, disturb

    def hamiltonian(self, configuration):
        """PairBlocks, as `model.hamiltonian` gives."""
        data = configuration.load_blocks()
        blocks = PairBlocks.from_arrays(data, self.electrons(configuration.atoms))
        return replace(blocks, block=blocks.block + self.disturb(configuration, data))


def disturbance(kind, level, seed=0):
    """Function for `Disturbed`: noise of mean size `level` (eV) within 12 Å, or a cut at `level` (Å)."""

    def disturb(configuration, data):
        size, r = np.diff(data["block_ptr"]), np.repeat(data["pair_distance"], np.diff(data["block_ptr"]))
        if kind == "cut":
            return np.where(r < level, 0.0, -data["block"])
        rng = np.random.default_rng([seed, *configuration.name.encode()])
        z, i, j = configuration.atoms.numbers, data["pair_i"].astype(int), data["pair_j"].astype(int)
        across = configuration.layers[i] != configuration.layers[j]
        group = np.round(data["pair_distance"] * 2).astype(int) * 2 + across  # classes of half an Å
        group = np.unique(np.column_stack([group, z[i] + z[j]]), axis=0, return_inverse=True)[1].ravel()
        noise, hopping = rng.normal(size=len(r)), r > 1e-6
        if kind == "common":  # a factor 1 + x for all elements of a class: an error of the scale, not of the shape
            noise = rng.normal(size=group.max() + 1)[np.repeat(group, size)] * data["block"] * hopping
        elif kind == "proportional":
            square = np.bincount(np.repeat(group, size), data["block"].astype(float) ** 2) / np.bincount(
                np.repeat(group, size)
            )
            noise = noise * np.sqrt(square)[np.repeat(group, size)] * hopping
        noise = _symmetric(noise, data) * (r < 12.0)
        return noise * level / np.abs(noise[r < 12.0]).mean()

    return disturb


def _symmetric(noise, data):
    """Half of the noise and of its transpose: H(-R) = H(R)^T."""
    blocks = replace(PairBlocks.from_arrays(data), block=noise)
    i, j, onsite, sizes = blocks.pair_i, blocks.pair_j, blocks.onsite, np.zeros(len(blocks.pair_i), int)
    sizes[i[onsite]] = np.sqrt(blocks.sizes[onsite]).round().astype(int)
    shapes = zip(sizes[i], sizes[j])
    parts = [
        0.5 * (blocks.of_pair(p).reshape(shape) + blocks.of_pair(q).reshape(shape[::-1]).T).ravel()
        for p, (q, shape) in enumerate(zip(blocks.opposite(), shapes))
    ]
    return np.concatenate(parts)


def band_errors(model, configurations, kind, level, seed=0) -> dict:
    """Mean absolute errors in meV: `elements` within 12 Å, `eigenvalues` within 1 eV of the gap, `gap`."""
    disturbed, rows = Disturbed(model, disturbance(kind, level, seed)), []
    for c in configurations:
        blocks = disturbed.hamiltonian(c)
        found = hamiltonian_errors(disturbed, c, blocks=blocks)
        difference, weight, gap = eigenvalue_errors(disturbed, c, blocks=blocks)
        rows.append(
            (
                np.abs(found["predicted"] - found["reference"]).mean(),
                (np.abs(difference) * weight).sum() / weight.sum(),
                abs(gap),
            )
        )
    return dict(zip(("elements", "eigenvalues", "gap"), (round(x, 4) for x in (1e3 * np.mean(rows, axis=0)).tolist())))


def perform_noise(table, model, file, progress=None) -> dict:
    """All disturbances of the held-out configurations with small displacements; kept in `file` for the same data."""
    chosen = [
        c for c in table.splits["held-out"] if c.assumed_sigma <= 0.03 + 1e-9 and "eigenvalues" in c.load_blocks()
    ]
    levels = [(kind, level) for kind in DISTURBANCES for level in (CUTOFFS if kind == "cut" else LEVELS)]
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        known = {}
    out = known if known.get("data") == table.data_hash[:16] else {"data": table.data_hash[:16], "n": len(chosen)}
    for number, (kind, level) in enumerate(levels):
        name = f"{kind} {level:g}"
        if name not in out:
            out[name] = band_errors(model, chosen, kind, level if kind == "cut" else 1e-3 * level)
            write_json(file, out)
        if progress:
            progress(number + 1, len(levels))
    return out
