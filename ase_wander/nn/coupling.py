"""Channel products of densities by compiled loops, to be differentiated twice: forces are in the loss of a training.

With T(a, b, g) = sum of g . [a x b] over all paths, products are dT/dg, their gradients dT/da and dT/db, and the
gradients of those, contracted with u and v, are derivatives of T(u, b, g) + T(a, v, g): three times one sparse sum.
"""

from __future__ import annotations

from ctypes import byref, c_int64
from functools import cache

import torch

from .. import kernels
from .environment import ChannelProduct

_SUFFIX = {torch.float64: "f64", torch.float32: "f32"}
#: Channels that a loop treats at a time.
LANES = 8


def couple(product: ChannelProduct, ab: list[torch.Tensor]) -> list[torch.Tensor]:
    """All products before mixing.

    Parameters
    ----------
    product : ChannelProduct
        Whose paths are taken.
    ab : list of tensor, shape (n, 2 l + 1, 2 c)
        By degree l: left channels, then right ones.

    Returns
    -------
    list of tensor, shape (n, 2 l3 + 1, paths x c)
        By degree l3.
    """
    lib = _library(ab[0])
    if lib is not None:
        paths = tuple(map(tuple, product.paths))
        return list(_Couple.apply(lib, paths, *ab))
    sides = [[t.transpose(1, 2) for t in side] for side in zip(*(t.chunk(2, 2) for t in ab))]
    return [product.coupled(*sides, l3).transpose(1, 2) for l3 in range(len(product.paths))]


def _library(of):
    """The compiled loops for these channels, None where torch has to do."""
    if of.device.type != "cpu" or of.dtype not in _SUFFIX or of.shape[2] % (2 * LANES):
        return None
    return kernels.load(torch.backends.cpu.get_cpu_capability())


@cache
def _table(paths):
    from .fused import CouplingTable

    return CouplingTable(paths)


def _call(lib, name, paths, ab, *lists):
    """Call a loop; degrees that `ab` lacks are never read."""
    whole = [*ab, *[ab[0]] * (5 - len(ab))]
    lists = [[*x, *[x[0]] * (5 - len(x))] for x in lists]
    addresses = [kernels.addresses(x) for x in (whole, *lists)]
    sizes = c_int64(len(ab[0])), c_int64(ab[0].shape[2] // 2)
    getattr(lib, f"{name}_{_SUFFIX[ab[0].dtype]}")(byref(_table(paths).struct), *sizes, *addresses)


def _products(lib, paths, ab):
    n, _, c = ab[0].shape
    out = [ab[0].new_empty(n, 2 * l + 1, len(p) * c // 2) for l, p in enumerate(paths)]
    _call(lib, "couple", paths, ab, out)
    return out


def _gradients(lib, paths, ab, g):
    out = [torch.zeros_like(t) for t in ab]
    _call(lib, "couple_gradient", paths, ab, g, out)
    return out


def _sides(one, other):
    """Left channels of `one` with right channels of `other`."""
    half = one[0].shape[2] // 2
    return [torch.cat([a[..., :half], b[..., half:]], 2) for a, b in zip(one, other)]


class _Couple(torch.autograd.Function):
    @staticmethod
    def forward(ctx, lib, paths, *ab):
        ab = [t.contiguous() for t in ab]
        ctx.lib, ctx.paths = lib, paths
        ctx.save_for_backward(*ab)
        return tuple(_products(lib, paths, ab))

    @staticmethod
    def backward(ctx, *g):
        return None, None, *_CoupleBack.apply(ctx.lib, ctx.paths, len(ctx.saved_tensors), *ctx.saved_tensors, *g)


class _CoupleBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, lib, paths, n_degrees, *tensors):
        tensors = [t.contiguous() for t in tensors]
        ctx.lib, ctx.paths, ctx.n = lib, paths, n_degrees
        ctx.save_for_backward(*tensors)
        return tuple(_gradients(lib, paths, tensors[:n_degrees], tensors[n_degrees:]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *uv):
        ab, g = ctx.saved_tensors[: ctx.n], ctx.saved_tensors[ctx.n :]
        uv = [t.contiguous() for t in uv]
        by_ab = _gradients(ctx.lib, ctx.paths, uv, g)
        by_g = [p + q for p, q in zip(*(_products(ctx.lib, ctx.paths, x) for x in (_sides(uv, ab), _sides(ab, uv))))]
        return None, None, None, *by_ab, *by_g
