"""
Phonons with phonopy
====================

Phonons of the relaxed 2H bilayer of MoS2 by finite displacements. ``pip install phonopy``. A relaxed moiré cell goes
the same way, with its own cell as the supercell: one calculation of forces for every displaced atom.
"""

from itertools import pairwise

import numpy as np

from ase_wander import WanderCalculator, relax
from ase_wander.moire import twisted_bilayer
from ase_wander.plotting import new_axes, save_figure

try:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
except ImportError:
    raise SystemExit("this tutorial needs phonopy: pip install phonopy") from None

from ase import Atoms

calculator = WanderCalculator("mos2-bilayer")
atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H", vacuum=30.0)
atoms.calc = calculator
relax(atoms, fmax=1e-4, dmax=1e-5)

# %%
# Forces of displaced supercells. A supercell keeps the stack's own vacuum: ``pbc`` stays false along the normal.
phonons = Phonopy(
    PhonopyAtoms(symbols=atoms.symbols, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell.array),
    supercell_matrix=np.diag([4, 4, 1]),
    primitive_matrix=np.eye(3),
)
phonons.generate_displacements(distance=0.01)
print(f"{len(phonons.supercells_with_displacements)} displaced cells of {len(phonons.supercell)} atoms")
forces = []
for cell in phonons.supercells_with_displacements:
    displaced = Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=(True, True, False))
    forces.append(calculator.get_forces(displaced))
phonons.forces = forces
phonons.produce_force_constants()
phonons.symmetrize_force_constants()

# %%
# At Γ: three acoustic modes at zero, then the modes of rigid layers (shear twice, breathing once), which bulk crystals
# of one layer per cell do not have, and far above them the optical modes.
THZ = 33.35641  # 1/cm
phonons.run_qpoints([[0, 0, 0]])
modes = phonons.qpoints.frequencies[0] * THZ
print("modes at Γ (1/cm):", np.round(modes, 1))
print(f"shear of the layers {modes[3]:.1f}, breathing {modes[5]:.1f} 1/cm")

# %%
# Along Γ-M-K-Γ.
corners = np.array([[0, 0, 0], [0.5, 0, 0], [1 / 3, 1 / 3, 0], [0, 0, 0]])
pieces = [np.linspace(a, b, 30) for a, b in pairwise(corners)]
phonons.run_band_structure(pieces)
bands = phonons.band_structure
ax = new_axes(4.8, 3.8)
for distance, frequency in zip(bands.distances, bands.frequencies):
    ax.plot(distance, frequency * THZ, color="C0", lw=0.9)
ticks = [bands.distances[0][0], *(d[-1] for d in bands.distances)]
ax.set(xticks=ticks, xticklabels=["Γ", "M", "K", "Γ"], xlim=(ticks[0], ticks[-1]), ylabel="frequency (1/cm)")
ax.axhline(0, color="0.6", lw=0.6)
save_figure(ax, "phonons.png")
