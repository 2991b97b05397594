"""Symmetry of a built or relaxed cell (spglib)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from ..structure import plane_normal, slab_heights, standing_positions

_SCHOENFLIES = {
    "1": "C1",
    "-1": "Ci",
    "2": "C2",
    "m": "Cs",
    "2/m": "C2h",
    "222": "D2",
    "mm2": "C2v",
    "mmm": "D2h",
    "4": "C4",
    "-4": "S4",
    "4/m": "C4h",
    "422": "D4",
    "4mm": "C4v",
    "-42m": "D2d",
    "4/mmm": "D4h",
    "3": "C3",
    "-3": "C3i",
    "32": "D3",
    "3m": "C3v",
    "-3m": "D3d",
    "6": "C6",
    "-6": "C3h",
    "6/m": "C6h",
    "622": "D6",
    "6mm": "C6v",
    "-6m2": "D3h",
    "6/mmm": "D6h",
    "23": "T",
    "m-3": "Th",
    "432": "O",
    "-43m": "Td",
    "m-3m": "Oh",
}


@dataclass(frozen=True)
class SymmetryReport:
    """Symmetry of a slab.

    Attributes
    ----------
    point_group, international : str
        Schoenflies ("D3") and Hermann-Mauguin ("32") symbols of the crystal class.
    layer_group : str
        Symbol of the layer group, e.g. "p 3 2 1", with its number in `layer_group_number` (1-80).
    layer_group_number : int
    n_operations : int
        Operations of the cell as given, pure translations included.
    n_translations : int
        Pure translations: above 1 the cell is not primitive.
    rotations : ndarray of int, shape (n_operations, 3, 3)
    translations : ndarray, shape (n_operations, 3)
        In fractional coordinates of the setting: the first two lattice vectors, and the normal of the plane (of any
        length) in place of the third. What the third vector is plays no part, as in the layer group.
    equivalent_atoms : ndarray of int, shape (n_atoms,)
        First atom of each atom's orbit.
    """

    point_group: str
    international: str
    layer_group: str
    layer_group_number: int
    n_operations: int
    n_translations: int
    rotations: np.ndarray
    translations: np.ndarray
    equivalent_atoms: np.ndarray

    def __str__(self):
        return (
            f"point group {self.point_group} ({self.international}), layer group {self.layer_group} "
            f"(no. {self.layer_group_number}), {self.n_operations} operations"
        )


def symmetry(atoms: Atoms, tolerance: float = 1e-3) -> SymmetryReport:
    """Layer group of a structure that is periodic in the plane only.

    Parameters
    ----------
    atoms : ase.Atoms
        Its third cell vector must not lie in the plane; its tilt and length play no part. A slab that is periodic along
        it may be cut by the cell boundary.
    tolerance : float
        Largest distance between an atom and the image of another, Å.

    Raises
    ------
    ValueError
        When spglib finds no symmetry (overlapping atoms, a tolerance that is too large).
    """
    import spglib

    cell, fractional = setting(atoms)
    try:
        with _without_deprecations():
            dataset = spglib.get_symmetry_layerdataset(
                (cell, fractional, atoms.numbers), aperiodic_dir=2, symprec=tolerance
            )
    except Exception as error:  # newer versions raise instead of returning None
        raise ValueError(
            f"spglib finds no symmetry of the {len(atoms)} atoms at a tolerance of {tolerance:g} Å: {error}"
        ) from error
    if dataset is None:
        raise ValueError(f"spglib finds no symmetry of the {len(atoms)} atoms at a tolerance of {tolerance:g} Å")
    get: Callable[[str], Any] = dataset.get if isinstance(dataset, dict) else lambda key: getattr(dataset, key)
    rotations = np.array(get("rotations"))
    with _without_deprecations():
        found = spglib.get_pointgroup(rotations)
    if found is None:
        raise ValueError(
            f"spglib finds no point group of {len(rotations)} operations at a tolerance of {tolerance:g} Å"
        )
    point_group = found[0].strip()
    pure = int(np.all(rotations == np.eye(3, dtype=int), axis=(1, 2)).sum())
    return SymmetryReport(
        _SCHOENFLIES[point_group],
        point_group,
        str(get("international")),
        int(get("number")),
        len(rotations),
        pure,
        rotations,
        np.array(get("translations")),
        np.array(get("equivalent_atoms")),
    )


def irreducible_kpoints(
    atoms: Atoms, mesh, gamma: bool = True, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Irreducible k-points of a mesh in the plane, time reversal included.

    Parameters
    ----------
    atoms : ase.Atoms
    mesh : (int, int)
        Points along both reciprocal vectors of the plane.
    gamma : bool
        Whether the mesh contains Gamma; otherwise it is shifted by half a step.
    tolerance : float
        Å, as in `symmetry`.

    Returns
    -------
    kpoints : ndarray, shape (n, 3)
        Fractional, the third 0.
    weights : ndarray, shape (n,)
        Sum 1.
    """
    import spglib

    mesh = [int(k) for k in mesh]
    if len(mesh) != 2 or min(mesh) < 1:
        raise ValueError(f"mesh takes two positive integers, not {mesh}")
    # Operations come from the layer group: a mirror along z and the vacuum play no part in the plane.
    rotations = np.unique(symmetry(atoms, tolerance).rotations, axis=0)
    shift = [0, 0, 0] if gamma else [1, 1, 0]
    # Of a mesh finer along one vector than along another only the operations that map it onto itself count.
    rotations = rotations[[_keeps_mesh(r[:2, :2], mesh, shift[:2]) for r in rotations]]
    with _without_deprecations():
        reduced = spglib.get_stabilized_reciprocal_mesh(
            [*mesh, 1], rotations.astype("intc"), is_shift=shift, is_time_reversal=True
        )
    if reduced is None:
        raise ValueError(f"spglib cannot reduce the mesh {' x '.join(map(str, mesh))}")
    mapping, grid = reduced
    points, _inverse, count = np.unique(mapping, return_inverse=True, return_counts=True)
    kpoints = (np.array(grid)[points] + np.array(shift) / 2) / [*mesh, 1]
    return kpoints, count / count.sum()


