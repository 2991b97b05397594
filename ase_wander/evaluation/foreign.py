"""Bands of a Wannier Hamiltonian against levels of another calculation: matched by number, aligned by one shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..electronic.io.foreign_bands import ForeignBands
from ..electronic.kpath import resolve_path

#: Up to so many orbitals all bands are computed, else so many around the gap.
ALL, NEAR = 1200, 60

#: Valence bands that a match without a number of occupied bands needs.
FEWEST = 4


@dataclass(frozen=True)
class BandComparison:
    """Predicted and reference levels of the same states, eV on the zero of the prediction.

    Attributes
    ----------
    kpts : ndarray (n_k, 3), fractional
    predicted, reference : ndarray (n_k, n_bands), `reference` with the shift on it
    shift : float, eV, what was added to the reference: 0 where both are relative to the vacuum level
    near : ndarray of bool (n_k, n_bands), levels that shift and errors are taken of
    n_valence : int, columns that are occupied
    matched : str, how bands were matched
    """

    kpts: np.ndarray
    predicted: np.ndarray
    reference: np.ndarray
    shift: float
    near: np.ndarray
    n_valence: int
    matched: str

    @property
    def error(self):
        """Predicted - reference of the levels near the gap (n,), eV."""
        return (self.predicted - self.reference)[self.near]

    @property
    def gaps(self):
        """Gap (eV) of prediction and reference on these k-points, negative where bands overlap."""
        n = self.n_valence
        return tuple(float(e[:, n].min() - e[:, n - 1].max()) for e in (self.predicted, self.reference))

    def summary(self) -> dict:
        """Numbers of the comparison, eV."""
        gap, reference = self.gaps
        return {
            "n_kpoints": len(self.kpts),
            "n_levels": int(self.near.sum()),
            "shift": self.shift,
            "mae": float(np.abs(self.error).mean()),
            "worst": float(np.abs(self.error).max()),
            "gap": gap,
            "gap_reference": reference,
            "matched": self.matched,
        }


def compare_bands(h, foreign: ForeignBands, path=None, n_occupied=None, window=1.0) -> BandComparison:
    """Compare a Hamiltonian of the same cell with the bands of another code.

    Parameters
    ----------
    h : WannierHamiltonian
    foreign : ForeignBands
    path : str, optional
        Special points of the path, of a file that has places instead of k-points; by default that of the lattice.
    n_occupied : int, optional
        Occupied bands of the file; by default what it says, else the match with the least mean absolute difference.
    window : float
        Levels count from so much (eV) below the reference's highest occupied to so much above its lowest empty one.
    """
    kpts = foreign.kpts if foreign.kpts is not None else _on_path(h, foreign, path)
    window_of = range(h.n_orbitals) if h.n_orbitals <= ALL else h.band_window(NEAR)
    bands = h.eigenvalues(kpts, n_bands=None if h.n_orbitals <= ALL else NEAR)
    n_valence = h.n_occupied - window_of.start
    given = n_occupied or foreign.n_occupied
    if given is not None and not 0 < given < foreign.energies.shape[1]:
        raise ValueError(f"{foreign.source}: {given} occupied bands of {foreign.energies.shape[1]} leave no gap")
    candidates = [given] if given else range(FEWEST, foreign.energies.shape[1])
    found = [_matched(kpts, bands, n_valence, foreign, n, window) for n in candidates]
    if not found:
        raise ValueError(f"{foreign.source}: {foreign.energies.shape[1]} bands are too few to match them")
    best = min(found, key=lambda c: np.abs(c.error).mean())
    how = "by the number of occupied bands" if given else "by the least difference"
    return BandComparison(best.kpts, best.predicted, best.reference, best.shift, best.near, best.n_valence, how)


def _matched(kpts, bands, n_valence, foreign, n_occupied, window):
    """Comparison with band n_occupied - 1 of the file as the top valence band."""
    below = min(n_valence, n_occupied)
    above = min(bands.shape[1] - n_valence, foreign.energies.shape[1] - n_occupied)
    predicted = bands[:, n_valence - below : n_valence + above]
    reference = foreign.energies[:, n_occupied - below : n_occupied + above]
    top, bottom = reference[:, below - 1].max(), reference[:, below].min()
    near = (reference > min(top, bottom) - window) & (reference < max(top, bottom) + window)
    shift = 0.0 if foreign.from_vacuum else float((predicted - reference)[near].mean())
    return BandComparison(kpts, predicted, reference + shift, shift, near, below, "")


def _on_path(h, foreign, path):
    """k-points (n, 3) of places along a path, which may be in any unit: its ends are those of the places."""
    band_path = resolve_path(h.atoms, path, 2000)
    x = band_path.get_linear_kpoint_axis()[0]
    places = (foreign.x - foreign.x[0]) / np.ptp(foreign.x) * x[-1]
    return np.array([np.interp(places, x, band_path.kpts[:, axis]) for axis in range(3)]).T


# ---------------------------------------------------------------- figure
def places_on_path(kpts, bs, atoms, tolerance=1e-3):
    """(index of the k-point, place on the drawn path) of all k-points within `tolerance` (1/Å) of the path.

    Equal are k-points that differ by a reciprocal lattice vector, by time reversal or by an operation of the structure.
    """
    rotations, reciprocal = _rotations(atoms), 2 * np.pi * atoms.cell.reciprocal()[:2, :2]
    corners, x = np.asarray(bs.path.kpts), bs.get_labels()[0]
    pieces = np.flatnonzero(np.diff(x) > 1e-9)  # none across a break of the path
    start, step = corners[pieces], corners[pieces + 1] - corners[pieces]
    along, out = step[:, :2] @ reciprocal, []
    for n, k in enumerate(kpts):
        for image in np.concatenate([rotations @ k, -(rotations @ k)]):
            difference = image - start
            whole = np.round(difference - 0.5 * step)  # the piece's middle is the nearest to any of its points
            d = (difference - whole)[:, :2] @ reciprocal
            t = np.clip((d * along).sum(1) / (along**2).sum(1), 0, 1)
            hit = np.flatnonzero(np.linalg.norm(d - t[:, None] * along, axis=1) < tolerance)
            out += [(n, float(x[pieces[p]] + t[p] * (x[pieces[p] + 1] - x[pieces[p]]))) for p in hit]
    return sorted({(n, round(place, 6)) for n, place in out})


def _rotations(atoms):
    """Operations of the structure on fractional k-points (n, 3, 3): R^-T of those on positions."""
    import spglib

    found = spglib.get_symmetry((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-2)
    rotations = np.eye(3)[None] if found is None else found["rotations"]
    return np.linalg.inv(rotations).transpose(0, 2, 1)


def draw_levels(ax, comparison, bs, atoms, offset, label="DFT"):
    """Dots at the reference levels on an Axes of `plotting.plot_bands`, zero at `offset` (eV); returns their number."""
    from ..plotting import ACCENT

    places = places_on_path(comparison.kpts, bs, atoms)
    points = [(x, e - offset) for n, x in places for e in comparison.reference[n]]
    if points:
        ax.plot(*np.array(points).T, "o", color=ACCENT, ms=3.2, mec="white", mew=0.4, zorder=5, label=label, ls="none")
        ax.legend(loc="upper right")
    return len(points)
