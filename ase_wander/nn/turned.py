"""Bond frames by compiled loops: what `bond_frame.BondFrames` does in torch, where nothing is to be differentiated."""

from __future__ import annotations

from ctypes import c_int64, c_void_p

import torch
from torch.autograd import forward_ad

from .. import kernels

_SUFFIX = {torch.float64: "f64", torch.float32: "f32"}


def library(*tensors):
    """The compiled loops for these tensors; None where torch has to do: other devices, precisions, derivatives."""
    for t in tensors:
        differentiated = (torch.is_grad_enabled() and t.requires_grad) or forward_ad.unpack_dual(t).tangent is not None
        if differentiated or t.device.type != "cpu" or t.dtype not in _SUFFIX or t.dtype != tensors[0].dtype:
            return None
    return kernels.load(torch.backends.cpu.get_cpu_capability())


def bond_matrices(lib, vector: torch.Tensor, l_max: int):
    """Lengths (p,) of bonds (p, 3) and their matrices D_l, l = 0 ... l_max, each (p, 2l + 1, 2l + 1)."""
    vector, p = vector.contiguous(), len(vector)
    r = vector.new_empty(p)
    d = [vector.new_empty(p, 2 * l + 1, 2 * l + 1) for l in range(l_max + 1)]
    call(lib, "bond_frames", vector.dtype, p, l_max, vector, r, d)
    return r, d


def by_order(lib, d, tensors: torch.Tensor, mirrored: bool):
    """`BondFrames.by_order` with the matrices `d` of `bond_matrices`."""
    (p, _, channels), l_max = tensors.shape, len(d) - 1
    tensors, d = tensors.contiguous(), [m.contiguous() for m in d]
    counts = [l_max + 1 - m for m in range(l_max + 1)]
    out = [
        tensors.new_empty(p, 2, n * channels) if m else tensors.new_empty(p, n * channels) for m, n in enumerate(counts)
    ]
    call(lib, "by_order", tensors.dtype, p, l_max, channels, int(mirrored), d, tensors, out)
    return out


def to_crystal(lib, block: torch.Tensor, left: torch.Tensor, right: torch.Tensor):
    """left^T block right of every pair, (p, rows, columns)."""
    out = block.clone(memory_format=torch.contiguous_format)
    call(lib, "to_crystal", block.dtype, *block.shape, left.contiguous(), right.contiguous(), out)
    return out


def call(lib, name, dtype, *args):
    """Call the loop `name` for `dtype` with integers, contiguous tensors and lists of them."""

    def convert(x):
        if isinstance(x, list):
            return kernels.addresses(x)
        return c_int64(x) if isinstance(x, int) else c_void_p(x.data_ptr())

    getattr(lib, f"{name}_{_SUFFIX[dtype]}")(*map(convert, args))
