"""Active learning: which structures a model knows least about, and a choice of them that are unlike each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

#: The choice is made among this many times as many of the most uncertain candidates as are wanted, of the more
#: uncertain half.
POOL = 4


@dataclass(frozen=True)
class Candidate:
    """A structure with what the model thinks of it.

    Attributes
    ----------
    atoms : Atoms
    uncertainty : float
        Largest standard deviation of a force component of any atom, eV/Å (of the energy per atom, eV, where there are
        no forces).
    fingerprint : ndarray, shape (n_features,)
    """

    atoms: Atoms
    uncertainty: float
    fingerprint: np.ndarray


def judge(structures, uncertainty, descriptors, progress=None) -> list[Candidate]:
    """Uncertainty and fingerprint of every structure.

    Parameters
    ----------
    structures : iterable of Atoms
    uncertainty : callable
        Atoms -> dict with "forces" (n,) or (n, 3), eV/Å, or "energy", eV: standard deviations, e.g.
        `WanderCalculator.get_uncertainty`.
    descriptors : callable
        Atoms -> (n_atoms, n_features), e.g. `WanderCalculator.get_descriptors`.
    progress : callable, optional
        Called with the number judged.
    """
    out = []
    for n, atoms in enumerate(structures):
        out.append(Candidate(atoms, worst(uncertainty(atoms), len(atoms)), fingerprint(atoms, descriptors(atoms))))
        if progress:
            progress(n + 1)
    return out


def worst(deviations: dict, n_atoms: int) -> float:
    """One number for a structure: see `Candidate.uncertainty`; ValueError when there is neither or it is not finite."""
    forces, energy = deviations.get("forces"), deviations.get("energy")
    if forces is None and energy is None:
        raise ValueError("the uncertainty has neither forces nor energy")
    value = float(np.max(np.abs(forces))) if forces is not None else abs(float(energy)) / n_atoms
    if not np.isfinite(value):
        raise ValueError("the uncertainty is not finite")
    return value


def fingerprint(atoms: Atoms, descriptors) -> np.ndarray:
    """Mean and spread of the descriptors by species, in ascending order: independent of size and order."""
    descriptors = np.asarray(descriptors, float)
    parts = [descriptors[atoms.numbers == z] for z in np.unique(atoms.numbers)]
    return np.concatenate([part for d in parts for part in (d.mean(axis=0), d.std(axis=0))])


def farthest_points(points, n: int, first: int = 0) -> list[int]:
    """Indices of `n` points, each as far as can be from those before it (Gonzalez 1985).

    Fewer when the others coincide with them.
    """
    points = np.asarray(points, float)
    chosen = [first]
    distance = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < n:
        k = int(np.argmax(distance))
        if not distance[k] > 0:
            break
        chosen.append(k)
        distance = np.minimum(distance, np.linalg.norm(points - points[k], axis=1))
    return chosen


def propose(candidates, n: int, pool: int = POOL) -> list[Candidate]:
    """The most uncertain candidate, then those farthest from what is chosen, among the `pool` times `n` most uncertain.

    A candidate less uncertain than half of them is taken only when there are too few others.  Fingerprints are divided
    by their spread over all candidates first.  Candidates of other species than the most uncertain one are compared by
    theirs alone when their fingerprints are as long.

    Raises
    ------
    ValueError
        Without candidates, and for candidates whose fingerprints have different lengths (different numbers of species).
    """
    if not candidates:
        raise ValueError("there are no candidates")
    if len({len(c.fingerprint) for c in candidates}) > 1:
        raise ValueError("the candidates have different numbers of species: propose from one material at a time")
    size = min(max(pool, 1) * n, max(n, len(candidates) // 2))
    ranked = sorted(candidates, key=lambda c: -c.uncertainty)[:size]
    x = np.array([c.fingerprint for c in candidates])
    scale = x.std(axis=0)
    keep = scale > 1e-12 * max(np.abs(x).max(), 1e-300)
    points = np.array([c.fingerprint[keep] for c in ranked]) / scale[keep]
    return [ranked[k] for k in farthest_points(points, n)]


def named(chosen, prefix: str = "al", first: int = 0) -> list[Atoms]:
    """Structures of chosen candidates, named `<prefix>_<number>`, with `info["force_uncertainty"]`, without results."""
    out = []
    for k, candidate in enumerate(chosen):
        atoms = candidate.atoms.copy()
        atoms.calc = None
        atoms.info = {
            **atoms.info,
            "config_id": f"{prefix}_{first + k:04d}",
            "force_uncertainty": candidate.uncertainty,
        }
        out.append(atoms)
    return out


def as_slab(atoms: Atoms, vacuum: float) -> Atoms:
    """Copy for reference calculations: pbc (T, T, F), z along the third vector, `vacuum` Å empty, no velocities.

    Raises
    ------
    ValueError
        When the first two cell vectors do not span the xy plane.
    """
    from ...moire.interlayer import check_plane, layer_index, unwrapped_heights

    check_plane(atoms)
    z = unwrapped_heights(atoms, layer_index(atoms))
    cell = atoms.cell.array.copy()
    cell[2] = [0.0, 0.0, np.ptp(z) + vacuum]
    positions = atoms.positions.copy()
    positions[:, 2] = z - z.min() + vacuum / 2
    out = Atoms(atoms.numbers, positions=positions, cell=cell, pbc=(True, True, False))
    if atoms.info.get("stacking") in ("R", "H"):  # gap, shift and the like are those of the first frame
        out.info["stacking"] = atoms.info["stacking"]
    return out
