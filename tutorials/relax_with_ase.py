"""
Relaxing a moiré cell with ASE
==============================

The calculator goes into any optimizer and any filter of ASE: here LBFGS at fixed cell, the same with a cell filter, and
this package's own ``relax`` beside them. A twisted MoS2 bilayer of 114 atoms, 13.17 degrees.
"""

import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from ase_wander import WanderCalculator, relax
from ase_wander.moire import interlayer_distance, twisted_bilayer
from ase_wander.plotting import new_axes, plot_corrugation, save_figure
from ase_wander.relaxation import what_is_left

start = twisted_bilayer("MoS2", m=2, r=1, gap=6.5)  # the layers a little too far apart
calculator = WanderCalculator("mos2-bilayer")

# %%
# Fixed cell
# ----------
# LBFGS stops when no force exceeds 0.01 eV/Å. Forces between layers are that small long before the layers have found
# their distance: ``what_is_left`` estimates, with springs in place of the atoms, how far they still have to go.
atoms = start.copy()
atoms.calc = calculator
heights = []
optimizer = LBFGS(atoms, logfile=None)
optimizer.attach(lambda: heights.append(interlayer_distance(atoms)[1].mean()))
optimizer.run(fmax=0.01)
left = what_is_left(atoms, atoms.arrays["layer"])[:, 2]
print(f"LBFGS: {optimizer.nsteps} steps, layers {heights[-1]:.4f} Å apart, {np.ptp(left):.4f} Å of height left to go")

# %%
# ``relax`` starts from the same springs, and ends when both forces and distances are small.
atoms = start.copy()
atoms.calc = calculator
own = []
result = relax(atoms, callback=lambda progress: own.append(interlayer_distance(atoms)[1].mean()))
print(result)
positions, distance = interlayer_distance(atoms)
print(f"relax: layers {distance.mean():.4f} Å apart")

# %%
# Atoms and cell
# --------------
# A slab has no meaningful stress along its normal: the mask leaves the in-plane components to the filter. The filter
# divides the force on the cell by the number of atoms, so that ``fmax`` must be small.
free = start.copy()
free.calc = calculator
optimizer = LBFGS(FrechetCellFilter(free, mask=[1, 1, 0, 0, 0, 1]), logfile=None)
optimizer.run(fmax=0.001, steps=200)
strain = free.cell.lengths()[0] / start.cell.lengths()[0] - 1
print(f"cell filter: {optimizer.nsteps} steps, in-plane strain {1e3 * strain:.3f} per mille")
print("stress (N/m):", np.round(free.get_stress()[[0, 1, 5]] * free.cell.lengths()[2] * 16.0218, 4))

# %%
# How both ways approach the distance, and what the relaxed layers look like.
ax = new_axes(4.6, 3.2)
ax.plot(heights, "o-", ms=3, label="LBFGS of ASE")
ax.plot(own, "s-", ms=3, label="relax")
ax.set(xlabel="step", ylabel="mean distance of the layers (Å)")
ax.legend()
save_figure(ax, "relaxation.png")
save_figure(plot_corrugation(atoms, positions, distance, title="MoS$_2$, 13.17°"), "corrugation.png")
