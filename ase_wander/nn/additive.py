"""Hopping blocks between layers whose surroundings may be turned against each other by any angle.

Stackings of untwisted cells hold two angles between the layers, 0 and 60 degrees. A network that mixes the
surroundings of both ends is free in all that is the same at both, such as cos 6 (theta_i - theta_j). Here

    H_ij = N(end i, r) + N'(end j, r) + sum_ab g_ab(r, scalars) u_a v_b,

in the frame of the bond: nonlinear networks N see one end alone, and of that end its own layer alone (`own_layer`); u
and v are linear in the tensors of both ends, so that no angle between the layers enters beyond its lowest harmonic,
cos 3 (theta_i - theta_j), which 0 and 60 degrees do fix (+1 and -1). The gates g know distances and
rotation-invariants only. The first two terms hold what S. Fang and E. Kaxiras, Phys. Rev. B 93, 235153 (2016), eq. 2,
write for p_z: V_0(r) + V_3(r) [cos 3 theta_ij + cos 3 theta_ji] + ...
"""

from __future__ import annotations

import torch
from torch import nn

from .bond_frame import BondFrames, block_basis
from .hopping import BondHead


class OneEnd(nn.Module):
    """Components (p, n) of blocks, in the order of `block_basis`, from the tensors and scalars of one end and the
    distance."""

    def __init__(self, counts, n_channels, n_scalars, l_max, n_radial, n_gated=24, n_cross=8, hidden=96):
        super().__init__()
        self.l_max, self.n_channels, self.n_gated, self.n_cross = l_max, n_channels, n_gated, n_cross
        self.orders = range(1, l_max + 1)
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

    def maps(self, n_other):
        """Linear maps of the end's tensors, by order m, for tensors that hold `n_other` more channels, which none
        looks at."""
        inputs = self.first.weight.shape[1] - self.l_max * self.n_gated
        of_zero = self.first.weight[:, inputs - (self.l_max + 1) * self.n_channels : inputs]
        return [
            nn.functional.pad(w.unflatten(1, (-1, self.n_channels)), (0, n_other)).flatten(1)
            for w in [of_zero, *(lift.weight for lift in self.lift)]
        ]

    def forward(self, mapped, scalars, radial):
        """`mapped`: by order m, tensors of `BondFrames.by_order`, seen from this end, after the linear `maps`."""
        hidden, *lifted = mapped  # (p, hidden), (p, 2, g) ...
        inputs = [scalars.shape[1], radial.shape[1], (self.l_max + 1) * self.n_channels, self.l_max * self.n_gated]
        of_scalars, of_radial, _, of_norms = self.first.weight.split(inputs, 1)
        norms = torch.cat([0.1 * v.square().sum(1) for v in lifted], 1)
        h = hidden + self.first.bias
        for x, weight in ((scalars, of_scalars), (radial, of_radial), (norms, of_norms)):
            h = torch.addmm(h, x, weight.T)
        h = nn.functional.silu(h)
        h = h + nn.functional.silu(self.second(h))
        gates, cross_gates = self.gate(h).split([self.l_max * self.n_gated, self.l_max * self.n_cross], 1)
        parts = [self.scalar(h)]
        if self.pseudo is not None:
            maps = (torch.cat([a.weight, b.weight]) for a, b in zip(self.left, self.right))
            cross = [pseudo_scalars(*linear(v, w).chunk(2, -1)) for v, w in zip(lifted, maps)]
            parts.append(self.pseudo(torch.cat(cross, 1) * cross_gates * 0.3))
        needed = zip(self.drop, lifted, gates.chunk(self.l_max, 1))
        parts += [linear(v * g.unsqueeze(1), drop.weight).flatten(1) for drop, v, g in needed]
        return torch.cat(parts, 1)


