"""Losses as pure functions of errors, spectra and matrices.

An error x counts sqrt(x^2 + s^2) - s: quadratic below its scale s, linear above, so that a few large errors do not
rule. Index legend: c configurations, n atoms, p pairs, k k-points, a b orbitals, m m' bands.
"""

from __future__ import annotations

import torch

MEV = 1e-3  # eV

#: Scales below which errors count quadratically: eV per atom, eV/Å, eV per atom, eV/Å, then meV.
ENERGY_SCALE, FORCE_SCALE, VIRIAL_SCALE, LAYER_SCALE = 2e-4, 2e-3, 2e-3, 1e-3
ELEMENT_SCALE, BAND_SCALE = 0.03, 2.0


def robust(error, scale, dims=None):
    """sqrt(|x|^2 + scale^2) - scale, with |x|^2 summed over `dims` (of every element alone without)."""
    square = error.square() if dims is None else error.square().sum(dims)
    return (square + scale**2).sqrt() - scale


# ---------------------------------------------------------------- force field
def energy_loss(error, weight):
    """Sum over configurations of the weighted errors of the energy; error (c,) eV per atom, weight (c,)."""
    return (weight * robust(error[:, None], ENERGY_SCALE, 1)).sum()


def force_loss(error, weight):
    """Sum over atoms of the weighted lengths of the force errors; error (n, 3) eV/Å, weight (n,)."""
    return (weight * robust(error, FORCE_SCALE, 1)).sum()


def stress_loss(error, weight):
    """Sum over configurations of the weighted errors of the virial; error (c, 3, 3) eV per atom, weight (c,)."""
    return (weight * robust(error, VIRIAL_SCALE, (1, 2))).sum()


def layer_loss(error, weight):
    """Sum over configurations of the weighted errors of the in-plane force on the first layer.

    error (c, layers, 3): force on a layer per three atoms, eV/Å; weight (c,), zero for a monolayer.
    """
    return (robust(error[:, 0, :2], LAYER_SCALE, 1) * weight).sum()


# ---------------------------------------------------------------- Hamiltonian
def element_loss(error, scale, power):
    """Sum over the elements of x = (e / meV) (meV / scale)^power; power 0: absolute errors, 1: relative to the spread.

    error (p, a, b) eV; scale (p,) eV: typical size of an element at the pair's distance.
    """
    x = error / MEV * (MEV / scale[:, None, None]) ** power
    return robust(x, ELEMENT_SCALE).sum()


def onsite_loss(error):
    """Mean over the on-site elements; error of any shape, eV."""
    return robust(error / MEV, BAND_SCALE).mean()


def vacuum_step_loss(error):
    """Error of the vacuum step (eV), in meV."""
    return robust(error / MEV, BAND_SCALE)


def band_window(eigenvalues, n_occupied, window=1.0):
    """Which eigenvalues (k, m), eV, lie within `window` of the gap, or of the band overlap of a metal."""
    top, bottom = eigenvalues[:, n_occupied - 1].max(), eigenvalues[:, n_occupied].min()
    return (eigenvalues > torch.minimum(top, bottom) - window) & (eigenvalues < torch.maximum(top, bottom) + window)


def band_importance(near):
    """1 for bands within the window, 0.2 for the others."""
    return 0.2 + 0.8 * near


def eigenvalue_loss(error, weight, factor=1.0):
    """`factor` times the weighted mean over eigenvalues, in meV; error (k, m) eV, weight (k, m)."""
    return factor * (weight * robust(error / MEV, BAND_SCALE)).sum() / weight.sum()


def bloch_sum(real_space, cos, sin):
    """H(k) = sum_R exp(2 pi i k.R) H(R), (k, a, b), complex.

    Real_space (R, a, b) eV, cos and sin of 2 pi k.R (k, R).
    """
    n = real_space.shape[1]
    flat = real_space.reshape(len(real_space), n * n)
    return torch.complex(cos @ flat, sin @ flat).reshape(-1, n, n)


def in_reference_bands(h, states):
    """D(k) = C^dagger H C, (k, m, m'): predicted H(k) (k, a, b) between the reference states C (k, a, m).

    To first order its diagonal is the predicted energy of every band and D_mm'/(E_m' - E_m) the mixing of two.
    """
    return states.conj().transpose(1, 2) @ h @ states


def band_mixing_weight(eigenvalues, reach=1.0):
    """1/(1 + ((E_m - E_m')/reach)^2), (k, m, m'): what an error between two bands counts.

    Eigenvalues (k, m) eV, reach eV.

    1 within a multiplet; for bands far apart (reach/gap)^2, so that |D_mm'|^2 becomes the squared mixing of the states.
    """
    gap = eigenvalues[:, :, None] - eigenvalues[:, None, :]
    return 1 / (1 + (gap / reach) ** 2)


def projection_errors(h, states, eigenvalues, importance, reach=1.0):
    """Mean square error of C^dagger H C against diag(E) at every k, (k,), in eV^2.

    sum_mm' g_mm' w_mm' |D_mm' - E_m delta_mm'|^2 / sum_m g_m, with w of `band_mixing_weight` and
    g_mm' = (g_m + g_m')/2 of the bands' `importance` (k, m). Phases of the states drop out, and so does any rotation
    within a degenerate multiplet, as g and w are equal inside it: nothing has to be fixed or followed. (Hamiltonian,
    eigenvalues and eigenvectors in one loss: DeePKS-ES, Liang, Liu, Chen, arXiv:2503.24050.)
    """
    d = in_reference_bands(h, states)
    d = d - torch.diag_embed(eigenvalues).to(d.dtype)
    square = d.real.square() + d.imag.square()
    g = 0.5 * (importance[:, :, None] + importance[:, None, :])
    return (g * band_mixing_weight(eigenvalues, reach) * square).sum((1, 2)) / importance.sum(1)


def projection_loss(h, states, eigenvalues, importance, kweights, reach=1.0):
    """Mean over k of sqrt(x^2 + s^2) - s, x^2 the `projection_errors`, in meV; kweights (k,)."""
    square = projection_errors(h, states, eigenvalues, importance, reach) / MEV**2
    return (kweights * ((square + BAND_SCALE**2).sqrt() - BAND_SCALE)).sum() / kweights.sum()
