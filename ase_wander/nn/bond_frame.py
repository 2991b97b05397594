"""The bond frame: turn a pair's bond onto z, where only equal |m| couple.

About the bond the symmetry left is O(2), rotations by phi and the mirror y -> -y. Real harmonics of natural parity
come as pairs (cos m phi, sin m phi) = (+m, -m); linear maps act alike on both and never mix different m.
(Passaro and Zitnick, arXiv:2302.03655; here for the blocks of a Hamiltonian.)
"""

from __future__ import annotations

from functools import cache

import torch

from . import turned
from .angular import L_MAX, on_cpu, wigner_d


def bond_rotation(unit: torch.Tensor) -> torch.Tensor:
    """Rotation Q (p, 3, 3) with Q u = z for unit vectors u (p, 3).

    The least rotation for u_z >= 0; otherwise after a half turn about x, so that it is never singular. Which rotation
    about the bond this leaves does not matter: everything built on it is O(2) covariant.
    """
    flip = torch.where(unit[:, 2] < 0, -1.0, 1.0).to(unit)
    x, y, z = unit[:, 0], unit[:, 1] * flip, unit[:, 2] * flip
    a = 1 / (1 + z)
    rows = [1 - x * x * a, -x * y * a, -x, -x * y * a, 1 - y * y * a, -y, x, y, z]
    q = torch.stack(rows, -1).reshape(-1, 3, 3)
    turn = torch.stack([torch.ones_like(flip), flip, flip], -1)
    return q * turn.unsqueeze(1)


class BondFrames:
    """Rotation matrices D_l of a set of bonds, l = 0 ... l_max."""

    def __init__(self, vector: torch.Tensor, l_max: int):
        lib = turned.library(vector)
        if lib and l_max <= L_MAX:
            self.r, self.d = turned.bond_matrices(lib, vector, l_max)
            return
        self.r = vector.square().sum(-1).sqrt()
        rotation = bond_rotation(vector / self.r.unsqueeze(-1))
        self.d = [wigner_d(rotation, l) for l in range(l_max + 1)]

    @classmethod
    def concatenate(cls, frames):
        """Frames of several sets of bonds, one after the other."""
        out = object.__new__(cls)
        out.r = torch.cat([f.r for f in frames])
        out.d = [torch.cat(d) for d in zip(*(f.d for f in frames))]
        return out

    def __getitem__(self, index):
        """Frames of some of the bonds."""
        out = object.__new__(type(self))
        out.r, out.d = self.r[index], [d[index] for d in self.d]
        return out

    def by_order(self, tensors: torch.Tensor, reversed_bond: bool = False) -> list[torch.Tensor]:
        """Node tensors (p, q, c) in the bond frame, sorted by |m|: m = 0 (p, L c), m > 0 (p, 2, (L + 1 - m) c).

        With `reversed_bond` they are seen from the bond's other end, in the frame mirrored at z = 0: Y_lm -> (-1)^(l +
        m) Y_lm. A mirror, not a half turn: it keeps the sense of rotation about the bond, so both ends may be mixed.
        """
        lib = turned.library(tensors, *self.d)
        if lib:
            return turned.by_order(lib, self.d, tensors, reversed_bond)
        l_max = len(self.d) - 1
        parts = tensors.split([2 * l + 1 for l in range(l_max + 1)], 1)
        turn = [mirror_signs(l).to(d)[:, None] * d if reversed_bond else d for l, d in enumerate(self.d)]
        rotated = torch.cat([d @ t for t, d in zip(parts, turn)], 1)
        rotated = rotated.index_select(1, order_by_m(l_max).to(rotated.device))
        counts = [(1 if m == 0 else 2) * (l_max + 1 - m) for m in range(l_max + 1)]
        scalars, *others = rotated.split(counts, 1)
        return [scalars.flatten(1)] + [t.unflatten(1, (2, -1)).flatten(2) for t in others]

    def to_crystal(self, block: torch.Tensor, l1: int, l2: int) -> torch.Tensor:
        """Block (p, 2 l1 + 1, 2 l2 + 1) from the bond frame to the crystal axes: D1^T B D2."""
        lib = turned.library(block, self.d[l1], self.d[l2])
        if lib:
            return turned.to_crystal(lib, block, self.d[l1], self.d[l2])
        return self.d[l1].transpose(1, 2) @ block @ self.d[l2]


@cache
@on_cpu
def order_by_m(l_max: int) -> torch.Tensor:
    """Permutation of the stacked components: m = 0 of every l, then for m = 1, 2, ... all cosines, all sines."""
    out = [l * l + l for l in range(l_max + 1)]
    for m in range(1, l_max + 1):
        out += [l * l + l + m for l in range(m, l_max + 1)] + [l * l + l - m for l in range(m, l_max + 1)]
    return torch.tensor(out)


@cache
@on_cpu
def mirror_signs(l: int) -> torch.Tensor:
    """Diagonal of D_l for the mirror z -> -z, (2l + 1,)."""
    return torch.tensor([(-1.0) ** (l + m) for m in range(-l, l + 1)])


@cache
@on_cpu
def block_basis(l1: int, l2: int):
    """How O(2) tensors make up a block in the bond frame.

    Returns
    -------
    counts : tuple of int
        Independent tensors of each |m|: scalars, pseudo-scalars, n_1, n_2, ...
    basis : tensor of float64, shape (n_components, (2 l1 + 1)(2 l2 + 1))
        Orthonormal rows, in the order scalars, pseudo-scalars, then for m = 1, 2, ... all cosines followed by all
        sines.
    """
    n1, n2 = 2 * l1 + 1, 2 * l2 + 1
    found = {(0, "+"): [], (0, "-"): []}

    def row(entries):
        t = torch.zeros(n1, n2, dtype=torch.float64)
        for m1, m2, v in entries:
            t[l1 + m1, l2 + m2] = v
        return (t / t.norm()).flatten()

    for a in range(l1 + 1):
        for b in range(l2 + 1):
            if a == 0 or b == 0:
                m = a + b
                if m == 0:
                    found[0, "+"].append(row([(0, 0, 1.0)]))
                else:
                    found.setdefault(m, []).append((row([(a, b, 1.0)]), row([(-a, -b, 1.0)])))
                continue
            # cos a cos b + sin a sin b = cos (a - b), sin a cos b - cos a sin b = sin (a - b), and for a + b
            cosine, sine = row([(a, b, 1.0), (-a, -b, 1.0)]), row([(-a, b, 1.0), (a, -b, -1.0)])
            if a == b:
                found[0, "+"].append(cosine)
                found[0, "-"].append(sine)
            else:
                found.setdefault(abs(a - b), []).append((cosine, sine if a > b else -sine))
            found.setdefault(a + b, []).append((row([(a, b, 1.0), (-a, -b, -1.0)]), row([(-a, b, 1.0), (a, -b, 1.0)])))
    rows = found[0, "+"] + found[0, "-"]
    counts = [len(found[0, "+"]), len(found[0, "-"])]
    for m in range(1, l1 + l2 + 1):
        counts.append(len(found[m]))
        rows += [c for c, _ in found[m]] + [s for _, s in found[m]]
    return tuple(counts), torch.stack(rows)
