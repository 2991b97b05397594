"""Slater-Koster blocks: functions of the distance and, on request, of scalars of both atoms.

H_ij = D_1^T [ sum_m V_|m|(r, ...) (|m><m| + |-m><-m|) ] D_2 in the frame of the bond, J. C. Slater and G. F. Koster,
Phys. Rev. 94, 1498 (1954): V_llm of the distance only, for the model kind `two-center`; with the atoms' RAERs as
further arguments, for the ablation of what a hopping needs to know.
"""

from __future__ import annotations

import torch
from torch import nn

from .angular import clebsch_gordan, l_slice, spherical_harmonics
from .bond_frame import BondFrames, block_basis
from .hopping import BondHead


class AxialHopping(BondHead):
    """Blocks of one class of pairs from two-center integrals V_m(r, scalars_i, scalars_j); see `BondHead`.

    Parameters
    ----------
    n_scalars : int
        Numbers of either atom that the integrals depend on; 0: on the distance alone.
    """

    def __init__(self, l1, l2, symmetric, n_scalars, cutoff, taper, n_radial=16, hidden=96):
        super().__init__(l1, l2, symmetric, cutoff, taper, n_radial)
        self.network = nn.Sequential(
            nn.Linear(n_radial + 2 * n_scalars, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, self.counts[0]),
        )

    def integrals(self, *inputs) -> torch.Tensor:
        """Blocks (p, d1, d2) in the bond frame before scaling: sum_m V_m B_m, one V for each of sigma, pi, delta."""
        basis = block_basis(self.l1, self.l2)[1][: self.counts[0]].to(inputs[0])
        return (self.network(torch.cat(inputs, 1)) @ basis).unflatten(1, (2 * self.l1 + 1, 2 * self.l2 + 1))

    def forward(self, frames: BondFrames, tensors_i, tensors_j, scalars_i, scalars_j) -> torch.Tensor:
        """Blocks (p, 2 l1 + 1, 2 l2 + 1) in eV, crystal axes; tensors are ignored."""
        radial = self.radial(frames.r)
        block = self.integrals(radial, scalars_i, scalars_j)
        # bonds seen from their other end have the same integrals: the same block if no scalar tells the ends apart
        back = self.integrals(radial, scalars_j, scalars_i) if self.symmetric else None
        return self.finished(frames, block, back)


class ConstantOnsite(nn.Module):
    """On-site blocks of one species that are the same for all its atoms: a level and an axial crystal field.

        H_ii = E + sum_L c_L CG(l, l, L) Y_L(n_i),  L = 2, 4 ... 2l,

    about the local normal n_i: of an l shell, l + 1 levels by |m|. For a single axial orbital, its level alone.
    """

    takes_normal = True

    def __init__(self, l: int, axial: bool):
        super().__init__()
        self.l = l
        self.degrees = [] if axial else list(range(2, 2 * l + 1, 2))
        self.size = 1 if axial else 2 * l + 1
        self.level = nn.Parameter(torch.zeros(1))
        self.field = nn.Parameter(torch.zeros(len(self.degrees)))
        self.register_buffer("mean", torch.zeros(len(self.degrees) + 1))
        self.register_buffer("scale", torch.ones(len(self.degrees) + 1))

    def forward(self, tensors, scalars, normal: torch.Tensor) -> torch.Tensor:
        """Blocks (n, d, d) in eV for normals (n, 3)."""
        d = self.size
        block = (self.mean[0] + self.scale[0] * self.level) * torch.eye(d, dtype=normal.dtype, device=normal.device)
        block = block.expand(len(normal), d, d)
        for k, L in enumerate(self.degrees):
            t = self.scale[k + 1] * self.field[k] * spherical_harmonics(normal, L)[:, l_slice(L)]
            block = block + (t @ clebsch_gordan(self.l, self.l, L).to(t).reshape(d * d, -1).T).reshape(-1, d, d)
        return 0.5 * (block + block.transpose(1, 2))


class Undressed(nn.Module):
    """In place of `Dressing` where no head asks for it: atoms without tensors and scalars."""

    def __init__(self, l_max):
        super().__init__()
        self.l_max, self.extra_sizes = l_max, {}

    def forward(self, graph, environment, extra=()):
        return graph.vector.new_zeros(len(graph), 0, (self.l_max + 1) ** 2), graph.vector.new_zeros(len(graph), 0)

    def fit(self, graphs, environments):
        """Nothing to set."""
