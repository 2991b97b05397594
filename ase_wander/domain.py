"""Where a model may be believed: layers at distances and strains that its data lack, Hamiltonians that are none.

An atom's surroundings (`nn.uncertainty`) reach as far as the force field, 7 Å. What lies beyond, and what is common
to a whole layer, is judged here, from the same fitted ranges of nearest distances. Two things are then done to a
Hamiltonian:

Coupling across a gap wider than the data is that of the widest gap in the data, times exp(-kappa excess): amplitudes
outside a slab fall with kappa = sqrt(2 m W) / hbar = 0.512 sqrt(W / eV) / Å, W the depth of the states below the
vacuum level.

Blocks larger than any in nature are scaled down to LIMIT, which keeps Hermiticity and every symmetry, and said to be
so.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from .electronic.blocks import PairBlocks
from .nn.uncertainty import MARGIN
from .structure import neighbour_pairs, plane_normal, standing_positions

#: Decay (1/Å) of the coupling across a gap, for states 5.5 eV below the vacuum level.
KAPPA = 1.2

#: Frobenius norm (eV) that no block of a Wannier Hamiltonian has; on-site blocks of MoS2 have 13.
LIMIT = 100.0

#: Elements (eV) below which no block can reach LIMIT: 5 x 5 of them.
HARMLESS = LIMIT / 5

#: A range of distances that ends this near (Å) to the reach of the force field was cut by it and cannot be judged by.
CUT = 0.25

#: Atoms that a DomainWarning names.
NAMED = 3


class DomainWarning(UserWarning):
    """Atoms lie outside the training data of the model; what it says of them is extrapolation."""


class NonsenseWarning(DomainWarning):
    """A Hamiltonian so far outside the training data that none of its bands means anything."""


@dataclass(frozen=True)
class Finding:
    """Something that whole layers have and the training data have not.

    Attributes
    ----------
    layers : tuple of int
    ratio : float
        How far it lies outside, 1 at the limit.
    reason : str
    excess : float
        Å that a gap is wider than any in the data; 0 of other findings.
    is_outside : bool
        False of a gap within MARGIN of the data: continued, so that H has no jump, but no reason for a warning.
    """

    layers: tuple
    ratio: float
    reason: str
    excess: float = 0.0
    is_outside: bool = True


def warn(message: str, category=DomainWarning) -> None:
    """Warn at the line of the user: the first outside this package and ASE."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("ase_wander", "ase"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def outside_in_words(model, atoms: Atoms, uncertainty: dict) -> str:
    """Number, names and reasons of the atoms outside the training data."""
    outside = np.flatnonzero(uncertainty["outside"])
    worst = outside[np.argsort(-uncertainty["distance"][outside], kind="stable")]
    named = "; ".join(f"atom {i} ({atoms.symbols[i]}): {uncertainty['reasons'][int(i)]}" for i in worst[:NAMED])
    more = f"; and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    return f"{len(outside)} of {len(atoms)} atoms lie outside the training data of model {model.name!r}: {named}{more}"


def widened(uncertainty: dict, layers, findings) -> dict:
    """The uncertainty with the atoms of whole layers outside the data marked as such."""
    out = {**uncertainty, "reasons": dict(uncertainty["reasons"])}
    out["outside"], out["distance"] = uncertainty["outside"].copy(), uncertainty["distance"].copy()
    for finding in findings:
        if not finding.is_outside:
            continue
        atoms = np.flatnonzero(np.isin(layers, finding.layers))
        out["outside"][atoms] = True
        out["distance"][atoms] = np.maximum(out["distance"][atoms], finding.ratio)
        for atom in atoms:
            out["reasons"].setdefault(int(atom), finding.reason)
    return out


# ---------------------------------------------------------------- what whole layers have
def stray_layers(model, atoms: Atoms, layers) -> list[Finding]:
    """Gaps wider and layers strained further than in the training data; none of a model that cannot tell."""
    if model.trust is None:
        return []
    return _wide_gaps(model, atoms, np.asarray(layers)) + _strained(model, atoms, np.asarray(layers))


def _wide_gaps(model, atoms, layers):
    known = {}
    for a, first in enumerate(model.species):
        for b, second in enumerate(model.species):
            high = model.trust.nearest[a, b, 1, 1]
            if np.isfinite(high) and high < model.force_field.cutoff - CUT:
                key = frozenset((first, second))
                known[key] = max(known.get(key, 0.0), high)
    if not known or layers.max() == 0:
        return []
    near = neighbour_pairs(atoms, max(known.values()))
    findings = []
    for lower in range(int(layers.max())):
        across = near.select((layers[near.i] == lower) & (layers[near.j] == lower + 1))
        here = _combinations(atoms, layers, lower)
        limits = {key: high for key, high in known.items() if key in here}
        if limits and not any((across.distance[_of(atoms, across, key)] <= high).any() for key, high in limits.items()):
            findings.append(_wide_gap(model, atoms, layers, lower, limits))
    return findings


def _combinations(atoms, layers, lower):
    """Pairs of species that face each other across a gap."""
    sides = [set(atoms.symbols[layers == layer]) for layer in (lower, lower + 1)]
    return {frozenset((a, b)) for a in sides[0] for b in sides[1]}


def _of(atoms, pairs, key):
    """Which pairs are of the two species of `key`."""
    symbols = np.array(atoms.get_chemical_symbols())
    first, second = min(key), max(key)
    i, j = symbols[pairs.i], symbols[pairs.j]
    return ((i == first) & (j == second)) | ((i == second) & (j == first))


