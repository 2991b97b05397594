"""
Flat bands of twisted bilayer graphene
======================================

How the four bands at the Fermi level narrow as the twist shrinks. Three angles down to 3.15 degrees run here in a
minute; the magic angle (11,164 atoms) is the same with ``m=30``, and takes some minutes: ``docs/graphene.md``.
"""

import numpy as np

from ase_wander import WanderCalculator, relax
from ase_wander.moire import twisted_bilayer
from ase_wander.plotting import new_axes, plot_bands, save_figure

calculator = WanderCalculator("graphene-bilayer", dtype="float32")

# %%
# Relaxed cells, their Hamiltonians, and the bands nearest the Fermi level. The flat bands are the two below and the two
# above it: their width is counted from the lowest to the highest energy along the path.
angles, widths = [], []
for m in (3, 6, 10):
    atoms = twisted_bilayer("graphene", m=m, r=1)
    atoms.calc = calculator
    relax(atoms)
    h = calculator.get_wannier_hamiltonian(atoms)
    bs = h.band_structure("KGMK", npoints=40, n_bands=12)
    flat = np.isin(bs.band_indices, np.arange(h.n_occupied - 2, h.n_occupied + 2))
    energies = bs.energies[0][:, flat]
    angles.append(atoms.info["twist_angle"])
    widths.append(energies.max() - energies.min())
    print(f"{angles[-1]:.2f} degrees, {len(atoms)} atoms: flat bands {1e3 * widths[-1]:.0f} meV wide")

save_figure(plot_bands(bs, window=(-0.8, 0.8), title=f"graphene, {angles[-1]:.2f}°"), "graphene_bands.png")

# %%
# The velocity of the Dirac electrons, and with it the width, goes to zero near 1.05 degrees (Bistritzer and MacDonald,
# PNAS 108, 12233, 2011).
ax = new_axes(4.2, 3.2)
ax.plot(angles, widths, "o-")
ax.set(xlabel="twist (degrees)", ylabel="width of the flat bands (eV)", xlim=(0, None), ylim=(0, None))
save_figure(ax, "graphene_width.png")

# %%
# Where a flat state lives: at Γ it avoids the AA regions, which stand at the corners of the cell. At K the states lean
# towards them: try ``[[1 / 3, 1 / 3, 0]]``.
from ase_wander.electronic.properties.analysis import density_map  # noqa: E402

_, states = h.eigenstates([[0, 0, 0]], n_bands=4)
points, density = density_map(h, states[0][:, 1], shape=(90, 90))
ax = new_axes(4.2, 4.0)
ax.pcolormesh(points[..., 0], points[..., 1], density, shading="gouraud", cmap="magma")
ax.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)", title="a state at Γ next to the Fermi level")
save_figure(ax, "graphene_state.png")
