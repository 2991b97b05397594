"""
The gap against temperature
===========================

The gap of a MoS2 bilayer against temperature: molecular dynamics and bands from one model; then what moves it.

A 3 x 3 cell (54 atoms), in which K folds onto Γ, and 0.4 ps at each temperature with classical nuclei: a few minutes,
which show the scatter of the gap rather than its trend. Real work takes larger cells, runs of tens of picoseconds, and
zero-point motion, which classical nuclei lack and which matters below the Debye temperature.
"""

import numpy as np
from ase import units
from ase.build import make_supercell
from ase.io import Trajectory
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_wander import WanderCalculator
from ase_wander.electronic.properties.coupling import deformation_potentials, electron_phonon, zero_point_pattern
from ase_wander.model.derivatives import hamiltonian_derivative
from ase_wander.moire import twisted_bilayer
from ase_wander.plotting import new_axes, save_figure

GAMMA = [[0.0, 0.0, 0.0]]
calculator = WanderCalculator("mos2-bilayer")
cell = twisted_bilayer("MoS2", angle=0.0, stacking="H")
start = make_supercell(cell, np.diag([3, 3, 1]))

# %%
# A trajectory at every temperature, and the gap of every tenth frame of its second half.
temperatures, gaps = [0, 150, 300, 450], []
for temperature in temperatures:
    atoms = start.copy()
    atoms.calc = calculator
    if temperature == 0:
        gaps.append([calculator.get_wannier_hamiltonian(atoms).band_gap(GAMMA)])
        continue
    generator = np.random.RandomState(temperature)
    thermalize_momenta(atoms, temperature, rng=generator)
    dynamics = Langevin(
        atoms, 2 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=generator, fixcm=False
    )
    with Trajectory(f"md_{temperature}K.traj", "w", atoms) as trajectory:
        dynamics.attach(trajectory, interval=10)
        dynamics.run(200)
    with Trajectory(f"md_{temperature}K.traj") as frames:
        gaps.append([calculator.get_wannier_hamiltonian(frame).band_gap(GAMMA) for frame in frames[len(frames) // 2 :]])

mean = [np.mean(g) for g in gaps]
error = [
    np.std(g) / np.sqrt(max(len(g) - 1, 1)) for g in gaps
]  # of frames that are not quite independent: a lower bound
for t, m, e, g in zip(temperatures, mean, error, gaps):
    print(f"{t:4d} K: gap {m:.4f} +- {e:.4f} eV ({len(g)} frames)")
# Error of the slope of a straight line through means of these errors; at rest the gap has none.
t = np.array(temperatures) - np.mean(temperatures)
slope, slope_error = t @ mean / (t @ t), np.sqrt((t**2) @ np.square(error)) / (t @ t)
trend = "a trend" if abs(slope) > 3 * slope_error else "no trend beyond the scatter of so short runs"
print(f"dE_gap/dT = {1e3 * slope:.2f} +- {1e3 * slope_error:.2f} meV/K: {trend}")

# %%
# What a biaxial strain does to the gap at K, from dH/d(strain): no second calculation, no step.
K = np.array([1 / 3, 1 / 3, 0])
h = calculator.get_wannier_hamiltonian(cell)
energies, states = (x[0] for x in h.eigenstates(K))
dh = hamiltonian_derivative(calculator.model, cell, strain=np.diag([1.0, 1.0, 0.0]))
slopes, _ = deformation_potentials(dh, K, energies, states, tolerance=1e-4)
edge = h.n_occupied
print(
    f"deformation potentials at K: valence {slopes[edge - 1]:.2f} eV, conduction {slopes[edge]:.2f} eV per unit of "
    "biaxial strain"
)

# %%
# How strongly the out-of-plane breathing of each layer (A1g: sulfur against sulfur, 405 cm^-1) couples to the edges.
pattern = np.zeros((len(cell), 3))
for layer in (0, 1):
    sulfur = np.flatnonzero((cell.arrays["layer"] == layer) & (cell.symbols == "S"))
    low, high = sulfur[np.argsort(cell.positions[sulfur, 2])]
    pattern[[low, high], 2] = -1, 1
energy = 405 * units.invcm
g = electron_phonon(
    hamiltonian_derivative(calculator.model, cell, zero_point_pattern(cell, pattern, energy)),
    K,
    states[:, edge - 1 : edge + 1],
)
print(f"A1g at K: |g| = {1e3 * abs(g[0, 0]):.1f} meV (valence), {1e3 * abs(g[1, 1]):.1f} meV (conduction)")

ax = new_axes(4.6, 3.4)
ax.errorbar(temperatures, mean, error, fmt="o", capsize=3)
ax.plot(temperatures, np.polyval(np.polyfit(temperatures, mean, 1), temperatures), lw=1, color="0.5")
ax.set(xlabel="temperature (K)", ylabel="gap (eV)")
save_figure(ax, "gap_temperature.png")
