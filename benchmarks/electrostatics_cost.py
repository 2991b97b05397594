"""What the electrostatics of a large twisted cell cost: potential of the effective charges against the whole of H,
energy against forces.

    python benchmarks/electrostatics_cost.py [--m 7 --r 1] [--threads 1] [--model mos2-bilayer]

Random weights of the shipped model's sizes stand in where a model has no electrostatic energy: time does not depend on
them.
"""

import argparse

import torch
from model_speed import best_of

from ase_wander import load_model
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.structure import find_layers

SMEARING = 1.5  # Å, of charges in the energy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--m", type=int, default=7)
    parser.add_argument("--r", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    model = load_model(arguments.model)
    atoms = twisted_bilayer(model.config["material"], m=arguments.m, r=arguments.r)
    layers = find_layers(atoms)
    whole = best_of(lambda: model.hamiltonian(atoms, layers), 2)
    charges = torch.randn(len(atoms), dtype=torch.float64)
    alone = best_of(lambda: model.slab(model.positions(atoms), atoms.cell.array)(charges))
    print(f"{len(atoms)} atoms, {arguments.threads} threads")
    print(
        f"Hamiltonian {whole:.2f} s, of which the potential of the charges {alone:.3f} s ({100 * alone / whole:.1f} %)"
    )

    def forces_of(smearing):
        torch.manual_seed(0)
        config = model.config | {"force_field": model.config.get("force_field", {}) | {"smearing": smearing}}
        fresh = WanderModel(config).double()
        return best_of(lambda: fresh.compute(atoms, layers))

    without, with_charges = forces_of(0.0), forces_of(SMEARING)
    print(
        f"energy and forces {without:.2f} s; with charges of {SMEARING:g} Å {with_charges:.2f} s "
        f"({with_charges / without:.1f} times)"
    )


if __name__ == "__main__":
    main()
