"""Overlaps of neighbouring k-points, M_mn(k, b) = <u_mk|u_n,k+b>, from plane-wave PAW states of GPAW.

They enter spreads and Marzari-Vanderbilt localisation only; a projection needs none of them.
Marzari and Vanderbilt, PRB 56, 12847 (1997), eq. 25; PAW correction: Ferretti et al., J. Phys. Condens. Matter 19,
036215 (2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.units import Bohr

#: Columns y, z, x of GPAW's real harmonics of l = 1 in Cartesian order.
_XYZ = [3, 1, 2]


@dataclass(frozen=True)
class PlaneWaveStates:
    """Periodic parts of all bands at one k-point.

    Attributes
    ----------
    miller : ndarray of int (n_G, 3)
        Reciprocal lattice vectors of the plane waves, sorted.
    coefficients : ndarray of complex (n_bands, n_G)
        Normalised to the volume: sum |c|^2 + PAW correction = 1.
    projections : list of ndarray (n_bands, n_i)
        <p_i|psi_n> of every atom's projectors.
    """

    miller: np.ndarray
    coefficients: np.ndarray
    projections: list

    def shifted(self, g):
        """The same states at k + g: u_{k+g}(r) = e^{-i g.r} u_k(r)."""
        return PlaneWaveStates(self.miller - np.asarray(g, int), self.coefficients, self.projections)

    def reversed(self):
        """Time-reversed states, those at -k: complex conjugates."""
        return PlaneWaveStates(-self.miller, self.coefficients.conj(), [p.conj() for p in self.projections])


def plane_wave_states(calculator, kpt, n_bands=None):
    """States of a finished GPAW plane-wave calculation at any point equivalent to one of its k-points or to minus one.

    Parameters
    ----------
    calculator : gpaw.GPAW
        Spin-paired, collinear, plane waves.
    kpt : array_like, shape (3,)
        In reciprocal lattice vectors.
    n_bands : int, optional

    Raises
    ------
    ValueError
        When `kpt` is none of the calculation's points.
    """
    kpt = np.asarray(kpt, float)
    ibz = np.asarray(calculator.get_ibz_k_points())
    for sign in (1, -1):
        g = kpt - sign * ibz
        found = np.flatnonzero((np.abs(g - np.rint(g)) < 1e-6).all(axis=1))
        if len(found):
            break
    else:
        raise ValueError(f"k-point {kpt.tolist()} is not on the grid of the calculation")
    waves = calculator.dft.ibzwfs._get_wfs(int(found[0]), 0)
    if not hasattr(waves.psit_nX.desc, "indices_cG"):
        raise ValueError("overlaps need a plane-wave calculation (mode PW)")
    description = waves.psit_nX.desc
    data = np.asarray(waves.psit_nX.data[:n_bands]) * np.sqrt(description.dv)
    states = PlaneWaveStates(
        description.indices_cG.T.copy(),
        data,
        [np.asarray(waves.P_ani[a])[:n_bands] for a in sorted(waves.P_ani.keys())],
    )
    return (states if sign == 1 else states.reversed()).shifted(np.rint(g[found[0]]))


def overlap(left, right, b, overlap_corrections, dipole_corrections, positions):
    """M_mn = <u_mk|u_n,k+b>.

    Parameters
    ----------
    left, right : PlaneWaveStates
        At k and at k + b.
    b : array_like (3,)
        Cartesian, 1/Å.
    overlap_corrections : list of ndarray (n_i, n_i)
        integral of phi_i phi_j - phi~_i phi~_j of every atom.
    dipole_corrections : list of ndarray (3, n_i, n_i)
        integral of (phi_i phi_j - phi~_i phi~_j) (r - R), Å.
    positions : ndarray (n_atoms, 3)
        R in Å, as the states know them.

    Notes
    -----
    Inside the spheres e^{-i b.r} = e^{-i b.R} (1 - i b.(r - R)) up to second order in b times the radius.
    """
    b = np.asarray(b, float)
    _common, i, j = _common_rows(left.miller, right.miller)
    m = left.coefficients[:, i].conj() @ right.coefficients[:, j].T
    for p, q, s, d, position in zip(
        left.projections, right.projections, overlap_corrections, dipole_corrections, positions
    ):
        sphere = np.exp(-1j * b @ position) * (s - 1j * np.einsum("c,cij->ij", b, d))
        m += p.conj() @ sphere @ q.T
    return m


def _common_rows(first, second):
    """Indices of the rows that two integer arrays share."""
    low = np.minimum(first.min(axis=0), second.min(axis=0))
    size = np.maximum(first.max(axis=0), second.max(axis=0)) - low + 1
    return np.intersect1d(
        *(np.ravel_multi_index((x - low).T, size) for x in (first, second)), assume_unique=True, return_indices=True
    )


def paw_corrections(calculator):
    """(overlap_corrections, dipole_corrections, positions) of `overlap` from a GPAW calculator."""
    setups = calculator.setups
    norm, dipole = [], []
    for setup in setups:
        norm.append(np.asarray(setup.dO_ii))
        # Delta_L = integral of the difference times r^l Y_L; x = sqrt(4 pi / 3) r Y_1x; in bohr.
        dipole.append(np.sqrt(4 * np.pi / 3) * Bohr * np.moveaxis(np.asarray(setup.Delta_iiL)[:, :, _XYZ], 2, 0))
    scaled = calculator.atoms.get_scaled_positions() % 1 % 1
    return norm, dipole, scaled @ calculator.atoms.cell.complete().array


def all_overlaps(calculator, kpts, neighbours, n_bands=None):
    """Overlaps of every k-point with its neighbours, one k-point after the other.

    Parameters
    ----------
    kpts : ndarray (n_k, 3)
    neighbours : list of (k, k2, g)
        As `wannier90.x -pp` lists them: k + b = kpts[k2] + g.

    Yields
    ------
    (k, k2, g, M) with M (n_bands, n_bands)
    """
    corrections = paw_corrections(calculator)
    reciprocal = 2 * np.pi * calculator.atoms.cell.complete().reciprocal()
    states = {}

    def at(k):
        if k not in states:
            states[k] = plane_wave_states(calculator, kpts[k], n_bands)
        return states[k]

    for k, k2, g in neighbours:
        b = (np.asarray(kpts[k2]) + g - kpts[k]) @ reciprocal
        yield k, k2, g, overlap(at(k), at(k2).shifted(g), b, *corrections)
