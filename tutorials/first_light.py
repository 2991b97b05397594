"""
From a twist angle to bands
===========================

First light: from a twist angle to relaxed atoms and bands with one model.

Run it anywhere: python first_light.py.  It takes the smallest twisted cell, 42 atoms, and leaves two figures
and two data files in the working directory.
"""

from ase.io import write

from ase_wander import WanderCalculator, relax
from ase_wander.moire import commensurate_cells, interlayer_distance, twisted_bilayer
from ase_wander.plotting import plot_bands, plot_corrugation, save_figure

# %%
# Which exact cells are there?  Two equal lattices coincide only at the angles of coprime pairs (m, r).
for cell in commensurate_cells(max_atoms=300, angle_range=(5, 30), material="MoS2"):
    print(cell)

# %%
# Build the cell of (1, 1), 21.79 degrees.  The lattice constant and the gap are the model's own equilibrium.
atoms = twisted_bilayer("MoS2", m=1, r=1, stacking="R")
print(f"{len(atoms)} atoms, {atoms.info['twist_angle']:.4f} degrees, |a| = {atoms.cell.lengths()[0]:.3f} Å")

# %%
# The calculator is like any other of ASE. ``relax`` knows what ASE's optimizers cannot: layers are stiff and the gaps
# between them soft, so that small forces alone do not mean that the layers have found their distance.
atoms.calc = WanderCalculator("mos2-bilayer")
print(relax(atoms))
write("first_light.extxyz", atoms)

# %%
# Where the layers bulge: the relaxed distance of the mid-planes over the moiré cell.
positions, distance = interlayer_distance(atoms)
print(f"interlayer distance {distance.min():.3f} to {distance.max():.3f} Å")
save_figure(plot_corrugation(atoms, positions, distance), "first_light_corrugation.png")

# %%
# The same model gives the Wannier Hamiltonian: sparse, in real space, in eV relative to the vacuum level.
h = atoms.calc.get_wannier_hamiltonian(atoms)
print(h)
h.save("first_light_hamiltonian.npz")

# %%
# Its bands near the gap along G-M-K-G, as an ASE band structure.
bs = h.band_structure("GMKG", npoints=60, n_bands=40)
print(f"gap {h.band_gap():.3f} eV, Fermi level {h.fermi_level():.3f} eV")
save_figure(plot_bands(bs, title="MoS$_2$, 21.79°"), "first_light_bands.png")
