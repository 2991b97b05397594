"""
Moiré cells
===========

Moiré cells from the exact twist to the strained heterobilayer.

Writes the figures moire_*.png into the folder it is started in.
"""

import numpy as np

from ase_wander.moire import (
    coincidence_cells,
    commensurate_cells,
    domains,
    format_table,
    heterobilayer,
    interlayer_distance,
    moire_vectors,
    symmetry,
    twisted_bilayer,
    twisted_multilayer,
)
from ase_wander.moire.plots import plot_cell, plot_domains, plot_map
from ase_wander.plotting import save_figure

# %%
# Which exact cells are there?  Every one up to 400 atoms of MoS2.
print(format_table(commensurate_cells(400, (0, 30), material="MoS2")))

# %%
# The magic angle of graphene: the smallest exact cell within 0.02 degrees, found from closed forms.
magic = twisted_bilayer("graphene", angle=1.05)
print(
    f"\ngraphene at {magic.info['twist_angle']:.6f} degrees: {len(magic)} atoms, (m, r) = ({magic.info['m']}, "
    f"{magic.info['r']})"
)

# %%
# R and H are different crystals.  At 0 degrees R is AA (metal over metal), H is 2H (metal over chalcogen).
for stacking in "RH":
    untwisted, twisted = (
        twisted_bilayer("MoS2", 1, 0, stacking=stacking),
        twisted_bilayer("MoS2", 2, 1, stacking=stacking),
    )
    name = max(domains(untwisted).areas, key=domains(untwisted).areas.get)
    print(f"{stacking}: {name} at 0 degrees; at {twisted.info['twist_angle']:.4f} degrees {symmetry(twisted)}")

# %%
# A rigid moiré has three stackings of equal area.  Relax it with a calculator, and see them change.
atoms = twisted_bilayer("MoS2", 9, 1, stacking="R")
print(
    f"\n{len(atoms)} atoms, moiré period {np.linalg.norm(moire_vectors(atoms)[0]):.2f} Å, areas {domains(atoms).areas}"
)
save_figure(plot_cell(twisted_bilayer("MoS2", 2, 1), title="MoS$_2$, 13.17°, R"), "moire_cell.png")
save_figure(plot_domains(atoms, domains(atoms), title="MoS$_2$, 3.48°, R, rigid"), "moire_domains.png")

# atoms.calc = WanderCalculator("mos2-bilayer"), then any ASE optimiser; here a ripple stands in for the relaxation.
top = atoms.arrays["layer"] == 1
phase = 2 * np.pi * atoms.get_scaled_positions()[top, :2]
atoms.positions[top, 2] += 0.1 * (np.cos(phase[:, 0]) + np.cos(phase[:, 1]) + np.cos(phase[:, 0] - phase[:, 1])) / 1.5
positions, distance = interlayer_distance(atoms)
save_figure(plot_map(atoms, positions, distance, label="interlayer distance (Å)"), "moire_distance.png")
print(f"interlayer distance from {distance.min():.3f} to {distance.max():.3f} Å")

# %%
# Two different materials: no exact cell, so strain.  Smallest first.
print("\nMoS2 on WSe2:")
for cell in coincidence_cells("MoS2", "WSe2", max_atoms=500, max_strain=0.01)[:5]:
    print(f"  {cell}")
hetero = heterobilayer("MoS2", "WSe2", angle=16.1, tolerance=0.1, weight=0.0)  # weight 0: MoS2 stays unstrained
print(f"strain of the WSe2 layer:\n{np.round(hetero.info['strain_top'], 5)}")

# %%
# Three layers: mirror-symmetric and helical.
for angles in ((0, 21.787, 0), (0, 21.787, 43.574)):
    stack = twisted_multilayer("graphene", angles)
    print(f"trilayer {np.round(stack.info['twist_angles'], 4)}: {len(stack)} atoms, {symmetry(stack).point_group}")
