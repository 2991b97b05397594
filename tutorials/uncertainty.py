"""
Uncertainty, and what to compute next
=====================================

What the model says of its own errors in a hot crystal, and which frames it would like to have computed.
"""

import warnings

import numpy as np
from ase import units
from ase.build import make_supercell
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_wander import DomainWarning, WanderCalculator
from ase_wander.data.sampling.active import judge, named, propose
from ase_wander.moire import twisted_bilayer
from ase_wander.plotting import new_axes, save_figure

warnings.simplefilter("ignore", DomainWarning)  # looked at below, number by number
calculator = WanderCalculator("mos2-bilayer")
cell = make_supercell(twisted_bilayer("MoS2", angle=0.0, stacking="R"), np.diag([2, 2, 1]))

# %%
# The standard deviation of a component of the force grows with displacements, and so does the share of atoms that lie
# outside the training data.
generator = np.random.default_rng(3)
sizes = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2])
deviation, outside = [], []
for size in sizes:
    atoms = cell.copy()
    atoms.positions += generator.normal(0, size, atoms.positions.shape)
    found = calculator.get_uncertainty(atoms)
    deviation.append(1e3 * found["forces"].mean())
    outside.append(found["outside"].mean())
    print(f"displaced by {size:.2f} Å: {deviation[-1]:6.1f} meV/Å, {found['outside'].sum()} of {len(atoms)} outside")
    if found["reasons"]:
        atom, reason = next(iter(found["reasons"].items()))
        print(f"    atom {atom}: {reason}")

ax = new_axes(4.6, 3.2)
ax.plot(sizes, deviation, "o-")
ax.set(xlabel="random displacement (Å)", ylabel="standard deviation of a force (meV/Å)", yscale="log")
save_figure(ax, "uncertainty.png")

# %%
# What to compute next
# --------------------
# Frames of a hot trajectory, ranked by their largest deviation; of the most uncertain ones those that differ most in
# the model's descriptors. ``structures: next.extxyz`` in a plan of ``ase-wander data make`` computes them.
atoms = cell.copy()
atoms.calc = calculator
thermalize_momenta(atoms, 600, rng=np.random.RandomState(1))
dynamics = Langevin(
    atoms, 2 * units.fs, temperature_K=600, friction=0.02 / units.fs, rng=np.random.RandomState(2), fixcm=False
)
frames = []
dynamics.attach(lambda: frames.append(atoms.copy()), interval=10)
dynamics.run(150)

candidates = judge(frames, calculator.get_uncertainty, calculator.get_descriptors)
chosen = propose(candidates, 3)
for candidate in chosen:
    number = next(n for n, frame in enumerate(frames) if frame is candidate.atoms)
    print(f"frame {number}: largest deviation of a force {1e3 * candidate.uncertainty:.0f} meV/Å")
write("next.extxyz", named(chosen))
