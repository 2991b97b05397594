"""DFT bands against those of the Wannier Hamiltonian as it is written: a number, a figure, a refusal.

On the k-grid an isolated manifold is exact by construction, so what is measured is what leaves with the truncation to
the recipe's extent and, for an entangled one, with the weights of the disentanglement. Interpolation between the points
is measured where eigenvalues on a path are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...electronic.blocks import PairBlocks
from ...electronic.hamiltonian import WannierHamiltonian
from ...electronic.kpath import resolve_path
from ..wannier.manifold import OWN
from ..wannier.projection import projectability

#: Smallest amplitude of an orbital at a k-point, relative to that at most k-points, below which bands are missing
#: there.
MISSED = 0.3


class BandError(ValueError):
    """Interpolated bands miss the DFT eigenvalues by more than the recipe allows."""


@dataclass(frozen=True)
class BandCheck:
    """Interpolated against DFT energies, state by state.

    Attributes
    ----------
    kpts : ndarray, shape (n, 3)
    dft, interpolated : ndarray, shape (n,)
        eV, zero of energy as in the labels.
    share : ndarray, shape (n,)
        The orbitals' share in the DFT state.
    window : (float, float)
        Lowest and highest energy, eV on the same zero; all states compared lie inside.
    efermi : float
        eV.
    """

    kpts: np.ndarray
    dft: np.ndarray
    interpolated: np.ndarray
    share: np.ndarray
    window: tuple
    efermi: float

    @property
    def error(self):
        """interpolated - DFT, eV."""
        return self.interpolated - self.dft

    @property
    def rms(self):
        """eV; nan where there was no state to compare."""
        return float(np.sqrt(np.mean(self.error**2))) if len(self.dft) else np.nan

    @property
    def worst(self):
        """eV; nan where there was no state to compare."""
        return float(np.abs(self.error).max()) if len(self.dft) else np.nan

    def __str__(self):
        low, high = (e - self.efermi for e in self.window)
        return (
            f"interpolated bands against DFT: {1e3 * self.rms:.2f} meV rms, {1e3 * self.worst:.1f} meV at worst, "
            f"{len(self.dft)} states from {low:.2f} to {high:.2f} eV about the Fermi level"
        )


def wannier_hamiltonian(labels, recipe, arrays=None) -> WannierHamiltonian:
    """WannierHamiltonian of labels as `hamiltonian_file` writes it (`arrays`, made here where not given)."""
    arrays = labels.hamiltonian_file(recipe) if arrays is None else arrays
    return WannierHamiltonian.from_pairs(labels.atoms, recipe.shells, PairBlocks.from_arrays(arrays), tolerance=1e-4)


def check_bands(labels, recipe, arrays=None, kpts=None, eigenvalues=None, shares=None) -> BandCheck:
    """Compare the bands of the Hamiltonian file with DFT.

    Parameters
    ----------
    labels : Labels
    recipe : Recipe
        `semicore` (all states of the manifold count) or `window` (states of the orbitals inside it count).
    arrays : dict, optional
        `labels.hamiltonian_file(recipe)`, where it is there already.
    kpts, eigenvalues, shares : optional
        Other k-points than the grid's (n_k, 3) with DFT energies (n_k, n_bands) on the labels' zero, and the shares of
        the orbitals in them (default 1), e.g. from `path_states`.

    Returns
    -------
    BandCheck
    """
    recipe = labels.with_manifold(recipe)
    h = wannier_hamiltonian(labels, recipe, arrays)
    if kpts is None:
        kpts, eigenvalues, shares = labels.kpts, labels.eigenvalues, labels.projectability()
    shares = np.ones_like(eigenvalues) if shares is None else shares
    ours = h.eigenvalues(kpts)
    if recipe.semicore is not None:
        bands, _ = labels.manifold(recipe)
        dft, share = eigenvalues[:, bands], shares[:, bands]
        _n_k, n = dft.shape
        return BandCheck(
            np.repeat(kpts, n, axis=0), dft.ravel(), ours.ravel(), share.ravel(), (dft.min(), dft.max()), labels.efermi
        )
    low, high = (labels.efermi + w for w in recipe.window)
    rows = []
    for k, energies, share, mine in zip(kpts, eigenvalues, shares, ours):
        chosen = np.flatnonzero((energies >= low) & (energies <= high) & (share >= OWN))
        # every DFT state takes another interpolated one, so that the sum of the distances is least
        i, j = linear_sum_assignment(np.abs(energies[chosen, None] - mine[None]))
        rows += [(*k, energies[chosen[a]], mine[b], share[chosen[a]]) for a, b in zip(i, j)]
    table = np.array(rows).reshape(-1, 6)
    return BandCheck(table[:, :3], table[:, 3], table[:, 4], table[:, 5], (low, high), labels.efermi)


def require_bands(labels, recipe, arrays=None, figure=None, title=None) -> BandCheck:
    """`check_bands` on the k-grid, a figure where asked for, and BandError when the error is above
    `recipe.max_band_error` or there is no state to compare.

    Parameters
    ----------
    figure : path, optional
        Written before the refusal, so that one sees why.
    """
    recipe = labels.with_manifold(recipe)
    arrays = labels.hamiltonian_file(recipe) if arrays is None else arrays
    check = check_bands(labels, recipe, arrays)
    if not len(check.dft):
        raise BandError(
            f"no state of the orbitals from {recipe.window[0]:g} to {recipe.window[1]:g} eV about the Fermi level on "
            "the k-grid: widen the window"
        )
    if figure is not None:
        from .bands_figure import plot_check, save

        save(plot_check(wannier_hamiltonian(labels, recipe, arrays), check, labels, recipe, title=title), figure)
    if not check.rms <= recipe.max_band_error:
        worst = int(np.abs(check.error).argmax())
        raise BandError(
            f"{check}; max_band_error is {1e3 * recipe.max_band_error:g} meV; worst at k = "
            f"{np.round(check.kpts[worst], 4).tolist()}, "
            f"{check.dft[worst] - check.efermi:+.2f} eV{_hint(labels, recipe)}"
        )
    return check


def _hint(labels, recipe):
    """A hint at what may be wrong: an orbital that the bands computed do not reach at some k, as pi* at Γ above
    nearly free electrons.
    """
    bands, _ = labels.manifold(recipe)
    reach = np.linalg.svd(labels.amplitudes[:, bands], compute_uv=False)[:, -1]
    k = int(reach.argmin())
    if reach[k] > MISSED * np.median(reach):
        return ""
    return f"; the bands at k = {np.round(labels.kpts[k], 4).tolist()} do not reach all orbitals: compute more bands"


def path_states(calculator, atoms, recipe, path=None, npoints=30):
    """DFT along a path at fixed density, from a finished GPAW calculation.

    Returns
    -------
    (BandPath, energies (n_k, n_bands), shares (n_k, n_bands))
        eV on GPAW's zero (take the mean vacuum level off to compare with labels); the orbitals' share in every state.
    """
    from .gpaw import bloch_states

    bandpath = resolve_path(atoms, path, npoints)
    done = calculator.fixed_density(
        kpts=bandpath.kpts,
        symmetry="off",
        txt=None,
        nbands=recipe.count("bands", atoms),
        convergence={"bands": recipe.count("converged_bands", atoms), "eigenstates": 0.1 * recipe.eigenstates},
    )
    _, _, energies, amplitudes = bloch_states(done, atoms, recipe)
    return bandpath, energies, projectability(amplitudes)