def _keeps_mesh(rotation, mesh, shift):
    """Whether fractional k -> k R takes the points (i + shift / 2) / mesh of the plane onto themselves."""
    points = np.stack(np.meshgrid(*[np.arange(n) for n in mesh], indexing="ij"), axis=-1).reshape(-1, 2)
    image = ((points + np.array(shift) / 2) / mesh) @ rotation * mesh - np.array(shift) / 2
    return bool(np.abs(image - np.rint(image)).max() < 1e-6)


def symmetrised(atoms: Atoms, tolerance: float = 1e-3, report: SymmetryReport | None = None) -> Atoms:
    """A copy of a structure with every atom at the mean of its symmetric images, Å.

    For a relaxation inside a symmetry see `constraint.FixLayerSymmetry`.

    Parameters
    ----------
    tolerance : float
        Symmetry is looked for up to this distance, Å; no atom moves farther.
    report : SymmetryReport, optional
        Of `symmetry(atoms, tolerance)`, where it is known already.
    """
    report = symmetry(atoms, tolerance) if report is None else report
    cell, fractional = setting(atoms)
    total = np.zeros_like(fractional)
    for rotation, translation in zip(report.rotations, report.translations):
        image = fractional @ rotation.T + translation
        partner, delta = image_atoms(fractional, image, atoms.numbers, cell)
        # Each operation with the translation that fits best: then all fix the centroid, and together they form a group.
        total[partner] += delta - delta.mean(axis=0)
    result = atoms.copy()
    result.set_positions(atoms.positions + total @ cell / len(report.rotations), apply_constraint=False)
    return result


def image_atoms(fractional, image, numbers, cell):
    """Atom that each image falls on, and how far it misses it, in fractional coordinates."""
    from scipy.spatial import cKDTree

    # periodic in the plane: wrap, and search with Cartesian copies along the edges
    base = fractional.copy()
    base[:, :2] %= 1.0
    wrapped = image.copy()
    wrapped[:, :2] %= 1.0
    margin = 0.05
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    copies, owner = [], []
    for i, j in shifts:
        moved = base + [i, j, 0]
        keep = np.all((moved[:, :2] > -margin) & (moved[:, :2] < 1 + margin), axis=1)
        copies.append(moved[keep])
        owner.append(np.flatnonzero(keep))
    owner = np.concatenate(owner)
    _, nearest = cKDTree(np.concatenate(copies) @ cell).query(wrapped @ cell)
    partner = owner[nearest]
    if len(np.unique(partner)) != len(partner) or (numbers[partner] != numbers).any():
        raise ValueError("the symmetry operations do not map the atoms onto each other: choose a smaller tolerance")
    delta = image - fractional[partner]
    delta[:, :2] -= np.round(delta[:, :2])
    return partner, delta


@contextmanager
def _without_deprecations():
    """spglib 2.8 warns on every call that its way of reporting errors will change; both ways are handled here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def setting(atoms):
    """Cell (3, 3) of the setting and fractional coordinates (n, 3) in it of the slab in one piece."""
    if atoms.cell.rank < 3:
        raise ValueError("the cell has no third vector: give the slab a vacuum first")
    cell = setting_vectors(atoms)
    cell[2] *= np.ptp(slab_heights(atoms)) + 20.0
    return cell, np.linalg.solve(cell.T, standing_positions(atoms).T).T


def setting_vectors(atoms):
    """The first two lattice vectors and the unit normal in place of the third (3, 3), right-handed."""
    return np.array([*atoms.cell.array[:2], plane_normal(atoms)])


def cartesian_rotations(cell, rotations):
    """Cartesian matrices (n, 3, 3) of rotations in fractional coordinates of `cell`: Q = C^T W C^-T."""
    return cell.T @ np.asarray(rotations, float) @ np.linalg.inv(cell.T)
