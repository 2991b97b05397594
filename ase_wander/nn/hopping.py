"""Hopping blocks between two atoms, in the frame of their bond.

One network per pair of species and per kind (intra-layer, inter-layer). Its scalars are the distance, both atoms'
scalars (RAER inside) and the m = 0 parts of their tensors; tensors of |m| > 0 pass linearly, weighted by functions of
the scalars, so that H(Q atoms) = D H D^T holds for every rotation and reflection.
"""

from __future__ import annotations

import torch
from torch import nn

from .bond_frame import BondFrames, block_basis, mirror_signs
from .radial import gaussian_basis, smooth_cutoff


class BondHead(nn.Module):
    """Shared by all heads of one class of pairs: the size of elements against distance, the way from a block to H.

    Parameters
    ----------
    l1, l2 : int
        Shells of the two species.
    symmetric : bool
        The species are equal: both directions are evaluated and averaged, so that H_ji = H_ij^T.
    cutoff, taper : float
        Å; elements go smoothly to zero between taper and cutoff.
    """

    def __init__(self, l1, l2, symmetric, cutoff, taper, n_radial=16):
        super().__init__()
        self.l1, self.l2, self.symmetric, self.cutoff, self.taper, self.n_radial = (
            l1,
            l2,
            symmetric,
            cutoff,
            taper,
            n_radial,
        )
        self.counts = block_basis(l1, l2)[0]
        #: Polynomial of log(rms element / eV) in distance on [scale_range], fitted to the data.
        self.register_buffer("scale_polynomial", torch.zeros(7))
        self.register_buffer("scale_range", torch.tensor([2.0, 13.0]))

    def scale(self, r: torch.Tensor) -> torch.Tensor:
        """Typical size (eV) of an element at distance r (Å)."""
        low, high = self.scale_range[0], self.scale_range[1]
        x = ((2 * r - low - high) / (high - low)).clamp(-1.0, 1.0)
        out = torch.zeros_like(x)
        for c in self.scale_polynomial:
            out = out * x + c
        return out.exp()

    def radial(self, r: torch.Tensor) -> torch.Tensor:
        """Distance as the networks take it, (p, n_radial)."""
        return gaussian_basis(r, self.cutoff, self.n_radial, 2.0)

    def finished(self, frames: BondFrames, block, back=None) -> torch.Tensor:
        """From unscaled blocks in the bond frame to eV in crystal axes; `back`, those seen from j, of equal species."""
        if back is not None:
            s1, s2 = mirror_signs(self.l2).to(block), mirror_signs(self.l1).to(block)
            block = 0.5 * (block + (s1[:, None] * back * s2).transpose(1, 2))
        block = block * (2 * self.scale(frames.r) * smooth_cutoff(frames.r, self.cutoff, self.taper))[:, None, None]
        return frames.to_crystal(block, self.l1, self.l2)


class HoppingHead(BondHead):
    """Blocks (p, 2 l1 + 1, 2 l2 + 1) in eV of one class of pairs, dressed by the tensors of both atoms."""

    def __init__(
        self,
        l1,
        l2,
        symmetric,
        n_channels,
        n_scalars,
        cutoff,
        taper,
        l_max=4,
        n_radial=16,
        n_gated=24,
        n_cross=8,
        hidden=96,
    ):
        super().__init__(l1, l2, symmetric, cutoff, taper, n_radial)
        self.l_max, self.n_cross = l_max, n_cross
        self.orders = range(1, l_max + 1)
        self.lift = nn.ModuleList(nn.Linear(2 * (l_max + 1 - m) * n_channels, n_gated, bias=False) for m in self.orders)
        self.inputs = [n_scalars, n_scalars, n_radial] + 2 * [(l_max + 1) * n_channels] + l_max * [n_gated]
        self.first = nn.Linear(sum(self.inputs), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.scalar = nn.Linear(hidden, self.counts[0])
        self.gate = nn.Linear(hidden, l_max * (n_gated + n_cross))
        self.drop = nn.ModuleList(nn.Linear(n_gated, n, bias=False) for n in self.counts[2:])
        if self.counts[1]:
            self.left = nn.ModuleList(nn.Linear(n_gated, n_cross, bias=False) for _ in self.orders)
            self.right = nn.ModuleList(nn.Linear(n_gated, n_cross, bias=False) for _ in self.orders)
            self.pseudo = nn.Linear(l_max * n_cross, self.counts[1], bias=False)

    def lifted(self, near, far):
        """Mixed tensors of |m| > 0, (p, 2, g) each: seen from i and, where both directions are evaluated, from j."""
        there, back = [], []
        for m, lift in zip(self.orders, self.lift):
            # W [near, far] = W_near near + W_far far, and so on: without copying the inputs side by side
            of_near, of_far = lift.weight.chunk(2, 1)
            if not self.symmetric:
                there.append(nn.functional.linear(near[m], of_near) + nn.functional.linear(far[m], of_far))
                continue
            both = torch.cat([of_near, of_far])  # either end as the near one and as the far one
            (a_near, a_far), (b_near, b_far) = (nn.functional.linear(x[m], both).chunk(2, 2) for x in (near, far))
            there.append(a_near + b_far)
            back.append(b_near + a_far)
        return there, back

    def tensors_to_block(self, lifted, near, far, scalars_i, scalars_j, radial):
        """Block in the bond frame before scaling: m = 0 parts `near` seen from i, `far` from j, the others `lifted`."""
        norms = [0.1 * v.square().sum(1) for v in lifted]
        h = self.first.bias
        for x, weight in zip(
            [scalars_i, scalars_j, radial, near, far] + norms, self.first.weight.split(self.inputs, 1)
        ):
            h = torch.addmm(h, x, weight.T)
        h = nn.functional.silu(h)
        h = h + nn.functional.silu(self.second(h))
        n_gated = lifted[0].shape[-1]
        gates, cross_gates = self.gate(h).split([self.l_max * n_gated, self.l_max * self.n_cross], 1)
        gated = [v * g.unsqueeze(1) for v, g in zip(lifted, gates.chunk(self.l_max, 1))]
        parts = [self.scalar(h)]
        if self.counts[1]:
            cross = []
            for k, v in enumerate(lifted):  # cos sin' - sin cos': the rotation-invariant that a mirror turns over
                a, b = self.left[k](v), self.right[k](v)
                cross.append(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
            parts.append(self.pseudo(torch.cat(cross, 1) * cross_gates * 0.3))
        parts += [drop(v).flatten(1) for drop, v in zip(self.drop, gated)]
        basis = block_basis(self.l1, self.l2)[1].to(h)
        return (torch.cat(parts, 1) @ basis).unflatten(1, (2 * self.l1 + 1, 2 * self.l2 + 1))

    def forward(self, frames: BondFrames, tensors_i, tensors_j, scalars_i, scalars_j) -> torch.Tensor:
        """Blocks in crystal axes for pairs with node tensors (p, q, c) and scalars (p, s) at either end."""
        near = frames.by_order(tensors_i)
        far = frames.by_order(tensors_j, reversed_bond=True)
        radial = self.radial(frames.r)
        there, back = self.lifted(near, far)
        block = self.tensors_to_block(there, near[0], far[0], scalars_i, scalars_j, radial)
        back = self.tensors_to_block(back, far[0], near[0], scalars_j, scalars_i, radial) if self.symmetric else None
        return self.finished(frames, block, back)
