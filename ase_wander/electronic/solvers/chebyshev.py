"""Chebyshev moments of the density of states by stochastic traces (kernel polynomial method).

A. Weisse, G. Wellein, A. Alvermann, H. Fehske, Rev. Mod. Phys. 78, 275 (2006); equations are theirs.
"""

from __future__ import annotations

import numpy as np


def spectral_bounds(matrix, steps=40, seed=0):
    """Energies (eV) that enclose the spectrum of a Hermitian matrix: extreme Lanczos values plus their residuals."""
    rng = np.random.default_rng(seed)
    n = matrix.shape[0]
    steps = min(steps, n)
    v = rng.standard_normal(n).astype(matrix.dtype)
    v /= np.linalg.norm(v)
    previous, beta = np.zeros_like(v), 0.0
    alphas, betas = [], []
    for _ in range(steps):
        w = matrix @ v - beta * previous
        alpha = np.vdot(v, w).real
        w -= alpha * v
        alphas.append(alpha)
        beta = float(np.linalg.norm(w))
        betas.append(beta)
        if beta < 1e-12:
            break
        previous, v = v, w / beta
    t = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    theta, s = np.linalg.eigh(t)
    low, high = theta[0] - betas[-1] * abs(s[-1, 0]), theta[-1] + betas[-1] * abs(s[-1, -1])
    margin = 0.01 * max(high - low, 1e-3)
    return low - margin, high + margin


def chebyshev_moments(matrix, vectors, n_moments, centre, half_width):
    """mu_n = <r| T_n((H - centre) / half_width) |r> of every column of `vectors`, shape (n_moments, n_vectors).

    Two moments per product with H: mu_2n = 2 <a_n|a_n> - mu_0, mu_2n+1 = 2 <a_n+1|a_n> - mu_1 (Eq. 34-35).
    """

    def dot(a, b):
        return np.einsum("ij,ij->j", a.conj(), b).real

    def apply(x):
        return (matrix @ x - centre * x) / half_width

    moments = np.empty((n_moments + 1, vectors.shape[1]))
    older, newer = vectors, apply(vectors)
    moments[0], moments[1] = dot(older, older), dot(older, newer)
    for m in range(1, (n_moments + 1) // 2):
        # T_m+1 = 2 x T_m - T_m-1
        older, newer = newer, 2 * apply(newer) - older
        moments[2 * m] = 2 * dot(older, older) - moments[0]
        moments[2 * m + 1] = 2 * dot(older, newer) - moments[1]
    return moments[:n_moments]


def jackson_kernel(n_moments):
    """g_n of Eq. 71: positive, Gaussian-like resolution pi / n_moments in units of the half width."""
    n = np.arange(n_moments)
    phi = np.pi / (n_moments + 1)
    return ((n_moments - n + 1) * np.cos(phi * n) + np.sin(phi * n) / np.tan(phi)) / (n_moments + 1)


def random_phases(n, count, seed=0, real=False):
    """Columns of unit-modulus random numbers, which make the stochastic trace's variance least (Eq. 41)."""
    rng = np.random.default_rng(seed)
    if real:
        return rng.choice([-1.0, 1.0], size=(n, count))
    return np.exp(2j * np.pi * rng.random((n, count)))


def density(moments, x):
    """Damped Chebyshev series sum_n g_n mu_n T_n(x) / (pi sqrt(1 - x^2)) (Eq. 30), shape (n_x, n_vectors).

    The integral over -1 < x < 1 is mu_0.
    """
    moments = moments.reshape(len(moments), -1)
    damped = jackson_kernel(len(moments))[:, None] * moments * np.where(np.arange(len(moments)) == 0, 1, 2)[:, None]
    inside = np.abs(x) < 1
    theta = np.arccos(np.where(inside, x, 0))
    result = np.zeros((len(x), moments.shape[1]))
    for start in range(0, len(moments), 256):
        n = np.arange(start, min(start + 256, len(moments)))
        result += np.cos(np.multiply.outer(theta, n)) @ damped[n]
    return np.where(inside[:, None], result / (np.pi * np.sin(theta))[:, None], 0)


def integrated_count(moments, x):
    """Number of states below x (in units of the half width): -(g mu) integrated, Jackson-damped, shape of x."""
    g = jackson_kernel(len(moments)) * moments
    theta = np.arccos(np.clip(x, -1, 1))
    n = np.arange(1, len(moments))
    # integral of T_n / (pi sqrt(1 - x^2)) from -1 to x = -sin(n arccos x) / (n pi)
    series = np.sin(np.multiply.outer(theta, n)) @ (g[1:] / n)
    return g[0] * (1 - theta / np.pi) - 2 / np.pi * series


def estimate_filling_energy(matrix, count, n_moments=200, n_vectors=4):
    """Energy (eV) below which about `count` states lie."""
    n = matrix.shape[0]
    low, high = spectral_bounds(matrix)
    centre, half = (high + low) / 2, (high - low) / 2
    vectors = random_phases(n, n_vectors, real=np.dtype(matrix.dtype).kind != "c")
    moments = chebyshev_moments(matrix, vectors, n_moments, centre, half).mean(axis=1)
    grid = np.linspace(-1, 1, 4001)
    filled = np.maximum.accumulate(integrated_count(moments, grid)) * n / moments[0]
    return float(centre + half * np.interp(count, filled, grid))
