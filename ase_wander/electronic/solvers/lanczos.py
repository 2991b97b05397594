"""Block Lanczos with full reorthogonalisation for the operator (H - sigma)^-1.

The eigenvalues theta = 1 / (lambda - sigma) of largest modulus belong to the lambda nearest the shift;
positive theta lie above it, negative ones below, so both sides can be asked for separately.
T. Ericsson and A. Ruhe, Math. Comp. 35, 1251 (1980).
"""

from __future__ import annotations

import numpy as np

#: Residual of a Ritz pair in terms of its energy (eV) at which it counts as converged; the error is of second order
#: (2e-15 eV on 11,908 orbitals of graphene, where 1e-10 took two solves of fifteen more).
ENERGY_TOLERANCE = 1e-8


class NotConverged(RuntimeError):
    """Krylov spaces filled up before the wanted pairs converged."""


def invert_lanczos(solve, size, dtype, wanted, block=4, max_dimension=None, seed=0):
    """Wanted eigenpairs of the inverse, none of them missed in a degenerate cluster.

    A single Krylov space holds at most `block` copies of a degenerate eigenvalue. So a second one is started
    from fresh random vectors orthogonal to what was found, until its extreme Ritz values lie inside.

    Parameters
    ----------
    solve : callable
        (size, b) -> (H - sigma)^-1 of it.
    size : int
    dtype : float or complex
    wanted : callable
        Ascending theta (m,) -> index array of the wanted ones (`both_sides` or `nearest`).
    block : int
        Vectors per solve.
    max_dimension : int, optional
        Largest Krylov space.

    Returns
    -------
    theta : ndarray (n,), vectors : ndarray (size, n), orthonormal
    """
    rng = np.random.default_rng(seed)
    theta, vectors = _krylov(solve, size, dtype, wanted, block, max_dimension, rng)
    for _ in range(50):
        keep = wanted(theta)
        enough = len(keep) >= wanted.count or vectors.shape[1] == size
        if enough and (
            vectors.shape[1] == size
            or not _displaced(solve, theta[keep], vectors[:, keep], dtype, wanted, block, max_dimension, rng)
        ):
            return theta[keep], vectors[:, keep]
        # Copies of a degenerate level beyond the block size, or a full Krylov space: go on beside what was found.
        _, found = _krylov(solve, size, dtype, wanted, block, max_dimension, rng, locked=vectors)
        theta, vectors = _rayleigh_ritz(solve, np.concatenate([vectors, found], axis=1))
    raise NotConverged(f"{wanted.count} eigenpairs not found in 50 Krylov spaces")


def _displaced(solve, theta, vectors, dtype, wanted, block, max_dimension, rng):
    """Whether a fresh Krylov space finds a pair that belongs among the wanted ones instead of one of them."""
    extreme, _ = _krylov(solve, len(vectors), dtype, _extremes, block, max_dimension, rng, locked=vectors, loose=True)
    candidates = np.concatenate([theta, extreme])
    order = np.argsort(candidates)
    chosen = order[wanted(candidates[order])]
    new, lost = chosen[chosen >= len(theta)], np.setdiff1d(np.arange(len(theta)), chosen)
    # A partner of the outermost pair, degenerate with it, is no miss: the window cuts through their cluster.
    return len(new) and not all(np.abs(candidates[new]).max() < abs(theta[k]) * (1 + 1e-7) for k in lost)


def both_sides(n_below, n_above):
    """The `n_below` eigenvalues nearest below the shift and the `n_above` nearest above."""

    def wanted(theta):
        below = np.flatnonzero(theta < 0)[:n_below]
        above = np.flatnonzero(theta > 0)
        return np.concatenate([below, above[max(len(above) - n_above, 0) :]]).astype(int)

    wanted.count = n_below + n_above
    return wanted


def nearest(n):
    """The `n` eigenvalues nearest the shift on either side."""

    def wanted(theta):
        return np.sort(np.argsort(-np.abs(theta), kind="stable")[:n])

    wanted.count = n
    return wanted


def _extremes(theta):
    return np.unique([0, len(theta) - 1])


_extremes.count = 2


