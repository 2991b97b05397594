"""The 2 + 15 networks of the published WANDER (Qi, Gong, Yan, arXiv:2403.13675)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .environment import N_INPUTS

#: Width of the reduced atomic environment representation (RAER).
RAER = 32

#: Pairs nearer than NEAR and up to CUTOFF (Å) have networks of their own.
NEAR, CUTOFF = 6.0, 12.0

_M, _S = N_INPUTS["metal"], N_INPUTS["chalcogen"]
_PAIR = 2 * RAER + 4
_BLOCKS = {"mm": 25, "ms": 15, "sm": 15, "ss": 9}

#: name -> (inputs, first hidden, second hidden, outputs, factor between the physical quantity and the output).
#: Forces in Ry/bohr, elements of H in eV; m is the metal, s the chalcogen, rows before columns.
NETWORKS = {
    "force_m": (_M, 64, RAER, 3, 100.0),
    "force_s": (_S, 64, RAER, 3, 100.0),
    "self_m": (_M, 4, 2, 25, 1.0),
    "self_s": (_S, 4, 2, 9, 1.0),
    **{f"intra_{kind}_near": (_PAIR, 64, 32, n, 1.0) for kind, n in _BLOCKS.items()},
    **{f"intra_{kind}_long": (_PAIR, 64, 32, n, 100.0) for kind, n in _BLOCKS.items()},
    **{f"inter_{kind}": (4, 32, 16, n, 100.0) for kind, n in _BLOCKS.items() if kind != "ss"},
    "inter_ss_near": (4, 16, 8, 9, 1.0),
    "inter_ss_long": (4, 32, 16, 9, 100.0),
}

#: The fifteen Hamiltonian networks.
HAMILTONIAN_NETWORKS = tuple(name for name in NETWORKS if not name.startswith("force"))


class PublishedNetwork(nn.Module):
    """BatchNorm -> Linear -> ReLU -> Linear -> ReLU -> Linear, divided by `scale`.

    Parameters
    ----------
    n_in, n_first, n_second, n_out : int
        Widths.
    scale : float
        The network's last layer gives `scale` times the physical quantity.
    """

    def __init__(self, n_in, n_first, n_second, n_out, scale=1.0):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_in)
        self.linear1 = nn.Linear(n_in, n_first)
        self.linear2 = nn.Linear(n_first, n_second)
        self.linear3 = nn.Linear(n_second, n_out)
        self.scale = float(scale)

    def hidden(self, x):
        """Output of the second linear layer, before its ReLU: the RAER of a force network.

        (n, n_in) -> (n, n_second).
        """
        if self.training:
            x = self.norm(x)
        else:
            # Subtract before scaling. The fused x*a + (b - mean*a) of some backends cancels ten digits of the
            # narrowly distributed inputs, and in float32 misses the published forces by ten times as much.
            norm = self.norm
            x = (x - norm.running_mean) * (norm.weight / torch.sqrt(norm.running_var + norm.eps)) + norm.bias
        return self.linear2(torch.relu(self.linear1(x)))

    def raw(self, x):
        """Target of the training: `scale` times the physical quantity, (n, n_in) -> (n, n_out)."""
        return self.linear3(torch.relu(self.hidden(x)))

    def forward(self, x):
        """Forces in Ry/bohr or elements of H in eV, (n, n_in) -> (n, n_out)."""
        return self.raw(x) / self.scale


def published_networks():
    """All networks by name, freshly initialised, as an nn.ModuleDict."""
    return nn.ModuleDict({name: PublishedNetwork(*sizes) for name, sizes in NETWORKS.items()})


def evaluate(function, inputs, chunk=65536):
    """Apply a network (or its `hidden`) to an array (n, n_in) in pieces, without gradients; float64 (n, n_out)."""
    network = getattr(function, "__self__", function)
    like = network.linear1.weight
    out = []
    with torch.no_grad():
        for start in range(0, len(inputs), chunk):
            x = torch.as_tensor(inputs[start : start + chunk], dtype=like.dtype, device=like.device)
            out.append(function(x).to("cpu", torch.float64).numpy())
    return np.concatenate(out) if out else np.zeros((0, network.linear3.out_features))
