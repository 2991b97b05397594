"""The result of one reference calculation: energies, forces, stress, Bloch states as the Wannier functions see them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ...archives import read_npz, write_npz
from ..wannier.manifold import recipe_with_manifold
from ..wannier.projection import fade_weights, projectability, wannier_hamiltonian_at_k, wigner_seitz_blocks
from .recipe import Recipe, orbitals_per_atom


@dataclass
class Labels:
    """Results of an engine for one structure; eV and Å, one-electron energies relative to the mean vacuum level.

    Attributes
    ----------
    atoms : ase.Atoms
        The structure as given (positions unwrapped); `info` travels along.
    energy : float
        Dispersion included, eV.
    forces : ndarray, shape (n, 3)
        eV/Å.
    stress : ndarray, shape (6,)
        eV/Å^3, Voigt, without the part of the finite basis.
    d3_energy, d3_forces, d3_stress
        Share of the dispersion, in the same units and shapes.
    pulay_energy : float
        The part of sigma_zz V that was subtracted from xx, yy, zz, eV.
    vacuum_top, vacuum_bottom : float
        eV, on the engine's own zero; their difference is the vacuum step.
    efermi : float
        eV.
    kpts : ndarray, shape (n_k, 3)
        Half of the Brillouin zone, -k implied.
    kweights : ndarray, shape (n_k,)
    grid : ndarray of int, shape (3,)
    eigenvalues : ndarray, shape (n_k, n_bands)
        eV, at `kpts` (of a recipe with `symmetry`, irreducible ones).
    amplitudes : ndarray of complex, shape (n_k, n_bands, n_orbitals)
        <p_m|psi_n>, p_m the Bloch sum over the positions as given.
    seconds : float
        Wall time.
    """

    atoms: Atoms
    energy: float
    forces: np.ndarray
    stress: np.ndarray
    efermi: float
    kpts: np.ndarray
    kweights: np.ndarray
    grid: np.ndarray
    eigenvalues: np.ndarray
    amplitudes: np.ndarray
    vacuum_top: float
    vacuum_bottom: float
    pulay_energy: float = 0.0
    d3_energy: float = 0.0
    d3_forces: np.ndarray | None = None
    d3_stress: np.ndarray | None = None
    seconds: float = 0.0
    info: dict = field(default_factory=dict)

    # ------------------------------------------------------------------ Wannier functions
    def manifold(self, recipe: Recipe):
        """Bands of the manifold (slice) and frozen states (n_k, n_bands of it) or None, as the recipe says.

        Raises
        ------
        ValueError
            The bands do not reach that far, or the frozen window holds more states than there are orbitals.
        """
        recipe = self.with_manifold(recipe)
        n_orbitals = self.amplitudes.shape[2]
        if recipe.semicore is not None:
            first = recipe.count("semicore", self.atoms)
            if first + n_orbitals > self.eigenvalues.shape[1]:
                raise ValueError(
                    f"{first} bands below the manifold and {n_orbitals} in it, but only {self.eigenvalues.shape[1]} "
                    "were computed"
                )
            return slice(first, first + n_orbitals), None
        if recipe.fade:
            return slice(0, self.eigenvalues.shape[1]), None
        frozen = (self.eigenvalues >= self.efermi + recipe.window[0]) & (
            self.eigenvalues <= self.efermi + recipe.window[1]
        )
        most = int(frozen.sum(1).max())
        if most > n_orbitals:
            k = int(frozen.sum(1).argmax())
            raise ValueError(
                f"{most} states in the frozen window {list(recipe.window)} eV at k = "
                f"{np.round(self.kpts[k], 4).tolist()}, "
                f"but {n_orbitals} Wannier functions"
            )
        return slice(0, self.eigenvalues.shape[1]), frozen

    def with_manifold(self, recipe: Recipe) -> Recipe:
        """The recipe; where it names neither `semicore` nor `window`, with what `manifold.find_manifold` finds here."""
        return (
            recipe
            if recipe.semicore is not None or recipe.window is not None
            else recipe_with_manifold(recipe, self)[0]
        )

    def subspace(self, recipe: Recipe):
        """Bands of the manifold (slice), frozen states and weights of the disentanglement (None where there are
        none).
        """
        recipe = self.with_manifold(recipe)
        bands, frozen = self.manifold(recipe)
        weights = None
        if recipe.semicore is None and recipe.fade:
            weights = fade_weights(self.eigenvalues - self.efermi, self.projectability(), **recipe.fade)
        return bands, frozen, weights

    def hamiltonian(self, recipe: Recipe) -> dict:
        """Blocks in the format of the reference data (see `projection.wigner_seitz_blocks`) and H(k) (n_k, m, m)."""
        hk = self.hamiltonian_at_k(recipe)
        n_orbitals = orbitals_per_atom(recipe.orbitals(self.atoms), len(self.atoms))
        blocks = wigner_seitz_blocks(
            hk,
            self.kpts,
            self.kweights,
            self.grid,
            self.atoms.cell.array,
            self.atoms.positions,
            n_orbitals,
            recipe.extent,
        )
        return blocks, hk

    def hamiltonian_at_k(self, recipe: Recipe):
        """H(k) (n_k, m, m) at the k-points of the calculation, eV."""
        bands, frozen, weights = self.subspace(recipe)
        return wannier_hamiltonian_at_k(self.eigenvalues[:, bands], self.amplitudes[:, bands], frozen, weights)

    def projectability(self):
        """Share of the orbitals in every state (n_k, n_bands)."""
        return projectability(self.amplitudes)

    def hamiltonian_file(self, recipe: Recipe) -> dict:
        """All arrays of `hamiltonians/<config_id>.npz`.

        `eigenvalues` are those of H on the k-grid. Where states outside the frozen window are mixed in, `kept` (n_k, m)
        marks the ones that are DFT eigenvalues. A recipe with `symmetry` leaves the blocks out: its k-points are no
        whole grid.
        """
        recipe = self.with_manifold(recipe)
        blocks, hk = ({}, self.hamiltonian_at_k(recipe)) if recipe.symmetry else self.hamiltonian(recipe)
        values = np.linalg.eigvalsh(hk)
        out = {
            **blocks,
            "kpts": self.kpts,
            "kweights": self.kweights,
            "eigenvalues": values,
            "numbers": self.atoms.numbers,
            "positions": self.atoms.positions,
            "cell": self.atoms.cell.array,
            "pbc": self.atoms.pbc,
            "mp_grid": np.asarray(self.grid),
            "efermi": np.asarray(self.efermi),
        }
        if recipe.semicore is None:
            low, high = (self.efermi + w for w in recipe.window)
            out["kept"] = (values >= low - 1e-6) & (values <= high + 1e-6)
        return out

    # ------------------------------------------------------------------ files
    def frame(self) -> Atoms:
        """Frame of `structures.extxyz`."""
        atoms = Atoms(self.atoms.symbols, positions=self.atoms.positions, cell=self.atoms.cell, pbc=self.atoms.pbc)
        atoms.info.update(self.atoms.info)
        atoms.info.update(
            {
                "vacuum_top": self.vacuum_top,
                "vacuum_bottom": self.vacuum_bottom,
                "pulay_energy": self.pulay_energy,
                "d3_energy": self.d3_energy,
            }
        )
        if self.d3_forces is not None:
            atoms.info["d3_stress"] = self.d3_stress
            atoms.arrays["d3_forces"] = self.d3_forces
        atoms.calc = SinglePointCalculator(
            atoms, energy=self.energy, free_energy=self.energy, forces=self.forces, stress=self.stress
        )
        return atoms

    def save(self, path) -> Path:
        """Write one `.npz` without pickle, atomically."""
        arrays = {
            f.name: np.asarray(getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("atoms", "info") and getattr(self, f.name) is not None
        }
        atoms = self.atoms
        structure = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array, "pbc": atoms.pbc}
        text = json.dumps({"atoms": atoms.info, "labels": self.info}, default=_plain)
        return write_npz(path, {**arrays, **structure, "info": np.asarray(text)}, compressed=True)

    @classmethod
    def load(cls, path) -> Labels:
        """Read what `save` wrote; ValueError naming the file where it is damaged."""
        try:
            arrays = read_npz(path)
            text = json.loads(str(arrays.pop("info")))
            atoms = Atoms(
                arrays.pop("numbers"), positions=arrays.pop("positions"), cell=arrays.pop("cell"), pbc=arrays.pop("pbc")
            )
            atoms.info.update({k: np.asarray(v) if isinstance(v, list) else v for k, v in text["atoms"].items()})
            return cls(
                atoms=atoms, info=text["labels"], **{k: v.item() if v.ndim == 0 else v for k, v in arrays.items()}
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"{path}: not a readable result of a reference calculation ({reason})") from None


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)
