"""Real spherical harmonics, their rotation matrices and Clebsch-Gordan coefficients.

Order m = -l ... l, no Condon-Shortley phase, Racah normalisation: sum_m Y_lm(r)^2 = 1 on the unit sphere, so
l = 1 is (y, z, x) and l = 2 is (xy, yz, z^2, xz, x^2 - y^2) up to constants, the orbital order of the Hamiltonian.
"""

from __future__ import annotations

from functools import cache, wraps
from math import sqrt

import numpy as np
import torch

#: Largest l for which the harmonics are written out below.
L_MAX = 4


def on_cpu(function):
    """Decorator of cached tables: they are made on the CPU also while a model is built on torch's meta device."""

    @wraps(function)
    def wrapped(*args):
        with torch.device("cpu"):
            return function(*args)

    return wrapped


def l_slice(l: int) -> slice:
    """Place of degree `l` among the stacked components (l = 0, 1, ...): l^2 ... (l + 1)^2."""
    return slice(l * l, (l + 1) * (l + 1))


def spherical_harmonics(unit: torch.Tensor, l_max: int) -> torch.Tensor:
    """Stacked Y_lm, l = 0 ... `l_max` (at most 4), of unit vectors (..., 3); shape (..., (l_max + 1)^2)."""
    x, y, z = unit.unbind(-1)
    out = [torch.ones_like(x)]
    if l_max >= 1:
        out += [y, z, x]
    if l_max >= 2:
        xy, yz, xz, zz = x * y, y * z, x * z, z * z
        c2 = x * x - y * y
        out += [sqrt(3) * xy, sqrt(3) * yz, 1.5 * zz - 0.5, sqrt(3) * xz, sqrt(3) / 2 * c2]
    if l_max >= 3:
        xx, yy = x * x, y * y
        s3, c3 = y * (3 * xx - yy), x * (xx - 3 * yy)
        five = 5 * zz - 1
        out += [
            sqrt(5 / 8) * s3,
            sqrt(15) * xy * z,
            sqrt(3 / 8) * y * five,
            0.5 * z * (five - 2),
            sqrt(3 / 8) * x * five,
            sqrt(15) / 2 * z * c2,
            sqrt(5 / 8) * c3,
        ]
    if l_max >= 4:
        seven = 7 * zz - 1
        out += [
            sqrt(35) / 2 * xy * c2,
            sqrt(70) / 4 * z * s3,
            sqrt(5) / 2 * xy * seven,
            sqrt(10) / 4 * yz * (seven - 2),
            (35 * zz * zz - 30 * zz + 3) / 8,
            sqrt(10) / 4 * xz * (seven - 2),
            sqrt(5) / 4 * c2 * seven,
            sqrt(70) / 4 * z * c3,
            sqrt(35) / 8 * (c2 * c2 - 4 * xy * xy),
        ]
    if l_max > L_MAX:
        raise ValueError(f"spherical harmonics are written out up to l = {L_MAX}, asked for {l_max}")
    return torch.stack(out, dim=-1)


@cache
@on_cpu
def _sample(l: int):
    """Fixed directions (2 (2l + 1), 3) and the matrix (2 (2l + 1), 2l + 1) that fits Y_l coefficients on them."""
    directions = np.random.default_rng(7 + l).normal(size=(2 * (2 * l + 1), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values = spherical_harmonics(torch.from_numpy(directions), l)[:, l_slice(l)]
    return torch.from_numpy(directions), torch.linalg.pinv(values).T.contiguous()


def wigner_d(rotation: torch.Tensor, l: int) -> torch.Tensor:
    """Rotation matrices of degree `l`: Y_l(Q r) = D(Q) Y_l(r).

    Y_l spans the space, so D follows from its values on fixed directions r_k:
    D = sum_k Y_l(Q r_k) pinv(Y_l(r))_k. Exact for any orthogonal Q, reflections included.

    Parameters
    ----------
    rotation : tensor (..., 3, 3)

    Returns
    -------
    tensor (..., 2l + 1, 2l + 1)
    """
    if l == 0:
        return torch.ones(rotation.shape[:-2] + (1, 1), dtype=rotation.dtype, device=rotation.device)
    if l == 1:  # (y, z, x) is a permutation of the Cartesian axes
        order = torch.tensor([1, 2, 0], device=rotation.device)
        return rotation.index_select(-2, order).index_select(-1, order)
    directions, fit = (t.to(rotation) for t in _sample(l))
    rotated = directions @ rotation.transpose(-1, -2)
    return spherical_harmonics(rotated, l)[..., l_slice(l)].transpose(-1, -2) @ fit


@cache
@on_cpu
def clebsch_gordan(l1: int, l2: int, l3: int) -> torch.Tensor:
    """Real coupling tensor (2l1 + 1, 2l2 + 1, 2l3 + 1), float64, of norm sqrt(2 l3 + 1).

    The one tensor left unchanged by D1 x D2 x D3 of every rotation: null space of (D1 x D2 x D3 - 1)
    for two generic rotations. Sign: the entry of largest size is positive.
    """
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"({l1}, {l2}, {l3}) violate the triangle rule")
    generator = np.random.default_rng(3)
    dim = (2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1)
    gram = np.zeros((dim, dim))
    for _ in range(2):
        q, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        rotation = torch.from_numpy(q * np.sign(np.linalg.det(q)))
        d1, d2, d3 = (wigner_d(rotation, l).numpy() for l in (l1, l2, l3))
        defect = np.kron(np.kron(d1, d2), d3) - np.eye(dim)
        gram += defect.T @ defect
    values, vectors = np.linalg.eigh(gram)
    assert dim == 1 or values[0] < 1e-12 < 1e-6 < values[1], (l1, l2, l3, values[:2])
    tensor = vectors[:, 0].reshape(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1)
    tensor *= np.sign(tensor.flat[np.argmax(np.abs(np.round(tensor, 9)))]) * sqrt(2 * l3 + 1)
    return torch.from_numpy(np.where(np.abs(tensor) < 1e-12, 0.0, tensor))
