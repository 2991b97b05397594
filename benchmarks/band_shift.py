"""Eigenvalue errors of a model near the Fermi level, split into a shift common to all levels and the rest.

    python benchmarks/band_shift.py                                                # graphene-bilayer on its own
    held-out cells python benchmarks/band_shift.py --model mos2-bilayer --data models/mos2-bilayer/data

Reference: the eigenvalues on the k-grid of the data. Only configurations of the validation split, sigma up to 0.03 Å.
"""

import argparse
from pathlib import Path

import numpy as np

from ase_wander import WanderCalculator, load_model
from ase_wander.data.dataset import is_validation, load_dataset


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="graphene-bilayer")
    parser.add_argument(
        "--data", default=str(Path(__file__).resolve().parents[1] / "models" / "graphene-bilayer" / "data")
    )
    parser.add_argument("--window", type=float, default=0.4, help="eV on either side of the Fermi level")
    arguments = parser.parse_args()
    calculator = WanderCalculator(load_model(arguments.model))
    rows = []
    print("| configuration | sigma Å | gap Å | shift meV | rest, MAE meV |\n|---|---|---|---|---|")
    for c in load_dataset(arguments.data):
        if not is_validation(c.name) or not c.hamiltonian or c.assumed_sigma > 0.03:
            continue
        with np.load(c.hamiltonian) as data:
            kpts, reference, fermi = data["kpts"], data["eigenvalues"], float(data["efermi"])
        error = calculator.get_wannier_hamiltonian(c.atoms).eigenvalues(kpts) - reference
        near = np.abs(reference - fermi) < arguments.window
        if not near.any():
            continue
        shift = np.median(error[near])
        rows.append((abs(shift), np.abs(error[near] - shift).mean()))
        print(f"| {c.name} | {c.sigma:g} | {c.info.get('gap', 0):.2f} | {1e3 * shift:+.1f} | {1e3 * rows[-1][1]:.1f} |")
    rows = 1e3 * np.array(rows)
    print(
        f"median over {len(rows)} configurations: shift {np.median(rows[:, 0]):.1f} meV, rest "
        f"{np.median(rows[:, 1]):.1f} meV; "
        f"mean {rows[:, 0].mean():.1f} and {rows[:, 1].mean():.1f} meV"
    )


if __name__ == "__main__":
    main()
