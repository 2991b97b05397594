"""Relaxation inside the layer group of a slab."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from .symmetry import cartesian_rotations, image_atoms, setting, setting_vectors, symmetrised, symmetry


class FixLayerSymmetry(FixSymmetry):
    """ASE's `FixSymmetry` for the layer group of a slab: relaxation that keeps the symmetry.

    As there, the positions of `atoms` are symmetrised in place first. Only the operations are found in another way: in
    the plane alone, and in a fraction of the time for large cells.

    Other constraints that `atoms` have already stay in force: only the operations that agree with them are kept
    (attribute `n_kept`), and atoms that they hold do not move.

    Parameters
    ----------
    atoms : ase.Atoms
    tolerance : float
        Å, as in `symmetry`.

    Examples
    --------
    >>> atoms.set_constraint([*atoms.constraints, FixLayerSymmetry(atoms)])
    """

    def __init__(self, atoms: Atoms, tolerance: float = 1e-3):
        self.report = symmetry(atoms, tolerance)
        self.atoms, self.symprec, self.verbose = atoms.copy(), tolerance, False
        self.do_adjust_positions = self.do_adjust_cell = True
        cell, fractional = setting(atoms)
        maps = [
            image_atoms(fractional, fractional @ rotation.T + translation, atoms.numbers, cell)[0]
            for rotation, translation in zip(self.report.rotations, self.report.translations)
        ]
        kept = _agreeing(atoms, cartesian_rotations(cell, self.report.rotations), maps)
        self.rotations, self.translations = self.report.rotations[kept], self.report.translations[kept]
        self.symm_map, self.n_kept = [maps[k] for k in kept], len(kept)
        report = replace(self.report, rotations=self.rotations, translations=self.translations)
        # A constraint of this class may be there already, from an earlier structure: it must not hold the atoms back.
        others = [c for c in atoms.constraints if not isinstance(c, FixSymmetry)]
        given, atoms.constraints = list(atoms.constraints), others
        atoms.set_positions(symmetrised(atoms, tolerance, report).positions)
        atoms.constraints = given
        self.atoms.set_positions(atoms.positions, apply_constraint=False)

    def _mean_vector(self, atoms, vectors):
        """Mean over the operations of Q v, taken to the atom that each atom maps to."""
        total = np.zeros_like(vectors)
        for q, partner in zip(cartesian_rotations(setting_vectors(atoms), self.rotations), self.symm_map):
            total[partner] += vectors @ q.T
        return total / len(self.rotations)

    def _mean_tensor(self, atoms, tensor):
        """Mean over the operations of Q T Q^T."""
        q = cartesian_rotations(setting_vectors(atoms), self.rotations)
        return np.einsum("nab,bc,ndc->ad", q, tensor, q, optimize=True) / len(q)

    def adjust_positions(self, atoms, new):
        """Symmetrise the step from the atoms' positions to `new`."""
        new[:] = atoms.positions + self._mean_vector(atoms, new - atoms.positions)

    def adjust_forces(self, atoms, forces):
        """Symmetrise forces (n, 3)."""
        forces[:] = self._mean_vector(atoms, forces)

    def adjust_stress(self, atoms, stress):
        """Symmetrise a stress in Voigt's order."""
        stress[:] = full_3x3_to_voigt_6_stress(self._mean_tensor(atoms, voigt_6_to_full_3x3_stress(stress)))

    def adjust_cell(self, atoms, cell):
        """Symmetrise the deformation from the atoms' cell to `cell`."""
        old = atoms.cell.complete().array
        deformation = np.linalg.solve(old, cell).T - np.eye(3)
        if np.abs(deformation).max() > 0.25:
            raise RuntimeError(
                f"the cell changes by {np.abs(deformation).max():.2f} in one step: too far to symmetrise"
            )
        cell[:] = old @ (self._mean_tensor(atoms, deformation) + np.eye(3)).T


def _agreeing(atoms, rotations, maps):
    """Indices of the operations that agree with the other constraints of `atoms`: a projected force, turned and taken
    to
    the image of its atom, is the projection of the force turned."""
    others = [c for c in atoms.constraints if not isinstance(c, FixSymmetry)]
    trial = np.random.default_rng(0).normal(size=(len(atoms), 3))

    def projected(vectors):
        vectors = vectors.copy()
        for constraint in others:
            constraint.adjust_forces(atoms, vectors)
        return vectors

    def moved(vectors, rotation, partner):
        result = np.empty_like(vectors)
        result[partner] = vectors @ rotation.T
        return result

    if not others:
        return np.arange(len(maps))
    before = projected(trial)
    return np.array(
        [
            k
            for k, (rotation, partner) in enumerate(zip(rotations, maps))
            if np.abs(moved(before, rotation, partner) - projected(moved(trial, rotation, partner))).max() < 1e-6
        ]
    )
