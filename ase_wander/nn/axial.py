"""A single axial orbital per atom (graphene's p_z), along the local normal of the layer.

With n_i the unit normal at atom i the orbital is Y_l(n_i) . |l m>, and with a block B_ij of complete shells

    H_ij = Y_l(n_i)^T B_ij Y_l'(n_j).

B turns with the atoms and so do the normals: H_ij is a scalar. All normals lie on one side of the plane, and turning
them all round multiplies H_ij by (-1)^(l + l'): nothing, where all orbitals are alike.
"""

from __future__ import annotations

import torch
from torch import nn

from ..structure import NORMAL_REACH, normal_of_moment
from .angular import l_slice, spherical_harmonics
from .radial import smooth_cutoff

#: Orbitals of one axis, m = 0 about it: label -> l.
AXIAL = {"pz": 1, "dz2": 2}


def shell_degree(shell) -> int:
    """l of a shell, given as l or as the label of an axial orbital."""
    return AXIAL[shell] if isinstance(shell, str) else shell


def local_normals(vector, mask, across, plane) -> torch.Tensor:
    """Unit normals (n, 3) from padded neighbours (see `Graph`) and the plane's normal (3,):
    `structure.local_normals`.
    """
    r = vector.square().sum(-1).sqrt()
    weight = smooth_cutoff(r, NORMAL_REACH) * mask * (1 - across)
    moment = (vector * weight.unsqueeze(-1)).transpose(1, 2) @ vector  # M = sum_j w r r^T
    return normal_of_moment(moment, plane)


def axis_harmonics(normal: torch.Tensor, l: int) -> torch.Tensor:
    """Components (p, 2l + 1) of the axial orbital along unit normals (p, 3) in the shell of degree l."""
    return spherical_harmonics(normal, l)[:, l_slice(l)]


def contract(block: torch.Tensor, left=None, right=None) -> torch.Tensor:
    """Blocks (p, d1, d2) with the axial side(s) contracted, `left` (p, d1) and `right` (p, d2).

    A contracted side is of size 1.
    """
    if left is not None:
        block = left.unsqueeze(1) @ block
    return block if right is None else block @ right.unsqueeze(2)


class AxialOnsite(nn.Module):
    """On-site energy (n, 1, 1) of an axial orbital, from the atom's scalars and its tensors along its normal.

    Components of even degree along the normal enter as they are, those of odd degree, whose sign is that of the normal,
    squared.
    """

    takes_normal = True
    #: Crystal-field tensors that a complete shell has besides its mean.
    degrees = ()

    def __init__(self, l: int, n_channels: int, n_scalars: int, l_max: int, hidden: int = 64):
        super().__init__()
        self.l, self.l_max = l, l_max
        self.hidden = nn.Sequential(
            nn.Linear(n_scalars + (l_max + 1) * n_channels, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.scalar = nn.Linear(hidden, 1)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))

    def forward(self, tensors: torch.Tensor, scalars: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """Tensors (n, c, q), scalars (n, s) and normals (n, 3) of atoms of one species -> (n, 1, 1) in eV."""
        harmonics = spherical_harmonics(normal, self.l_max)
        along = [
            torch.einsum("ncm,nm->nc", tensors[:, :, l_slice(l)], harmonics[:, l_slice(l)])
            for l in range(self.l_max + 1)
        ]
        along = [t if l % 2 == 0 else t.square() for l, t in enumerate(along)]
        energy = self.scalar(self.hidden(torch.cat([scalars, *along], 1)))
        return (self.mean[0] + self.scale[0] * energy).unsqueeze(-1)
