"""CPU time of forces and of the Hamiltonian of a large twisted cell with a shipped model, and of the slab's potential.

python benchmarks/model_speed.py [--m 9 --r 1]
"""

import argparse
import time

import numpy as np


def best_of(function, repeats=3):
    """Shortest CPU time (s) of `repeats` calls after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--m", type=int, default=9)
    parser.add_argument("--r", type=int, default=1)
    arguments = parser.parse_args()

    import torch

    from ase_wander import WanderCalculator, WannierHamiltonian
    from ase_wander.moire import twisted_bilayer

    torch.set_num_threads(1)
    atoms = twisted_bilayer("MoS2", m=arguments.m, r=arguments.r)
    print(f"{len(atoms)} atoms, (m, r) = ({arguments.m}, {arguments.r}), one thread")
    print("| dtype | forces s | Hamiltonian s | of it potential of the charges s | non-zeros |")
    print("|---|---|---|---|---|")
    for dtype in ("float64", "float32"):
        atoms.calc = WanderCalculator(arguments.model, dtype=dtype)
        generator = np.random.default_rng(0)

        def forces():
            atoms.positions += generator.normal(scale=1e-3, size=atoms.positions.shape)
            return atoms.get_forces()

        t_forces = best_of(forces)
        model, layers = atoms.calc.model, atoms.calc.layers(atoms)
        # of the model, since a calculator keeps the last H
        hamiltonian = lambda: WannierHamiltonian.from_pairs(atoms, model.shells, model.hamiltonian(atoms, layers))
        t_hamiltonian = best_of(hamiltonian, 2)
        charges = torch.from_numpy(generator.normal(scale=0.1, size=len(atoms)))
        slab = lambda: model.slab(model.positions(atoms), atoms.cell.array)
        t_potential = f"{best_of(lambda: slab()(charges - charges.mean())):.3f}" if slab() else ""
        nnz = sum(b.nnz for b in hamiltonian().blocks)
        print(f"| {dtype} | {t_forces:.2f} | {t_hamiltonian:.2f} | {t_potential} | {nnz:,} |")


if __name__ == "__main__":
    main()
