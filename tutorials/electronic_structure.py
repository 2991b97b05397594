"""
Electrons of a twisted bilayer
==============================

Electrons of a twisted MoS2 bilayer, one question after the other.

The 13.17 degree cell as built (114 atoms, 418 orbitals), so that this runs in a minute; relax it first for real work
(see first_light.py).
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ase_wander import WanderCalculator
from ase_wander.electronic.properties.analysis import band_group, density_map, fat_bands
from ase_wander.electronic.properties.dos import density_of_states
from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.properties.velocities import effective_mass
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.transforms import in_electric_field
from ase_wander.moire import twisted_bilayer

atoms = twisted_bilayer("MoS2", m=2, r=1)
atoms.calc = WanderCalculator("mos2-bilayer")
h = atoms.calc.get_wannier_hamiltonian(atoms)
h.save("h.npz")
print(h)

# %%
# The gap, and how flat the highest valence band is.
bs = h.band_structure("GMKG", npoints=40, n_bands=12)
valence = h.n_occupied - 1
group = band_group(bs.energies[0], bs.band_indices, [valence])
print(f"gap {h.band_gap():.3f} eV, Fermi level {-h.fermi_level():.3f} eV below vacuum")
print(f"highest valence band (number {valence}): width {1000 * group['width']:.0f} meV")

# %%
# Which layer its states live on. Both, equally: the twist does not distinguish them ...
layer = atoms.arrays["layer"]
_, weights = fat_bands(h, [[0, 0, 0]], n_bands=2, project="layer")
print("valence and conduction edge at G, weight on the lower layer:", weights["layer 0"][0].round(2))

# ... a field does. 0.1 V/Å, screened by an effective dielectric constant of 4.
biased = in_electric_field(h, 0.1, screening=4)
_, weights = fat_bands(biased, [[1 / 3, 1 / 3, 0]], n_bands=2, project="layer")
print(f"in a field the gap is {biased.band_gap():.3f} eV, weights at K", weights["layer 0"][0].round(2))

# %%
# Spin-orbit coupling splits the valence band at K.
spinor = with_spin_orbit(h)
top = spinor.eigenvalues([1 / 3, 1 / 3, 0], n_bands=8)[0]
print("spin-orbit: states at K", (top - top[3]).round(3), "eV")

# %%
# Hole mass at the highest point of the path, when the band stands alone there.
k_top = bs.path.kpts[np.argmax(bs.energies[0][:, list(bs.band_indices).index(valence)])]
try:
    print("hole masses", effective_mass(h, k_top, valence)[0].round(2), "at k =", k_top.round(3))
except ValueError as error:
    print(error)

# %%
# Density of states, and the moiré bands in the lower layer's own Brillouin zone.
dos = density_of_states(h, kpts=[[0, 0, 0], [0.5, 0, 0]], project="species")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4))
for part in dos:
    left.plot(part.get_energies(), part.get_weights(), label=part.info["label"])
left.set(xlabel="energy (eV)", ylabel="states / eV / cell")
left.legend()

molybdenum = np.flatnonzero((layer == 0) & (atoms.symbols == "Mo"))
away = atoms.get_distances(molybdenum[0], molybdenum[1:], mic=True, vector=True)[:, :2]
first = away[np.argmin(np.linalg.norm(away, axis=1))]
turn = np.array([[-0.5, np.sqrt(3) / 2], [-np.sqrt(3) / 2, -0.5]])
primitive = np.array([first, first @ turn])
line = np.linspace(0, 1, 25)[:, None] * np.array([1 / 3, 1 / 3, 0])
energies, weights = unfold(h, primitive, line, atoms=np.flatnonzero(layer == 0))
middle.scatter(np.repeat(np.arange(len(line)), energies.shape[1]), energies.ravel(), s=8 * weights.ravel(), color="C3")
middle.set(xlabel="Γ to K of the lower layer", ylabel="energy (eV)", ylim=(h.fermi_level() - 2, h.fermi_level() + 3))

# %%
# Where the highest valence state at G sits.
_, states = h.eigenstates([0, 0, 0], n_bands=2)
points, density = density_map(h, states[0][:, 0], shape=(80, 80))
right.pcolormesh(points[..., 0], points[..., 1], density, shading="gouraud", cmap="magma")
right.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")
figure.tight_layout()
figure.savefig("electronic_structure.png", dpi=120)
