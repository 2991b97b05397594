"""Ideal bilayers of MoS2 for the published networks."""

import numpy as np
from ase import Atoms
from ase.build import make_supercell

#: Lattice constant and half of the layer's thickness, Å.
A, H = 3.16, 1.56


def bilayer(n=1, rattle=0.0, gap=6.4, parallel=False, shift=(0.0, 0.0), seed=1, pbc=(True, True, False)):
    """n x n cells of a bilayer, bottom layer along the template, antiparallel unless `parallel`."""
    cell = np.array([[A, 0, 0], [-A / 2, A * np.sqrt(3) / 2, 0], [0, 0, 30.0]])
    bond = A / np.sqrt(3) * (1 if parallel else -1)
    s1, s2 = np.array([0, A / np.sqrt(3)]), np.array([0, bond])
    top = np.array(shift)
    flat = [(0, 0), s1, s1, top, s2 + top, s2 + top]
    z = [5, 5 + H, 5 - H, 5 + gap, 5 + gap + H, 5 + gap - H]
    unit = Atoms("MoS2MoS2", positions=np.column_stack([flat, z]), cell=cell, pbc=pbc)
    atoms = make_supercell(unit, np.diag([n, n, 1]))
    atoms.positions += rattle * np.random.default_rng(seed).normal(size=(len(atoms), 3))
    return atoms