class BothEnds(nn.Module):
    """Components (p, n) of blocks, linear and bilinear in the tensors of both ends, gated by scalars and the distance.

    u_m, v_m: two linear maps of the tensors of order m of both ends. Scalars are u_0, u_0 v_0 and the products u_m .
    v_m, pseudo- scalars u_m x v_m, tensors of order m > 0 are u_m, u_m v_0 and v_m u_0.
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

    def maps(self):
        """Linear maps of the near and of the far end's tensors, by order m, those of u before those of v."""
        pairs = [(a.weight.chunk(2, 1), b.weight.chunk(2, 1)) for a, b in zip(self.left, self.right)]
        return [torch.cat([a[0], b[0]]) for a, b in pairs], [torch.cat([a[1], b[1]]) for a, b in pairs]

    def forward(self, mapped, scalars_i, scalars_j, radial):
        """`mapped`: by order m, the sum of both ends' tensors after the linear `maps`."""
        u, v = zip(*(t.chunk(2, -1) for t in mapped))
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
        return torch.cat([linear(x, drop.weight).flatten(1) for drop, x in zip(self.drop, gated)], 1)


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
        self.n_own, self.n_other = n_own, n_other
        n_bilinear = sizes.pop("n_bilinear", 8)
        self.near = OneEnd(self.counts, n_own, n_scalars, l_max, n_radial, **sizes)
        self.far = None if symmetric else OneEnd(self.counts, n_own, n_scalars, l_max, n_radial, **sizes)
        channels = n_own + n_other
        self.both = BothEnds(self.counts, channels, n_scalars, l_max, n_radial, n_bilinear) if n_bilinear else None

    def block(self, components):
        """Blocks in the bond frame of their components."""
        basis = block_basis(self.l1, self.l2)[1].to(components)
        return (components @ basis).unflatten(1, (2 * self.l1 + 1, 2 * self.l2 + 1))

    def forward(self, frames: BondFrames, tensors_i, tensors_j, scalars_i, scalars_j) -> torch.Tensor:
        """Blocks in crystal axes for pairs with node tensors (p, q, c) and scalars (p, s) at either end."""
        near, far = frames.by_order(tensors_i), frames.by_order(tensors_j, reversed_bond=True)
        radial = self.radial(frames.r)
        if self.both is None:
            return self.finished(frames, *self._of_ends(near, far, scalars_i, scalars_j, radial))
        of_near, of_far = self.both.maps()
        if self.symmetric:  # every end is the near one of one direction: all its maps at once
            maps = list(zip(self.near.maps(self.n_other), of_near, of_far))
            own_i, near_i, far_i = mapped(near, maps)
            own_j, near_j, far_j = mapped(far, maps)
            block = self.near(own_i, scalars_i, radial)
            block = block + self.both(added(near_i, far_j), scalars_i, scalars_j, radial)
            back = self.near(own_j, scalars_j, radial)
            back = back + self.both(added(near_j, far_i), scalars_j, scalars_i, radial)
            return self.finished(frames, self.block(block), self.block(back))
        own_i, near_i = mapped(near, list(zip(self.near.maps(self.n_other), of_near)))
        own_j, far_j = mapped(far, list(zip(self.far.maps(self.n_other), of_far)))
        block = self.near(own_i, scalars_i, radial) + self.far(own_j, scalars_j, radial)
        return self.finished(frames, self.block(block + self.both(added(near_i, far_j), scalars_i, scalars_j, radial)))

    def _of_ends(self, near, far, scalars_i, scalars_j, radial):
        """Blocks of the ends alone: of equal species those of one end seen from i and from j, otherwise their sum."""
        of_end = lambda end, tensors, scalars: end(
            mapped(tensors, [(w,) for w in end.maps(self.n_other)])[0], scalars, radial
        )
        if self.symmetric:
            return self.block(of_end(self.near, near, scalars_i)), self.block(of_end(self.near, far, scalars_j))
        return (self.block(of_end(self.near, near, scalars_i) + of_end(self.far, far, scalars_j)),)


def linear(x, weight):
    """W x along the last axis, in one product of matrices however x lies in memory."""
    return (x.reshape(-1, x.shape[-1]) @ weight.T).unflatten(0, x.shape[:-1])


def mapped(tensors, maps):
    """Tensors by order after several linear maps of each, `maps` a list of tuples of weights by order: a list by
    order for each."""
    found = [linear(t, torch.cat(weights)).split([len(w) for w in weights], -1) for t, weights in zip(tensors, maps)]
    return [list(of_one) for of_one in zip(*found)]


def added(one, other):
    """Sums order by order."""
    return [a + b for a, b in zip(one, other)]
