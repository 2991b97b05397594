"""The equilibrium of a model: lattice constant, thickness and gap that the builder takes as defaults."""

from __future__ import annotations

import numpy as np
from ase.constraints import FixCartesian
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from ..calculator import WanderCalculator
from ..moire import twisted_bilayer

#: Most steps of one relaxation.
MAX_STEPS = 300


def relaxed_stackings(model, material, stacking="R", fmax=1e-3):
    """Relax the untwisted bilayer's 1 x 1 cell, in plane and out of it, at the high-symmetry registries.

    Parameters
    ----------
    model : WanderModel
    material : str or ase.Atoms monolayer

    Returns
    -------
    list of dict with `shift`, `a`, `gap` (of the mid-planes), `thickness` (of a layer, outermost nuclei; Å), `energy`
    (eV per cell).

    Raises
    ------
    ValueError
        A relaxation that does not come below `fmax` (eV/Å) in MAX_STEPS steps.
    """
    out, name = [], material if isinstance(material, str) else material.get_chemical_formula("metal")
    for shift in ((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)):
        atoms = twisted_bilayer(material, angle=0.0, stacking=stacking, shift=shift)
        atoms.calc = WanderCalculator(model)
        layer = WanderCalculator.layers(atoms.calc, atoms)
        middle = middle_atoms(atoms.positions[:, 2], layer)
        atoms.set_constraint([FixCartesian(k, (True, True, False)) for k in middle])  # the registry stays
        cell = FrechetCellFilter(atoms, mask=[True, True, False, False, False, True])
        if not BFGS(cell, logfile=None).run(fmax, MAX_STEPS):
            raise ValueError(
                f"the model {model.name} finds no equilibrium of {name}: stacking {stacking}, shift "
                f"{tuple(round(x, 3) for x in shift)} is not below {fmax:g} eV/Å after {MAX_STEPS} steps"
            )
        z = atoms.positions[:, 2]
        thickness = np.mean([np.ptp(z[layer == n]) for n in np.unique(layer)])
        out.append(
            {
                "shift": list(shift),
                "a": float(np.sqrt(np.linalg.norm(np.cross(*atoms.cell[:2])) * 2 / np.sqrt(3))),
                "gap": float(np.ptp(z[middle])),
                "thickness": float(thickness),
                "energy": float(atoms.get_potential_energy()),
            }
        )
    return out


def middle_atoms(heights, layer) -> list[int]:
    """The atom next to the mid-height of every layer (the metal of a dichalcogenide), in ascending order."""
    chosen = []
    for n in np.unique(layer):
        own = np.flatnonzero(layer == n)
        chosen.append(int(own[np.argmin(np.abs(heights[own] - 0.5 * (heights[own].min() + heights[own].max())))]))
    return sorted(chosen)


def model_equilibrium(model, material) -> dict:
    """`a` and `thickness` of the lowest stacking, `gap` averaged over the stackings (a twisted cell holds them all)."""
    found = relaxed_stackings(model, material)
    lowest = min(found, key=lambda s: s["energy"])
    return {
        "a": round(lowest["a"], 5),
        "thickness": round(lowest["thickness"], 5),
        "gap": round(float(np.mean([s["gap"] for s in found])), 5),
    }
