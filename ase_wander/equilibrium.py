"""The equilibrium of a model: lattice constant, thickness and gap that the builder takes as defaults."""

from __future__ import annotations

import numpy as np
from ase.constraints import FixCartesian
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from .calculator import WanderCalculator
from .moire import twisted_bilayer


def relaxed_stackings(model, material, stacking="R", fmax=1e-3):
    """Relax the untwisted bilayer's 1 x 1 cell, in plane and out of it, at the high-symmetry registries.

    Parameters
    ----------
    model : WanderModel
    material : str or ase.Atoms monolayer

    Returns
    -------
    list of dict with `shift`, `a`, `gap`, `thickness` (Å), `energy` (eV per cell).
    """
    out = []
    for shift in ((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)):
        atoms = twisted_bilayer(material, angle=0.0, stacking=stacking, shift=shift)
        atoms.calc = WanderCalculator(model)
        metal = [k for k, s in enumerate(atoms.symbols) if s == model.species[0]]
        atoms.set_constraint([FixCartesian(k, (True, True, False)) for k in metal])  # the registry stays
        BFGS(FrechetCellFilter(atoms, mask=[True, True, False, False, False, True]), logfile=None).run(fmax, 300)
        z, layer = atoms.positions[:, 2], WanderCalculator.layers(atoms.calc, atoms)
        chalcogen = [k for k in range(len(atoms)) if k not in metal]
        thickness = np.mean([np.ptp(z[[k for k in chalcogen if layer[k] == n]]) for n in (0, 1)])
        out.append({"shift": list(shift), "a": float(np.sqrt(np.linalg.norm(np.cross(*atoms.cell[:2])) * 2 / np.sqrt(3))),
                    "gap": float(np.ptp(z[metal])), "thickness": float(thickness),
                    "energy": float(atoms.get_potential_energy())})
    return out


def equilibrium(model, material) -> dict:
    """`a` and `thickness` of the lowest stacking, `gap` averaged over the stackings (a twisted cell holds them all)."""
    found = relaxed_stackings(model, material)
    lowest = min(found, key=lambda s: s["energy"])
    return {"a": round(lowest["a"], 5), "thickness": round(lowest["thickness"], 5),
            "gap": round(float(np.mean([s["gap"] for s in found])), 5)}
