"""A pair energy between layers that depends on how atoms lie over each other: a correction to the stacking of a force
field.

For a pair at r, with its part rho in the plane of the slab (Kolmogorov and Crespi, PRB 71, 235415 (2005), with the
slab's normal in place of the local ones, which needs no third atom):

    V(r) = S(r) { C exp[-lambda (r - z0)] exp[-(rho / delta)^2] + sum_k B_k exp[-kappa_k (r - z0)] }

The first term counts atoms on top of each other, the others move the distance and the binding of all registries
alike. S falls smoothly from 1 at `taper` to 0 at `cutoff`. Energy, forces and stress come from one expression: the
normal follows the strain.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms

from ..structure import neighbour_pairs

#: Numbers of a term, by name: eV, 1/Å and Å; lists of B and kappa are of equal length.
KEYS = ("C", "lambda", "delta", "z0", "B", "kappa", "taper", "cutoff")


class StackingTerm:
    """The correction with its numbers.

    Parameters
    ----------
    numbers : dict of KEYS

    Raises
    ------
    ValueError
        Naming a key that is missing, unknown or no number.
    """

    def __init__(self, numbers: dict):
        if not isinstance(numbers, dict) or set(numbers) != set(KEYS):
            raise ValueError(f"stacking: expected a mapping of {', '.join(KEYS)}")
        self.numbers = dict(numbers)
        for key in KEYS:
            values = numbers[key] if key in ("B", "kappa") else [numbers[key]]
            if not isinstance(values, (list, tuple)) or not all(_is_number(v) for v in values):
                kind = "list of numbers" if key in ("B", "kappa") else "number"
                raise ValueError(f"stacking: {key}: {numbers[key]!r} is not a {kind}")
        if len(numbers["B"]) != len(numbers["kappa"]):
            raise ValueError("stacking: B and kappa have different lengths")
        if not 0 < numbers["taper"] < numbers["cutoff"] or not numbers["delta"] > 0:
            raise ValueError("stacking: 0 < taper < cutoff and delta > 0 are needed")

    def pair_energy(self, r, rho2):
        """V in eV of distances r (p,) and squared in-plane distances (p,), Å."""
        n = self.numbers
        x = ((r - n["taper"]) / (n["cutoff"] - n["taper"])).clamp(0, 1)
        smooth = 1 - x**3 * (10 - 15 * x + 6 * x**2)
        height = r - n["z0"]
        value = n["C"] * torch.exp(-n["lambda"] * height - rho2 / n["delta"] ** 2)
        for b, kappa in zip(n["B"], n["kappa"]):
            value = value + b * torch.exp(-kappa * height)
        return smooth * value

    def __call__(self, atoms: Atoms, layers):
        """What the pairs of adjacent layers add.

        Returns
        -------
        Energies (n,) eV, half of a pair's to each atom, forces (n, 3) eV/Å and virial (3, 3) eV = dE/d(strain)
        """
        pairs = neighbour_pairs(atoms, self.numbers["cutoff"])
        pairs = pairs.select(np.abs(layers[pairs.i] - layers[pairs.j]) == 1).half()
        i, j = (torch.from_numpy(index.copy()).long() for index in (pairs.i, pairs.j))
        vector = torch.from_numpy(pairs.vector.copy()).double().requires_grad_(True)
        with torch.inference_mode(False), torch.enable_grad():
            plane = torch.from_numpy(atoms.cell.array[:2].copy()).double().requires_grad_(True)
            normal = torch.linalg.cross(plane[0], plane[1])
            height = vector @ (normal / normal.norm())
            r = vector.norm(dim=1)
            energy = self.pair_energy(r, r**2 - height**2)
            g, g_plane = torch.autograd.grad(energy.sum(), (vector, plane))
        half, n = 0.5 * energy.detach(), len(atoms)
        energies = torch.zeros(n, dtype=torch.float64).index_add(0, i, half).index_add(0, j, half)
        forces = torch.zeros(n, 3, dtype=torch.float64).index_add(0, i, g).index_add(0, j, -g)
        virial = vector.detach().T @ g + plane.detach().T @ g_plane
        return energies.numpy(), forces.numpy(), 0.5 * (virial + virial.T).numpy()


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6
