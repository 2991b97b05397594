"""Steps to the minimum, and how far the usual stop is from it: optimizers on twisted MoS2, one thread.

    python benchmarks/relaxation.py                 # 42, 114 and 366 atoms
    python benchmarks/relaxation.py --cells 9,1     # 1,626 atoms

Rows: ASE's FIRE to a largest force of 0.01 eV/Å, its L-BFGS to 0.0001 eV/Å, and `ase_wander.relax` as it is. Distance
is the mean of the interlayer distance, gap that between Γ, M and K. Seconds are CPU time of the process.
"""

import argparse
import time

import torch
from ase.optimize import FIRE, LBFGS

from ase_wander import WanderCalculator, relax
from ase_wander.moire import interlayer_distance, twisted_bilayer

POINTS = [[0, 0, 0], [0.5, 0, 0], [1 / 3, 1 / 3, 0]]


def ase(optimizer, fmax):
    """Relax with one of ASE's optimizers; returns the steps."""

    def run(atoms):
        with optimizer(atoms, logfile=None) as dynamics:
            dynamics.run(fmax=fmax, steps=1000)
            return dynamics.nsteps

    return run


ROWS = {
    "FIRE, 0.01 eV/Å": ase(FIRE, 0.01),
    "L-BFGS, 0.0001 eV/Å": ase(LBFGS, 1e-4),
    "relax": lambda atoms: relax(atoms).steps,
    "relax, 0.0001 eV/Å": lambda atoms: relax(atoms, 1e-4, 1e-4).steps,
}


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=["1,1", "2,1", "4,1"], metavar="M,R")
    options = parser.parse_args()
    torch.set_num_threads(1)
    calculator = WanderCalculator("mos2-bilayer")
    print("| atoms | optimizer | steps | CPU s | distance (Å) | gap (eV) |\n|---|---|---|---|---|---|")
    for cell in options.cells:
        for name, run in ROWS.items():
            atoms = twisted_bilayer("MoS2", *map(int, cell.split(",")))
            atoms.calc = calculator
            begin = time.process_time()
            steps, seconds = run(atoms), time.process_time() - begin
            distance = interlayer_distance(atoms)[1].mean()
            gap = calculator.get_wannier_hamiltonian(atoms).band_gap(POINTS)
            print(f"| {len(atoms)} | {name} | {steps} | {seconds:.1f} | {distance:.4f} | {gap:.4f} |", flush=True)


if __name__ == "__main__":
    main()
