"""A small model of H(k) on a line of k-points: its projection on states that are known at a few of them.

V (n, m): orthonormal basis of the known states in the atomic gauge, where they change little from k to k. On the
line, with G(k) = (H(k) - s) V, all that is needed of the large matrix is B = V^H G and A = G^H G: they give the Ritz
values of H(k) in V, the residual |H x - E x| of any vector x = V y, and the bounds that follow from them.

Index legend: n orbitals, m basis vectors, p Ritz vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .interpolation import chebyshev_nodes, lagrange, node_count, phase_norms

#: Directions of new states that the basis holds up to this sine are left out.
NEW_DIRECTION = 1e-4

#: A sparse matrix with more than this share of elements is multiplied as a full one, in stripes of rows.
FULL = 0.05

STRIPE = 512


class ReducedLine:
    """H(k) on a line of k-points, projected on a basis that grows.

    Parameters
    ----------
    h : WannierHamiltonian
    start, stop : ndarray (3,)
        Ends of the line, in reciprocal lattice vectors: t = -1 and t = 1.
    shift : float
        s in eV, near the wanted bands.

    Attributes
    ----------
    error : float
        Bound (eV) on the error of the interpolated H(k).
    """

    def __init__(self, h, start, stop, shift):
        self.h, self.shift = h, float(shift)
        self.middle, self.half = (start + stop) / 2, (stop - start) / 2
        count, self.error = node_count(*phase_norms(h, self.half))
        self._nodes = chebyshev_nodes(count)
        # G has degree count - 1, so that A and B are polynomials of twice that: no further error.
        self._fine = chebyshev_nodes(2 * count - 1)
        self.basis = np.zeros((h.n_orbitals, 0), complex)
        self._applied = np.zeros((count, h.n_orbitals, 0), complex)
        self._a = self._b = np.zeros((len(self._fine), 0, 0), complex)

    def position(self, k):
        """t of a k-point on the line."""
        return float(np.clip((k - self.middle) @ self.half / (self.half @ self.half), -1, 1))

    def extend(self, states):
        """Add states (n, p) of the atomic gauge to the basis."""
        new = np.asarray(states, complex)
        for _ in range(2):
            new = new - self.basis @ (self.basis.conj().T @ new)
        q, r = np.linalg.qr(new)
        u, sine, _ = np.linalg.svd(r)
        new = np.ascontiguousarray(q @ u[:, sine > NEW_DIRECTION])
        new = np.linalg.qr(new - self.basis @ (self.basis.conj().T @ new))[0]
        applied = np.stack([self._h_at(t, new) - self.shift * new for t in self._nodes])
        self._project(new, applied)
        self.basis = np.concatenate([self.basis, new], axis=1)
        self._applied = np.concatenate([self._applied, applied], axis=2)

    def _h_at(self, t, x):
        """H(k) x in the atomic gauge: the phases of the centres go onto x, not onto every element of H."""
        k = self.middle + t * self.half
        phase = np.exp(2j * np.pi * (self.h.scaled_centres @ k))[:, None]
        return phase.conj() * apply(self.h.at_k(k), phase * x)

    def _project(self, new, new_applied):
        """B and A of the grown basis at the fine nodes."""
        old, width = self.basis.shape[1], new.shape[1]
        a, b = np.zeros((2, len(self._fine), old + width, old + width), complex)
        a[:, :old, :old], b[:, :old, :old] = self._a, self._b
        for i, t in enumerate(self._fine):
            weights = lagrange(self._nodes, t)
            g_new = np.tensordot(weights, new_applied, 1)
            b[i, old:, old:] = new.conj().T @ g_new
            a[i, old:, old:] = g_new.conj().T @ g_new
            if old:
                b[i, :old, old:] = self.basis.conj().T @ g_new
                a[i, :old, old:] = np.tensordot(weights, self._applied, 1).conj().T @ g_new
                for x in (a[i], b[i]):
                    x[old:, :old] = x[:old, old:].conj().T
        self._a, self._b = a, b

    def pencil(self, t, sigma):
        """V^H (H - sigma) V and V^H (H - sigma)^2 V at t, each (m, m)."""
        weights = lagrange(self._fine, t)
        a, b = np.tensordot(weights, self._a, 1), np.tensordot(weights, self._b, 1)
        a, b = (a + a.conj().T) / 2, (b + b.conj().T) / 2
        away, one = sigma - self.shift, np.eye(len(b))
        return b - away * one, a - 2 * away * b + away**2 * one

    def speed(self, t, coefficients, step=1e-3):
        """Largest |dE/dt| (eV) of any mixture of the states V y, y (m, p): the norm of their projected dH/dt."""
        difference = np.tensordot(lagrange(self._fine, t + step) - lagrange(self._fine, t - step), self._b, 1)
        small = coefficients.conj().T @ difference @ coefficients / (2 * step)
        return float(np.linalg.norm((small + small.conj().T) / 2, 2))


@dataclass
class Ritz:
    """Ritz pairs of one k-point.

    Attributes
    ----------
    energies : ndarray (p,), eV, ascending
    coefficients : ndarray (m, p), orthonormal; x = V y
    gram : ndarray (p, p), R^H R of the residuals R = H x - x E, eV^2
    """

    energies: np.ndarray
    coefficients: np.ndarray
    gram: np.ndarray

    @property
    def residuals(self):
        """|H x - E x| of every pair, eV."""
        return np.sqrt(np.maximum(np.diagonal(self.gram).real, 0))

    def take(self, chosen):
        """The chosen pairs alone."""
        return Ritz(self.energies[chosen], self.coefficients[:, chosen], self.gram[np.ix_(chosen, chosen)])


def harmonic_ritz(b, a, sigma, n_below, n_above):
    """Ritz pairs of H in the span of the harmonic Ritz vectors nearest below and above sigma.

    B y = tau A y with B = V^H (H - sigma) V, A = V^H (H - sigma)^2 V: 1 / tau + sigma approaches the energies nearest
    sigma from outside, so that no mixture of far states passes for one of them, as a plain Ritz value can
    (R. B. Morgan, Linear Algebra Appl. 154, 289 (1991)).
    """
    tau, y = eigh(b, a, check_finite=False, driver="gvd")
    below, above = int((tau < 0).sum()), int((tau > 0).sum())
    chosen = np.r_[: min(n_below, below), len(tau) - min(n_above, above) : len(tau)]
    y = np.linalg.qr(y[:, chosen])[0]
    small = y.conj().T @ (b @ y)
    energies, turn = np.linalg.eigh((small + small.conj().T) / 2)
    y = y @ turn
    gram = y.conj().T @ (a @ y) - np.diag(energies**2)
    return Ritz(energies + sigma, y, (gram + gram.conj().T) / 2)


def lehmann(ritz, rho):
    """Energies that bound the spectrum on either side of rho, each in order of distance from it.

    D y = tau (D^2 + R^H R) y with D = E - rho. At least j eigenvalues of H lie in [rho + 1 / tau_j, rho) for the j-th
    most negative tau, and likewise above: the best that can be said from x and H x alone (N. J. Lehmann, ZAMM 29, 341
    (1949); B. N. Parlett, The Symmetric Eigenvalue Problem, section 10.5).

    Returns
    -------
    below, above : ndarray (p_below,), (p_above,), eV
    """
    d = ritz.energies - rho
    tau = eigh(np.diag(1 / d), np.eye(len(d)) + ritz.gram / np.outer(d, d), eigvals_only=True, check_finite=False)
    return rho + 1 / tau[tau < 0], rho + 1 / tau[tau > 0][::-1]


def apply(matrix, x):
    """matrix @ x for a sparse matrix, by full stripes of rows where it is not sparse enough."""
    n = matrix.shape[0]
    if matrix.nnz < FULL * n * n:
        return matrix @ x
    return np.concatenate([matrix[i : i + STRIPE].toarray() @ x for i in range(0, n, STRIPE)])
