"""Which bands the Wannier functions span: found from band gaps and from the projectors' share in every state.

Isolated: a group of as many bands as there are orbitals, separated from those below and above at every k. Entangled:
the widest energy window about the Fermi level in which every state belongs to the orbitals, kept while the rest is
disentangled. Projectability as the measure: Vitale et al., npj Comput. Mater. 6, 66 (2020); Qiao, Pizzi, Marzari, ibid.
9, 208 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .projection import loewdin, projectability

#: Least direct separation (eV) from other bands that makes a group isolated.
SEPARATION = 0.2

#: Least share of the orbitals in all bands of an isolated group together (1: they span it).
COVERED = 0.6

#: Least share of the orbitals in a state that is theirs. Bound PAW projectors see 0.8-0.97 of a pi band, below 0.2 of
#: others.
OWN = 0.5

#: Half a window narrower than this (eV) freezes nothing worth it.
NARROWEST = 0.3

#: Weights of a window found (see `projection.fade_weights`): best of a scan over bilayer graphene, whose window ends at
#: +3 eV.
FADE = {"height": 100.0, "width": 5.0, "gate": 0.3}

#: Their centre above the window's upper edge, eV.
BEYOND = 3.0


@dataclass(frozen=True)
class Manifold:
    """Bands of the Wannier functions.

    Attributes
    ----------
    first, last : int
        Bands, counted from 0, `last` included: those of an isolated manifold, all computed ones of an entangled one.
    window : (low, high) or None
        eV about the Fermi level: states kept exactly; None where the manifold is isolated.
    below, above : float
        Direct separation from the bands below and above (eV, infinite where there are none); isolated manifolds.
    share : float
        Smallest share of the orbitals: over the group at any k (isolated), in any state of the window (entangled).
    """

    first: int
    last: int
    window: tuple | None
    below: float = np.inf
    above: float = np.inf
    share: float = 1.0

    @property
    def is_isolated(self):
        return self.window is None

    def __str__(self):
        if self.is_isolated:
            return (
                f"bands {self.first} to {self.last} are isolated: {_separation(self.below)} below, "
                f"{_separation(self.above)} above, "
                f"share of the orbitals at least {self.share:.2f}"
            )
        return (
            f"entangled: frozen from {self.window[0]:.2f} to {self.window[1]:.2f} eV about the Fermi level, "
            f"share at least {self.share:.2f}"
        )


def _separation(x):
    return "nothing" if not np.isfinite(x) else f"{x:.2f} eV"


def find_manifold(eigenvalues, amplitudes, efermi, separation=SEPARATION, own=OWN) -> Manifold:
    """The isolated manifold where there is one, else the frozen window of an entangled one.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n_k, n_bands)
        eV.
    amplitudes : ndarray of complex, shape (n_k, n_bands, n_orbitals)
        <p_m|psi_n>.
    efermi : float
        eV.
    separation, own : float
        Thresholds, see `isolated_groups` and `frozen_window`.

    Raises
    ------
    ValueError
        When there is neither; the message says why.
    """
    eigenvalues, amplitudes = np.asarray(eigenvalues), np.asarray(amplitudes)
    n_bands, n_orbitals = amplitudes.shape[1:]
    if n_bands < n_orbitals:
        raise ValueError(f"{n_bands} bands cannot hold {n_orbitals} Wannier functions: compute more bands")
    groups = isolated_groups(eigenvalues, amplitudes, separation)
    if groups:
        return max(groups, key=lambda group: group.share)
    return frozen_window(eigenvalues, amplitudes, efermi, own)


def isolated_groups(eigenvalues, amplitudes, separation=SEPARATION, covered=COVERED) -> list[Manifold]:
    """Groups of n_orbitals consecutive bands, `separation` (eV) apart from others at every k, that the orbitals reach.

    The topmost computed band needs none above it to compare with, so a group that ends there does not count, unless it
    is all.
    """
    n_bands, n_orbitals = amplitudes.shape[1:]
    # gaps[n]: direct separation between band n - 1 and band n
    gaps = np.concatenate(
        [[np.inf], (eigenvalues[:, 1:] - eigenvalues[:, :-1]).min(axis=0), [np.inf if n_bands == n_orbitals else 0.0]]
    )
    shares = covered_share(amplitudes)
    return [
        Manifold(n, n + n_orbitals - 1, None, gaps[n], gaps[n + n_orbitals], shares[n])
        for n in range(n_bands - n_orbitals + 1)
        if gaps[n] > separation and gaps[n + n_orbitals] > separation and shares[n] >= covered
    ]


def covered_share(amplitudes) -> np.ndarray:
    """Least share (over k) of the orbitals in the group of n_orbitals bands that starts at each band.

    The smallest singular value counts, not the sum: one orbital that the group does not reach makes its gauge
    undefined.
    """
    n_bands, n_orbitals = amplitudes.shape[1:]
    s = loewdin(amplitudes)
    least = [
        np.linalg.svd(s[:, n : n + n_orbitals], compute_uv=False).min(axis=1) for n in range(n_bands - n_orbitals + 1)
    ]
    return np.array([x.min() for x in least])


def frozen_window(eigenvalues, amplitudes, efermi, own=OWN, margin=0.05) -> Manifold:
    """Widest window about the Fermi level that holds only states of the orbitals, never more than there are orbitals.

    Parameters
    ----------
    eigenvalues, amplitudes, efermi
        As in `find_manifold`.
    own : float
        Least share of the orbitals in every state inside.
    margin : float
        Between the window's edge and the state that limits it, eV.

    Raises
    ------
    ValueError
        Naming the state at the Fermi level that is not the orbitals'.
    """
    shares, n_orbitals = projectability(amplitudes), amplitudes.shape[2]
    energy = eigenvalues - efermi
    foreign = shares < own
    low = max([energy.min() - margin, *(energy[foreign & (energy <= 0)] + margin)])
    high = (
        min([energy[:, -1].min(), *energy[foreign & (energy > 0)]]) - margin
    )  # above the last band, others are missing
    if low > -NARROWEST or high < NARROWEST:
        k, n = np.unravel_index(np.argmin(np.where(foreign, np.abs(energy), np.inf)), energy.shape)
        raise ValueError(
            f"no manifold found: no isolated group of {n_orbitals} bands, and at the Fermi level band {n} of k-point "
            f"{k} ({energy[k, n]:+.2f} eV) is only {100 * shares[k, n]:.0f} % the orbitals': choose other orbitals, or "
            "semicore or window by hand"
        )
    # never more states than orbitals: pull in the edge farther from the Fermi level
    while (count := ((energy >= low) & (energy <= high)).sum(axis=1)).max() > n_orbitals:
        inside = np.where((energy >= low) & (energy <= high), energy, np.nan)[count > n_orbitals]
        if high >= -low:
            high = np.nanmax(inside, axis=1).min() - margin
        else:
            low = np.nanmin(inside, axis=1).max() + margin
        if low > -NARROWEST or high < NARROWEST:
            raise ValueError(
                f"no manifold found: more than {n_orbitals} states within {NARROWEST} eV of the Fermi level belong to "
                f"the {n_orbitals} orbitals"
            )
    inside = (energy >= low) & (energy <= high)
    share = shares[inside].min() if inside.any() else 1.0
    return Manifold(0, eigenvalues.shape[1] - 1, (float(low), float(high)), share=float(share))


def recipe_with_manifold(recipe, labels, separation=SEPARATION, own=OWN):
    """(recipe, Manifold): the recipe with `semicore`, or `window` and weights, as found in the labels of one structure.

    Semicore bands are given per atom: of every species the same number, as only their sum counts. An entangled manifold
    gets weights that fade where the recipe has none: a hard window gives an H that is right on the grid alone
    (docs/wannier.md).
    """
    found = find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi, separation, own)
    if found.is_isolated:
        species = sorted(set(labels.atoms.symbols))
        return replace(
            recipe, semicore={s: found.first / len(labels.atoms) for s in species}, window=None, fade=None
        ), found
    low, high = found.window
    fade = recipe.fade or {**FADE, "centre": round(high + BEYOND, 2)}
    return replace(recipe, semicore=None, window=(round(low, 2), round(high, 2)), fade=fade), found