def _wide_gap(model, atoms, layers, lower, limits):
    """The finding of a gap; its excess from the pairs that couple, 0 where none does."""
    pairs = neighbour_pairs(atoms, model.cutoff)
    pairs = pairs.select((layers[pairs.i] == lower) & (layers[pairs.j] == lower + 1))
    heights = standing_positions(atoms) @ plane_normal(atoms)
    apart = heights[layers == lower + 1].min() - heights[layers == lower].max()
    words = f"layers {lower} and {lower + 1} are {apart:.2f} Å apart from surface to surface"
    if not len(pairs):
        cut = "" if atoms.pbc[2] else "; if the slab is cut by the cell boundary, move it into one piece"
        reason = f"{words} and do not feel each other{cut}"
        return Finding((lower, lower + 1), apart / min(limits.values()), reason)
    rise = pairs.vector @ plane_normal(atoms)
    side = np.sqrt(np.maximum(pairs.distance**2 - rise**2, 0.0))
    excess, ratio = np.inf, 1.0
    for key, high in limits.items():
        of = _of(atoms, pairs, key) & (side < high)
        if of.any():  # the upper layer comes down until the first pair is as near as in the data
            excess = min(excess, float((rise[of] - np.sqrt(high**2 - side[of] ** 2)).min()))
            ratio = max(ratio, float(pairs.distance[of].min() / high))
    excess = 0.0 if not np.isfinite(excess) else max(excess, 0.0)
    reason = f"{words}, {excess:.2f} Å more than in the training data"
    return Finding((lower, lower + 1), ratio, reason, excess, ratio > 1 + MARGIN)


def _strained(model, atoms, layers):
    """Layers in which the mean distance of nearest equal atoms is one that no single atom of the data has."""
    species, findings = np.array([model.species.index(s) for s in atoms.symbols]), []
    ranges = model.trust.nearest[np.arange(len(model.species)), np.arange(len(model.species)), 0]
    usable = np.isfinite(ranges).all(1) & (ranges[:, 1] < model.force_field.cutoff - CUT)
    if not usable.any():
        return []
    pairs = neighbour_pairs(atoms, 1.3 * ranges[usable, 1].max())
    pairs = pairs.select((species[pairs.i] == species[pairs.j]) & (layers[pairs.i] == layers[pairs.j]))
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, pairs.i, pairs.distance)
    for layer in range(int(layers.max()) + 1):
        for z in np.flatnonzero(usable):
            of = (layers == layer) & (species == z)
            if not of.any() or ranges[z, 0] <= nearest[of].mean() <= ranges[z, 1]:
                continue
            mean = nearest[of].mean()
            reason = (
                f"{model.species[z]} atoms of layer {layer} are {mean:.2f} Å apart on average, in the training data "
                f"{ranges[z, 0]:.2f} to {ranges[z, 1]:.2f} Å: the layer is strained"
            )
            findings.append(Finding((layer,), float(max(mean / ranges[z, 1], ranges[z, 0] / mean)), reason))
            break
    return findings


# ---------------------------------------------------------------- Hamiltonians
def believable_hamiltonian(model, atoms: Atoms, layers, findings=(), **options) -> tuple[PairBlocks, int]:
    """Blocks of the model, continued across gaps that its data lack, and how many had to be limited."""
    blocks = model.hamiltonian(atoms, layers, **options)
    excess = np.zeros(int(np.max(layers)) + 1)  # of all gaps below a layer
    for finding in findings:
        if finding.excess:
            excess[finding.layers[1] :] += finding.excess
    if excess.any():
        closed = atoms.copy()
        closed.positions -= excess[layers][:, None] * plane_normal(atoms)
        options.pop("progress", None)
        nearer = model.hamiltonian(closed, layers, **options)
        blocks = _joined(_part(blocks, layers, across=False), _part(nearer, layers, across=True, excess=excess))
    return limited(blocks)


def _part(blocks, layers, across, excess=None):
    """The blocks inside layers or those between them, the latter with the decay of the excess of their gaps."""
    a, b = layers[blocks.pair_i], layers[blocks.pair_j]
    keep = (a != b) == across
    elements, sizes = np.repeat(keep, blocks.sizes), blocks.sizes[keep]
    block = blocks.block[elements]
    if excess is not None:
        block = block * np.repeat(np.exp(-KAPPA * np.abs(excess[a] - excess[b])[keep]), sizes)
    return PairBlocks(
        blocks.pair_i[keep],
        blocks.pair_j[keep],
        blocks.pair_shift[keep],
        block,
        np.concatenate([[0], np.cumsum(sizes)]),
        blocks.n_electrons,
    )


def _joined(one, other):
    """Blocks of both."""
    return PairBlocks(
        np.concatenate([one.pair_i, other.pair_i]),
        np.concatenate([one.pair_j, other.pair_j]),
        np.concatenate([one.pair_shift, other.pair_shift]),
        np.concatenate([one.block, other.block]),
        np.concatenate([one.block_ptr, one.block_ptr[-1] + other.block_ptr[1:]]),
        one.n_electrons,
    )


def limited(blocks: PairBlocks) -> tuple[PairBlocks, int]:
    """Blocks scaled down to a Frobenius norm of LIMIT (eV) where they exceed it, and how many do."""
    if not len(blocks.block) or np.abs(blocks.block).max() <= HARMLESS:
        return blocks, 0
    norms = np.sqrt(np.add.reduceat(np.abs(blocks.block) ** 2, blocks.block_ptr[:-1]))
    scale = np.minimum(1.0, LIMIT / np.maximum(norms, 1e-300))
    block = np.where(np.isfinite(blocks.block), blocks.block, 0.0) * np.repeat(scale, blocks.sizes)
    arrays = (blocks.pair_i, blocks.pair_j, blocks.pair_shift, block, blocks.block_ptr, blocks.n_electrons)
    return PairBlocks(*arrays), int((norms > LIMIT).sum())
