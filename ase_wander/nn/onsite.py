"""On-site blocks: crystal field of an atom, assembled from its own tensors of even degree."""

from __future__ import annotations

import torch
from torch import nn

from .angular import clebsch_gordan, l_slice


class OnsiteHead(nn.Module):
    """H_ii = sum_L CG(l, l, L) t_L, L = 0, 2, ..., 2l: symmetric and covariant by construction.

    t_0 comes from the scalars, t_L from tensors weighted by functions of the scalars. One network per species.
    """

    def __init__(self, l: int, n_channels: int, n_scalars: int, hidden: int = 64):
        super().__init__()
        self.l = l
        self.degrees = list(range(2, 2 * l + 1, 2))
        self.hidden = nn.Sequential(
            nn.Linear(n_scalars + n_channels, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.scalar = nn.Linear(hidden, 1)
        self.gates = nn.Linear(hidden, len(self.degrees) * n_channels)
        self.register_buffer("mean", torch.zeros(len(self.degrees) + 1))
        self.register_buffer("scale", torch.ones(len(self.degrees) + 1))

    def forward(self, tensors: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        """Tensors (n, c, q) and scalars (n, s) of atoms of one species -> blocks (n, 2l + 1, 2l + 1) in eV."""
        hidden = self.hidden(torch.cat([scalars, tensors[:, :, 0]], 1))
        n, d = len(scalars), 2 * self.l + 1
        eye = torch.eye(d, dtype=scalars.dtype, device=scalars.device)
        block = (self.mean[0] + self.scale[0] * self.scalar(hidden)).unsqueeze(-1) * eye
        gates = self.gates(hidden).reshape(n, len(self.degrees), tensors.shape[1])
        for k, L in enumerate(self.degrees):
            t = torch.einsum("nc,ncm->nm", gates[:, k], tensors[:, :, l_slice(L)]) * self.scale[k + 1]
            cg = clebsch_gordan(self.l, self.l, L).to(t)
            block = block + (t @ cg.reshape(d * d, -1).T).reshape(n, d, d)
        return 0.5 * (block + block.transpose(1, 2))
