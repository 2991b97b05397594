"""Energy conservation in molecular dynamics of a twisted bilayer: drift and fluctuation of the total energy at constant
N, V, E.

    python benchmarks/nve.py                                  # 20 ps at 300 K and 1 fs of the 114-atom (2, 1) cell of
    MoS2 python benchmarks/nve.py --model graphene-bilayer --material graphene --m 3 --picoseconds 5

The drift is the slope of a straight line through the total energy after the first picosecond.
"""

import argparse
import time

import numpy as np
from ase import units
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE

from ase_wander import WanderCalculator
from ase_wander.moire import monolayer, twisted_bilayer


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--material", default="MoS2")
    parser.add_argument("--m", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=300.0, help="K, after equipartition")
    parser.add_argument("--timestep", type=float, default=1.0, help="fs")
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--figure", help="draw the total energy against time into this file")
    arguments = parser.parse_args()
    calculator = WanderCalculator(arguments.model, dtype=arguments.dtype)
    lattice = calculator.model.config["equilibrium"]
    atoms = twisted_bilayer(
        monolayer(arguments.material, lattice["a"], lattice.get("thickness")), m=arguments.m, r=1, gap=lattice["gap"]
    )
    atoms.calc = calculator
    FIRE(atoms, logfile=None).run(fmax=0.005, steps=300)
    # half of what is given to a relaxed structure becomes potential energy
    thermalize_momenta(atoms, 2 * arguments.temperature, exact_temperature=True, rng=np.random.default_rng(0))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, timestep=arguments.timestep * units.fs)
    times, energies, temperatures = [], [], []

    def record():
        times.append(dynamics.get_time() / (1e3 * units.fs))
        energies.append(1e3 * atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())

    dynamics.attach(record, interval=10)
    begin = time.perf_counter()
    dynamics.run(round(1e3 * arguments.picoseconds / arguments.timestep))
    seconds = time.perf_counter() - begin
    times, energies = np.array(times), np.array(energies)
    late = times >= min(1.0, 0.5 * times[-1])
    slope = np.polyfit(times[late], energies[late], 1)[0]
    print(
        f"{len(atoms)} atoms, {times[-1]:.1f} ps at {arguments.timestep:g} fs, "
        f"{np.mean(np.array(temperatures)[late]):.0f} K, {arguments.dtype}: "
        f"drift {slope:+.5f} meV/atom/ps, fluctuation {np.std(energies[late]):.4f} meV/atom rms, "
        f"largest deviation {np.abs(energies - energies[0]).max():.4f} meV/atom, "
        f"{1e3 * seconds * arguments.timestep / (1e3 * arguments.picoseconds):.1f} ms a step"
    )
    if arguments.figure:
        import matplotlib.pyplot as plt

        fig, axis = plt.subplots(figsize=(6, 3.2), constrained_layout=True)
        axis.plot(times, energies - energies[0], lw=0.7)
        axis.set(
            xlabel="time (ps)",
            ylabel="change of the total energy (meV/atom)",
            title=f"NVE, {len(atoms)} atoms, {np.mean(np.array(temperatures)[late]):.0f} K",
        )
        fig.savefig(arguments.figure, dpi=150)


if __name__ == "__main__":
    main()
