"""Paths i - k - l - j between layers, and what the blocks of their steps multiply to.

Projected orbitals are orthonormal by nearly Löwdin's recipe, so that H between layers is a matrix function:
short-range couplings V of facing atoms, dressed by products with short-range matrices A inside either layer,

    H_ij = V_ij + sum_k A_ik V_kj + sum_l V_il A_jl^T + sum_kl A_ik V_kl A_jl^T.

Where k and l stand is taken from the structure, so that the products hold at every angle between the layers: no
network has to learn what a twist does to them. `Steps` A are learned; V are the inter-layer blocks themselves,
tapered to nothing at `jump_reach`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import nn

from .hopping import HoppingHead
from .radial import smooth_cutoff

#: Products of blocks per pass, to bound the memory.
PRODUCTS_PER_PASS = 200_000


@dataclass
class Paths:
    """Short pairs of a structure and their compositions to the pairs of its Hamiltonian.

    A way is a pair (i, l) that a step and a jump, or a jump alone, connect. Jumps count twice: as listed, then
    reversed.

    Attributes
    ----------
    step_i, step_j, step_vector : ordered pairs of one layer, to a facing atom, (a,), (a,), (a, 3) Å.
    jump_i, jump_j, jump_vector : facing atoms of different layers, each pair once, (v,), (v,), (v, 3) Å.
    first : int (3, t), step, jump and way of every product A V.
    start : int (2 v,), way of every jump.
    n_ways : int
    second : int (3, t), way, step of j and pair of the Hamiltonian of every product with A^T.
    third : int (2, t), ways that are pairs of the Hamiltonian themselves, and these.
    """

    step_i: torch.Tensor
    step_j: torch.Tensor
    step_vector: torch.Tensor
    jump_i: torch.Tensor
    jump_j: torch.Tensor
    jump_vector: torch.Tensor
    first: torch.Tensor
    start: torch.Tensor
    n_ways: int
    second: torch.Tensor
    third: torch.Tensor

    def to(self, device=None, dtype=None):
        """Copy with vectors in `dtype`, all on `device`."""
        move = lambda t: (
            t.to(device=device, dtype=dtype if t.is_floating_point() else None) if torch.is_tensor(t) else t
        )
        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self)})

    def to_pairs(self, chosen, n_pairs) -> Paths:
        """Those that end at the pairs `chosen` (ascending) out of `n_pairs`, which are numbered anew."""
        number = torch.full((n_pairs,), -1, device=chosen.device)
        number[chosen] = torch.arange(len(chosen), device=chosen.device)
        kept = {}
        for name in ("second", "third"):
            *way, end = getattr(self, name)
            kept[name] = torch.stack([*way, number[end]])[:, number[end] >= 0]
        return replace(self, **kept)


def find_paths(i, j, shift, vector, across, species, facing, step_reach, jump_reach) -> Paths:
    """Paths of one structure from its pairs i, j (p,), shift (p, 3), vector (p, 3) Å, across (p,), each unordered
    pair once.

    Parameters
    ----------
    species : int (n,); facing : species that couple the layers.
    step_reach, jump_reach : Å, longest A and V.
    """
    n, distance, across = len(species), np.linalg.norm(vector, axis=1), np.asarray(across, bool)
    faces = np.isin(species, facing)
    near = np.flatnonzero(~across & (distance < step_reach))
    step_i, step_j = np.concatenate([i[near], j[near]]), np.concatenate([j[near], i[near]])
    step_shift = np.concatenate([shift[near], -shift[near]])
    step_vector = np.concatenate([vector[near], -vector[near]])
    to_facing = faces[step_j]
    step_i, step_j, step_shift, step_vector = (x[to_facing] for x in (step_i, step_j, step_shift, step_vector))
    jump = np.flatnonzero(across & (distance < jump_reach) & faces[i] & faces[j])
    start, end = np.concatenate([i[jump], j[jump]]), np.concatenate([j[jump], i[jump]])
    jump_shift = np.concatenate([shift[jump], -shift[jump]])
    number = _Numbering(n, (shift, step_shift, jump_shift))

    step, hop = _join(step_j, start)
    composed = number(step_i[step], end[hop], step_shift[step] + jump_shift[hop])
    ways, way = np.unique(np.concatenate([composed, number(start, end, jump_shift)]), return_inverse=True)
    way_i, way_l, way_shift = number.undo(ways)
    order = np.argsort(keys := number(i, j, shift))
    target = lambda a, b, r: _find(keys[order], order, number(a, b, r))
    second = []
    for part in np.array_split(np.arange(len(ways)), max(len(ways) // 50_000, 1)):
        at, back = _join(way_l[part], step_j)
        at = part[at]
        found = target(way_i[at], step_i[back], way_shift[at] - step_shift[back])
        second.append(np.stack([at, back, found])[:, found >= 0])
    direct = target(way_i, way_l, way_shift)
    third = np.stack([np.arange(len(ways)), direct])[:, direct >= 0]
    t = lambda x: torch.from_numpy(np.ascontiguousarray(x))
    return Paths(
        t(step_i),
        t(step_j),
        t(step_vector),
        t(i[jump]),
        t(j[jump]),
        t(vector[jump]),
        t(np.stack([step, hop, way[: len(step)]])),
        t(way[len(step) :]),
        len(ways),
        t(np.concatenate(second, 1)),
        t(third),
    )


class _Numbering:
    """One integer for every (i, j, shift): shifts are sums of three, or less, of those of the pairs."""

    def __init__(self, n, shifts):
        self.n = n
        self.most = 3 * max([int(np.abs(s).max()) for s in shifts if len(s)] or [0]) + 1
        self.base = 2 * self.most + 1

    def __call__(self, i, j, shift):
        out = np.asarray(i, np.int64) * self.n + j
        for axis in range(3):
            out = out * self.base + (shift[:, axis] + self.most)
        return out

    def undo(self, key):
        shift = np.empty((len(key), 3), int)
        for axis in (2, 1, 0):
            key, rest = np.divmod(key, self.base)
            shift[:, axis] = rest - self.most
        return key // self.n, key % self.n, shift


def _join(a, b):
    """All index pairs (p, q) with a[p] = b[q]."""
    order = np.argsort(b, kind="stable")
    low, high = np.searchsorted(b[order], a, "left"), np.searchsorted(b[order], a, "right")
    count = high - low
    p = np.repeat(np.arange(len(a)), count)
    within = np.arange(len(p)) - np.repeat(np.cumsum(count) - count, count)
    return p, order[np.repeat(low, count) + within]


def _find(ordered, order, key):
    """Places of keys in a list that `order` sorts to `ordered`, -1 where missing."""
    if not len(ordered):
        return np.full(len(key), -1)
    place = np.searchsorted(ordered, key).clip(max=len(ordered) - 1)
    return np.where(ordered[place] == key, order[place], -1)


def collate_paths(paths, n_atoms, n_pairs) -> Paths:
    """Paths of several structures in one, given the numbers of their atoms and pairs."""
    many = {f.name: [getattr(p, f.name) for p in paths] for f in fields(Paths)}
    before = lambda counts: np.cumsum([0, *counts])[:-1].tolist()
    atoms, pairs, ways = before(n_atoms), before(n_pairs), before(many["n_ways"])
    steps = before([len(p.step_i) for p in paths])
    jumps = [len(p.jump_i) for p in paths]
    total, offset = sum(jumps), before(jumps)
    out = {"n_ways": sum(many["n_ways"])}
    for name in ("step_i", "step_j", "jump_i", "jump_j"):
        out[name] = torch.cat([t + a for t, a in zip(many[name], atoms)])
    for name in ("step_vector", "jump_vector"):
        out[name] = torch.cat(many[name])
    # reversed jumps come after all listed ones
    renumbered = lambda t, v, o: torch.where(t < v, t + o, t - v + total + o)
    out["first"] = torch.cat(
        [
            torch.stack([t[0] + s, renumbered(t[1], v, o), t[2] + w])
            for t, s, v, o, w in zip(many["first"], steps, jumps, offset, ways)
        ],
        1,
    )
    halves = [(t[:v] + w, t[v:] + w) for t, v, w in zip(many["start"], jumps, ways)]
    out["start"] = torch.cat([h[0] for h in halves] + [h[1] for h in halves])
    out["second"] = torch.cat(
        [torch.stack([t[0] + w, t[1] + s, t[2] + p]) for t, w, s, p in zip(many["second"], ways, steps, pairs)], 1
    )
    out["third"] = torch.cat([torch.stack([t[0] + w, t[1] + p]) for t, w, p in zip(many["third"], ways, pairs)], 1)
    return Paths(**out)


class Steps(nn.Module):
    """The matrices A of steps to facing atoms, one network per pair of species, and their products with V.

    Parameters
    ----------
    shells : l of the one shell of every species; facing : species that couple the layers.
    step_reach, jump_reach : Å, where A and V in the products have gone to zero.
    """

    def __init__(self, shells, facing, n_channels, n_scalars, l_max, hidden, n_gated, step_reach, jump_reach):
        super().__init__()
        self.facing, self.step_reach, self.jump_reach = tuple(facing), step_reach, jump_reach
        sizes = {"n_gated": n_gated, "n_cross": 4, "hidden": hidden}
        self.blocks = nn.ModuleDict(
            {
                f"{z}{s}": HoppingHead(
                    l, shells[s], False, n_channels, n_scalars, step_reach, 0.75 * step_reach, l_max, **sizes
                )
                for z, l in enumerate(shells)
                for s in self.facing
            }
        )
        for head in self.blocks.values():  # of order 0.3 at a bond, without unit, falling by exp(-0.6 r/Å)
            head.scale_polynomial[-2:] = torch.tensor([-0.3 * (step_reach - 2.0), -2.3])
            head.scale_range.copy_(torch.tensor([2.0, step_reach]))

    def find(self, i, j, shift, vector, across, species) -> Paths:
        """`find_paths` with the reaches of this model."""
        return find_paths(i, j, shift, vector, across, species, self.facing, self.step_reach, self.jump_reach)

    def taper(self, distance):
        """What V is multiplied by in the products, (p,)."""
        return smooth_cutoff(distance, self.jump_reach, self.jump_reach - 1.2)

    @staticmethod
    def products(paths: Paths, steps, jumps, n_pairs):
        """Sums of products (n_pairs, d, d) in eV of steps (a, d, f) and jumps (v, f, f) in eV, d and f the largest
        numbers of orbitals."""
        jumps = torch.cat([jumps, jumps.transpose(1, 2)])
        take = lambda t, k: t.index_select(0, k)
        step, jump, way = paths.first
        ways = jumps.new_zeros(paths.n_ways, *steps.shape[1:])
        ways = ways.index_add(0, way, take(steps, step) @ take(jumps, jump))
        out = jumps.new_zeros(n_pairs, steps.shape[1], steps.shape[1])
        at, pair = paths.third
        out[:, :, : ways.shape[2]] = out[:, :, : ways.shape[2]].index_add(0, pair, take(ways, at))
        pure = nn.functional.pad(jumps, (0, 0, 0, steps.shape[1] - jumps.shape[1]))
        ways = ways.index_add(0, paths.start, pure)
        for part in paths.second.split(PRODUCTS_PER_PASS, 1):
            at, back, pair = part
            out = out.index_add(0, pair, take(ways, at) @ take(steps, back).transpose(1, 2))
        return out