def _krylov(solve, size, dtype, wanted, block, max_dimension, rng, locked=None, loose=False):
    """Converged Ritz pairs in the orthogonal complement of `locked`: the wanted ones, or what a full space holds.

    `loose` stops as soon as the Ritz values are good to a few per cent.
    """
    free = size - (0 if locked is None else locked.shape[1])
    block = min(block, free)
    limit = min(free, max_dimension or 12 * wanted.count + 100 * block)
    basis = np.empty((size, limit), dtype, order="F")
    projected = np.zeros((limit, limit), dtype)
    fresh = _orthonormal(_random(rng, size, block, dtype), locked, None, rng)[0]
    m, next_test = 0, 0
    while True:
        width = min(fresh.shape[1], limit - m)
        basis[:, m : m + width] = fresh[:, :width]
        applied = solve(np.ascontiguousarray(fresh[:, :width]))
        if locked is not None:
            applied -= locked @ (locked.conj().T @ applied)
        old, m = m, m + width
        fresh, overlap, rest = _orthonormal(applied, locked, basis[:, :m], rng, project=True)
        projected[:m, old:m] = overlap
        if m >= next_test or m == limit:
            t = projected[:m, :m]
            # Only the block tridiagonal part survives exact arithmetic; the upper triangle holds it.
            theta, s = np.linalg.eigh(np.triu(t) + np.triu(t, 1).conj().T)
            s, residual = _separate(theta, s, rest @ s[old:m]) if m < free else (s, np.zeros(m))
            chosen = wanted(theta)
            # d lambda = d theta / theta^2, and d theta <= residual
            good = residual <= np.maximum(ENERGY_TOLERANCE * theta**2, 1e-14 * np.abs(theta).max())
            if loose:
                done = m >= min(6 * block, limit) and (residual[chosen] < 0.03 * np.abs(theta[chosen])).all()
            else:
                done = len(chosen) >= wanted.count and good[chosen].all()
            if done or m == free:
                return theta[chosen], basis[:, :m] @ s[:, chosen]
            if m == limit:
                chosen = chosen if loose else np.flatnonzero(good)
                if not len(chosen):
                    raise NotConverged(f"none of {wanted.count} eigenpairs converged in a Krylov space of {m}")
                return theta[chosen], basis[:, :m] @ s[:, chosen]
            next_test = m + max(block, m // 10)


def _separate(theta, s, remainder):
    """Ritz vectors and residuals with the converged directions of every cluster turned apart from the others.

    Copies of a degenerate level arrive one after the other; a late copy has the same theta long before its vector
    has converged, and `eigh` mixes it with the converged ones.
    """
    residual = np.linalg.norm(remainder, axis=0)
    s = s.copy()
    for cluster in np.split(np.arange(len(theta)), np.flatnonzero(np.diff(theta) > 1e-11 * np.abs(theta).max()) + 1):
        if len(cluster) > 1:
            _, size, turn = np.linalg.svd(remainder[:, cluster])
            s[:, cluster] = s[:, cluster] @ turn.conj().T
            residual[cluster] = np.append(size, np.zeros(len(cluster) - len(size)))
    return s, residual


def _random(rng, size, width, dtype):
    x = rng.standard_normal((size, width))
    return x + 1j * rng.standard_normal((size, width)) if np.dtype(dtype).kind == "c" else x


def _orthonormal(x, locked, basis, rng, project=False):
    """Orthonormalise x against locked and basis (twice); dependent columns become random ones.

    Returns the new block, and with `project` also basis^H x and R of the remainder x = basis (...) + q R.
    """
    overlap = 0
    for _ in range(2):
        if locked is not None and locked.shape[1]:
            x = x - locked @ (locked.conj().T @ x)
        if basis is not None:
            part = basis.conj().T @ x
            x = x - basis @ part
            overlap = overlap + part
    scale = np.abs(overlap).max() if project else 1.0
    q, r = np.linalg.qr(x)
    lost = np.abs(np.diag(r)) < 1e-13 * max(scale, 1e-300)
    if lost.any():
        q, r = q.copy(), r.copy()
        q[:, lost], r[lost] = _random(rng, len(q), int(lost.sum()), q.dtype), 0
        for _ in range(2):
            for other in (locked, basis):
                if other is not None:
                    q[:, lost] -= other @ (other.conj().T @ q[:, lost])
            q[:, lost] -= q[:, ~lost] @ (q[:, ~lost].conj().T @ q[:, lost])
            q[:, lost] = np.linalg.qr(q[:, lost])[0]
    return (q, overlap, r) if project else (q, r)


def _rayleigh_ritz(solve, vectors):
    q, _ = np.linalg.qr(vectors)
    small = q.conj().T @ solve(np.ascontiguousarray(q))
    theta, s = np.linalg.eigh((small + small.conj().T) / 2)
    return theta, q @ s
