"""Hopping blocks between layers whose surroundings may be turned against each other by any angle.

Stackings of untwisted cells hold two angles between the layers, 0 and 60 degrees. A network that mixes the surroundings of both
ends is free in all that is the same at both, such as cos 6 (theta_i - theta_j). Here

    H_ij = N(end i, r) + N'(end j, r) + sum_ab g_ab(r, scalars) u_a v_b,

in the frame of the bond: nonlinear networks N see one end alone, and of that end its own layer alone (`own_layer`); u and v are
linear in the tensors of both ends, so that no angle between the layers enters beyond its lowest harmonic, cos 3 (theta_i - theta_j),
which 0 and 60 degrees do fix (+1 and -1). The gates g know distances and rotation-invariants only. The first two terms hold what
S. Fang and E. Kaxiras, Phys. Rev. B 93, 235153 (2016), eq. 2, write for p_z: V_0(r) + V_3(r) [cos 3 theta_ij + cos 3 theta_ji] + ...
"""

from __future__ import annotations

import torch
from torch import nn

from .bond_frame import BondFrames, block_basis
from .hopping import BondHead


class OneEnd(nn.Module):
    """Components (p, n) of blocks, in the order of `block_basis`, from the tensors and scalars of one end and the distance."""

    def __init__(self, counts, n_channels, n_scalars, l_max, n_radial, n_gated=24, n_cross=8, hidden=96):
        super().__init__()
        self.l_max, self.n_cross, self.orders = l_max, n_cross, range(1, l_max + 1)
        self.lift = nn.ModuleList(nn.Linear((l_max + 1 - m) * n_channels, n_gated, bias=False) for m in self.orders)
        self.first = nn.Linear(n_scalars + n_radial + (l_max + 1) * n_channels + l_max * n_gated, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.scalar = nn.Linear(hidden, counts[0])
        self.gate = nn.Linear(hidden, l_max * (n_gated + n_cross))
        self.drop = nn.ModuleList(nn.Linear(n_gated, n, bias=False) for n in counts[2:])
        self.pseudo = None
        if counts[1]:
            self.left = nn.ModuleList(nn.Linear(n_gated, n_cross, bias=False) for _ in self.orders)
            self.right = nn.ModuleList(nn.Linear(n_gated, n_cross, bias=False) for _ in self.orders)
            self.pseudo = nn.Linear(l_max * n_cross, counts[1], bias=False)

    def forward(self, tensors, scalars, radial):
        """`tensors` as `BondFrames.by_order` gives them, seen from this end."""
        lifted = [lift(tensors[m]) for m, lift in zip(self.orders, self.lift)]  # (p, 2, g)
        norms = [0.1 * v.square().sum(1) for v in lifted]
        h = nn.functional.silu(self.first(torch.cat([scalars, radial, tensors[0], *norms], 1)))
        h = h + nn.functional.silu(self.second(h))
        n_gated = lifted[0].shape[-1]
        gates, cross_gates = self.gate(h).split([self.l_max * n_gated, self.l_max * self.n_cross], 1)
        parts = [self.scalar(h)]
        if self.pseudo is not None:
            cross = [pseudo_scalars(a(v), b(v)) for v, a, b in zip(lifted, self.left, self.right)]
            parts.append(self.pseudo(torch.cat(cross, 1) * cross_gates * 0.3))
        gated = [v * g.unsqueeze(1) for v, g in zip(lifted, gates.chunk(self.l_max, 1))]
        parts += [drop(v).flatten(1) for drop, v in zip(self.drop, gated)]
        return torch.cat(parts, 1)


class BothEnds(nn.Module):
    """Components (p, n) of blocks, linear and bilinear in the tensors of both ends, gated by scalars and the distance.

    u_m, v_m: two linear maps of the tensors of order m of both ends. Scalars are u_0, u_0 v_0 and the products u_m . v_m, pseudo-
    scalars u_m x v_m, tensors of order m > 0 are u_m, u_m v_0 and v_m u_0.
    """

    def __init__(self, counts, n_channels, n_scalars, l_max, n_radial, n_bilinear=8, hidden=48):
        super().__init__()
        self.l_max, n = l_max, n_bilinear
        self.left, self.right = (
            nn.ModuleList(nn.Linear(2 * (l_max + 1 - m) * n_channels, n, bias=False) for m in range(l_max + 1))
            for _ in range(2)
        )
        self.hidden = nn.Linear(n_radial + 2 * n_scalars, hidden)
        #: Numbers of gated channels: scalars, pseudo-scalars, tensors of every order that the block has.
        self.sizes = [(l_max + 2) * n, l_max * n if counts[1] else 0] + [3 * n] * len(counts[2:])
        self.gate = nn.Linear(hidden, sum(self.sizes))
        self.drop = nn.ModuleList(nn.Linear(size, c, bias=False) for size, c in zip(self.sizes, counts) if size and c)

    def forward(self, near, far, scalars_i, scalars_j, radial):
        u, v = ([self._of_both(w, near[m], far[m]) for m, w in enumerate(maps)] for maps in (self.left, self.right))
        orders = range(1, self.l_max + 1)
        found = [torch.cat([u[0], 0.5 * u[0] * v[0]] + [0.5 * (u[m] * v[m]).sum(1) for m in orders], 1)]
        if self.sizes[1]:
            found.append(torch.cat([0.5 * pseudo_scalars(u[m], v[m]) for m in orders], 1))
        one, other = 0.5 * v[0].unsqueeze(1), 0.5 * u[0].unsqueeze(1)
        found += [torch.cat([u[m], u[m] * one, v[m] * other], 2) for m in range(1, len(self.sizes) - 1)]
        weights = self.hidden.weight.split([x.shape[1] for x in (radial, scalars_i, scalars_j)], 1)
        h = self.hidden.bias
        for x, weight in zip([radial, scalars_i, scalars_j], weights):
            h = torch.addmm(h, x, weight.T)
        gates = self.gate(nn.functional.silu(h)).split([size for size in self.sizes if size], 1)
        gated = [x * (g if x.dim() == 2 else g.unsqueeze(1)) for x, g in zip(found, gates)]
        return torch.cat([drop(x).flatten(1) for drop, x in zip(self.drop, gated)], 1)

    @staticmethod
    def _of_both(linear, near, far):
        """W [near, far] without copying the inputs side by side."""
        a, b = linear.weight.chunk(2, 1)
        return nn.functional.linear(near, a) + nn.functional.linear(far, b)


def pseudo_scalars(u, v):
    """cos sin' - sin cos' of tensors (p, 2, n) of one order: the rotation-invariant that a mirror turns over."""
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


class AdditiveHopping(BondHead):
    """Blocks (p, 2 l1 + 1, 2 l2 + 1) in eV of one class of pairs, from each end alone and from both in lowest order.

    Parameters
    ----------
    n_own, n_other : channels of tensors of the atom's own layer, and of what it sees of the other layer, in this order.
    """

    def __init__(self, l1, l2, symmetric, n_own, n_other, n_scalars, cutoff, taper, l_max=4, n_radial=16, **sizes):
        super().__init__(l1, l2, symmetric, cutoff, taper, n_radial)
        self.n_own, self.n_channels = n_own, n_own + n_other
        n_bilinear = sizes.pop("n_bilinear", 8)
        self.near = OneEnd(self.counts, n_own, n_scalars, l_max, n_radial, **sizes)
        self.far = None if symmetric else OneEnd(self.counts, n_own, n_scalars, l_max, n_radial, **sizes)
        self.both = BothEnds(self.counts, self.n_channels, n_scalars, l_max, n_radial, n_bilinear)

    def own(self, tensors):
        """Of tensors in the bond frame the channels of the own layer; channels run fastest."""
        return [t.unflatten(-1, (-1, self.n_channels))[..., : self.n_own].flatten(-2) for t in tensors]

    def block(self, components):
        basis = block_basis(self.l1, self.l2)[1].to(components)
        return (components @ basis).unflatten(1, (2 * self.l1 + 1, 2 * self.l2 + 1))

    def forward(self, frames: BondFrames, tensors_i, tensors_j, scalars_i, scalars_j) -> torch.Tensor:
        """Blocks in crystal axes for pairs with node tensors (p, q, c) and scalars (p, s) at either end."""
        near, far = frames.by_order(tensors_i), frames.by_order(tensors_j, reversed_bond=True)
        radial = self.radial(frames.r)
        block = self.near(self.own(near), scalars_i, radial) + self.both(near, far, scalars_i, scalars_j, radial)
        if not self.symmetric:
            return self.finished(frames, self.block(block + self.far(self.own(far), scalars_j, radial)))
        back = self.near(self.own(far), scalars_j, radial) + self.both(far, near, scalars_j, scalars_i, radial)
        return self.finished(frames, self.block(block), self.block(back))
