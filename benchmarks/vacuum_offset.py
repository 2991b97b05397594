"""How much of a layer's vacuum-level offset a regression in strain and N_out/N_in recovers, and what needs none.

    python benchmarks/vacuum_offset.py models/mos2-bilayer/data/aligned [--model mos2-bilayer] [--degree 2] [--out
    offset.json]

1. The mean on-site energy of every layer of the data is taken away, as if each layer had a zero of its own. C(eps, x)
is fitted to
   what was taken from the training split and asked for what was taken from the held-out one.
2. A model trained with the vacuum level as zero: two monolayers, one stretched and one compressed along x, 30 Å apart
in one cell. Their levels
   must be those of each monolayer alone, without any offset.
"""

import argparse

import numpy as np
from ase import Atoms

from ase_wander import WannierHamiltonian, load_model
from ase_wander.data.dataset import SIGMA_MILD, load_dataset, split
from ase_wander.electronic.vacuum_offset import VacuumOffset, layer_levels, layer_ratios, layer_strains
from ase_wander.moire import twisted_bilayer


def layers_of(configurations, area):
    """Strains, ratios and mean on-site energies (eV) of all layers."""
    rows = []
    for c in configurations:
        if c.hamiltonian is not None and c.assumed_sigma <= SIGMA_MILD:
            h = WannierHamiltonian.from_dataset_file(c.hamiltonian, cutoff=1.0, n_electrons=2.0)
            rows += zip(layer_strains(c.atoms, c.layers, area), layer_ratios(c.layers), layer_levels(h, c.layers))
    return np.array(rows).T


def regression(data, area, degree, out=None):
    """Print the table of the fit."""
    training, held_out = split(load_dataset(data))
    observed = layers_of(training, area)
    offset = VacuumOffset.fit(*observed, area, degree)
    strain, ratio, level = layers_of(held_out, area)
    error = offset(strain, ratio, extrapolate=True) - level
    print("C(eps, x) / eV = " + " ".join(f"{c:+.3f} eps^{p} x^{q}" for (p, q), c in offset.coefficients.items()))
    print(
        f"| split | layers | spread of the offset meV | rms of what the regression leaves meV |\n|---|---|---|---|\n"
        f"| training | {observed.shape[1]} | {1e3 * observed[2].std():.1f} | {1e3 * offset.rms:.1f} |\n"
        f"| held out | {len(level)} | {1e3 * level.std():.1f} | {1e3 * np.sqrt((error**2).mean()):.1f} |"
    )
    if out:
        offset.save(out)


def monolayer(n, length, a, height):
    """`n` cells of MoS2 in a row along x that fill `length` (Å), mid-plane at `height`."""
    bilayer = twisted_bilayer("MoS2", angle=0.0, lattice_constant=a)
    layer = bilayer[bilayer.positions[:, 2] < bilayer.positions[:, 2].mean()].repeat((n, 1, 1))
    layer.set_cell([[length, 0, 0], *layer.cell.array[1:]], scale_atoms=True)
    layer.positions[:, 2] += height - layer.positions[layer.numbers == 42, 2].mean()
    return layer


def levels(model, atoms, layers):
    """Eigenvalues (eV) at Gamma and number of occupied bands."""
    *blocks, n_electrons = model.hamiltonian(atoms, layers)
    h = WannierHamiltonian.from_blocks(atoms, model.shells, *blocks, n_electrons)
    return h.eigenvalues([[0, 0, 0]])[0], h.n_occupied


def unequal_strain(model, n=16, distance=30.0):
    """Print levels of two monolayers of unequal strain in one cell against those of each alone."""
    a = model.config["equilibrium"]["a"]
    length = (n + 0.5) * a
    lower, upper = (monolayer(m, length, a, z) for m, z in ((n, 0.0), (n + 1, distance)))
    cell = lower.cell.array.copy()
    cell[2] = [0, 0, distance + 40]
    stack = Atoms(
        numbers=[*lower.numbers, *upper.numbers],
        positions=np.vstack([lower.positions, upper.positions]) + [0, 0, 20],
        cell=cell,
        pbc=(True, True, False),
    )
    layers = np.repeat([0, 1], [len(lower), len(upper)])
    strains = [length / (m * a) - 1 for m in (n, n + 1)]
    print(
        f"\nstrain along x {100 * strains[0]:+.2f} % and {100 * strains[1]:+.2f} %, {distance:g} Å apart, {len(stack)} "
        "atoms, levels at Gamma"
    )
    print(
        "| effective charges | valence edge of the lower layer alone eV | of the upper one | offset meV | together "
        "against alone, all levels: "
        "largest difference meV |\n|---|---|---|---|---|"
    )
    smearing, own = model.heads.smearing, model.heads.neutral
    other = {"layer": "cell", "cell": "layer"}[own]
    ways = (
        [(own, f"neutral by {own}, as trained"), (other, f"the same charges, neutral by {other}")] if smearing else []
    )
    for neutral, label in [*ways, (own, "none")]:
        model.heads.smearing, model.heads.neutral = 0 if label == "none" else smearing, neutral
        together, _ = levels(model, stack, layers)
        alone, edges = [], []
        for k in (0, 1):
            single = stack[layers == k]
            values, n_occupied = levels(model, single, np.zeros(len(single), int))
            alone.append(values)
            edges.append(values[n_occupied - 1])
        difference = together - np.sort(np.concatenate(alone))
        print(
            f"| {label} | {edges[0]:.4f} | {edges[1]:.4f} | {1e3 * (edges[0] - edges[1]):.1f} | "
            f"{1e3 * np.abs(difference).max():.4f} |"
        )
    model.heads.smearing, model.heads.neutral = smearing, own


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of the reference data")
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--degree", type=int, default=2)
    parser.add_argument("--out", help="write the fitted offset as JSON")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    regression(arguments.data, np.sqrt(3) / 2 * model.config["equilibrium"]["a"] ** 2, arguments.degree, arguments.out)
    unequal_strain(model)


if __name__ == "__main__":
    main()
