"""Factorisations of H - sigma with their inertia: what shift-invert and band counting rest on.

Sylvester's law: H - sigma = L D L^H has as many negative eigenvalues as D, so the signs of D count the
bands below sigma.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import identity
from scipy.sparse.linalg import splu

from . import pardiso

#: Largest relative residual of a solve that a factorisation may have.
SOLVE_TOLERANCE = 1e-8

#: Above this backward error |A x - b| / (|A| |x| + |b|) every solve is refined. Below, a solve is exact for an H that
#: differs by some 1e-10 eV, and the energies come from H itself (Rayleigh-Ritz). The residual alone would say
#: nothing: close to an eigenvalue x is large, and so is its rounding.
REFINE_ABOVE = 1e-11


class SingularShift(ValueError):
    """The shift lies on an eigenvalue (or the pivots broke down): move it and try again."""


class SuperLU:
    """L D L^H by SuperLU: symmetric mode, minimum degree on A + A^T, pivots kept on the diagonal.

    X. S. Li, ACM TOMS 31, 302 (2005).
    """

    name = "superlu"
    #: Right-hand sides that are solved for together: more cost more here than they bring.
    block = 2
    _refined = False

    def __init__(self, matrix, sigma, threads=1, count=True):
        self.matrix = (matrix - sigma * identity(matrix.shape[0], dtype=matrix.dtype)).tocsc()
        try:
            self._lu = splu(
                self.matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
        except RuntimeError as error:
            raise SingularShift(f"shift {sigma:g} eV: {error}") from None
        check_solve(self, sigma)

    @property
    def nnz(self):
        """Stored elements of L and U together."""
        return self._lu.nnz

    @property
    def n_below(self):
        """Number of eigenvalues below sigma, None when pivots left the diagonal."""
        if (self._lu.perm_r != self._lu.perm_c).any():
            return None
        return int((self._lu.U.diagonal().real < 0).sum())

    def solve(self, b):
        """(H - sigma)^-1 b."""
        x = self._lu.solve(b)
        return x + self._lu.solve(b - self.matrix @ x) if self._refined else x

    def refine(self):
        """One step of iterative refinement in every solve from now on."""
        self._refined = True


class Pardiso(pardiso.Pardiso):
    """Bunch-Kaufman L D L^H by MKL PARDISO."""

    block = 4

    def __init__(self, matrix, sigma, threads=1, count=True):
        shifted = (matrix - sigma * identity(matrix.shape[0], dtype=matrix.dtype)).tocsr()
        super().__init__(shifted, threads, count)
        self.matrix = shifted
        check_solve(self, sigma)


class DenseLDL:
    """Bunch-Kaufman L D L^H of the full matrix by LAPACK: where rows are so full that sparsity buys nothing."""

    name = "ldl"
    #: More for one solve would cost less each, but the Krylov space then grows faster than the bands converge.
    block = 4

    def __init__(self, matrix, sigma, threads=1, count=True):
        n = matrix.shape[0]
        self.matrix = (matrix - sigma * identity(n, dtype=matrix.dtype)).tocsr()
        full = np.asfortranarray(self.matrix.toarray())
        kind = ("he", "z") if np.iscomplexobj(full) else ("sy", "d")
        trf, self._trs = (getattr(lapack, f"{kind[1]}{kind[0]}{name}") for name in ("trf", "trs"))
        lwork = int(getattr(lapack, f"{kind[1]}{kind[0]}trf_lwork")(n, lower=1)[0].real)
        self._factor, self._pivots, info = trf(full, lower=1, lwork=lwork, overwrite_a=1)
        if info > 0:
            raise SingularShift(f"shift {sigma:g} eV lies on an eigenvalue")
        check_solve(self, sigma)

    @property
    def nnz(self):
        """Stored elements."""
        return self._factor.size

    @property
    def n_below(self):
        """Number of eigenvalues below sigma: a negative pivot counts one, a 2 x 2 pivot has one of each sign."""
        single = self._pivots > 0
        # LAPACK's 2 x 2 pivots are indefinite by construction: they are taken when |d21| dominates.
        return int((np.diagonal(self._factor).real[single] < 0).sum() + (~single).sum() // 2)

    def refine(self):
        """Bunch-Kaufman is backward stable: nothing to refine."""

    def solve(self, b):
        """(H - sigma)^-1 b."""
        return self._trs(self._factor, self._pivots, b, lower=1)[0]


BACKENDS = {"superlu": SuperLU, "pardiso": Pardiso, "ldl": DenseLDL}


def factorise(matrix, sigma, method, threads=1, count=True, attempts=5):
    """Factor H - sigma; a shift on an eigenvalue is moved by a little and tried again.

    Without `count` a back end may leave out the inertia where it costs more (PARDISO, complex H).

    Returns
    -------
    factor, sigma : the factorisation and the shift it was made at
    """
    step = 1e-4
    for attempt in range(attempts):
        try:
            return BACKENDS[method](matrix, sigma, threads, count), sigma
        except SingularShift:
            if attempt == attempts - 1:
                raise
            # Alternate sides with growing, incommensurate steps: no second try lands on the same spot.
            sigma = sigma + step * (1 if attempt % 2 else -1)
            step *= np.pi
    raise AssertionError("unreachable")


def check_solve(factor, sigma):
    """Raise SingularShift when a solve with a random vector is wrong or blows up; refine where it is inaccurate."""
    n = factor.matrix.shape[0]
    norm = abs(factor.matrix).sum(axis=1).max()
    b = np.random.default_rng(1).standard_normal((n, 1)).astype(factor.matrix.dtype)
    for refined in (False, True):
        x = factor.solve(b)
        with np.errstate(invalid="ignore", over="ignore"):
            remainder = np.linalg.norm(factor.matrix @ x - b)
            residual = remainder / np.linalg.norm(b)
            backward = remainder / (norm * np.linalg.norm(x) + np.linalg.norm(b))
            # |x| / |b| above 1e9 / sqrt(n): an eigenvalue within about 1e-9 eV of the shift.
            growth = np.linalg.norm(x) / np.linalg.norm(b) * np.sqrt(n)
        if refined or backward < REFINE_ABOVE:
            break
        factor.refine()
    if not residual < SOLVE_TOLERANCE or not growth < 1e9:
        raise SingularShift(
            f"shift {sigma:g} eV lies on an eigenvalue: relative residual of a solve {residual:.1e}, "
            f"growth {growth:.1e}"
        )
