"""Where the errors of a twisted bilayer's Hamiltonian sit: by class of elements, and which of them move the top state.

    python benchmarks/twisted_classes.py              # mos2-bilayer: twisted cells beside untwisted ones of many atoms
    python benchmarks/twisted_classes.py --model runs/new --range 7 12

First table: MAE of the elements within `--range` (Å), meV, on-site, inside the layers and between them, and the share
of all errors that the pairs between layers hold. Untwisted cells with several unit cells and displaced atoms tell what
displacements alone do; what twisted cells have beyond that comes from the twist. "Other layer": how much the model's
elements inside a layer change when the other layer is taken away, the most that its orientation can do to them. Second
table: error of the top valence state at Γ less the mean error of the 11 states below it, with one class after the other
taken from the reference, against the states of the reference's own elements.
"""

import argparse
from dataclasses import replace

import numpy as np

from ase_wander import load_model
from ase_wander.catalogue import reference_data
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.blocks import PairBlocks
from ase_wander.evaluation.hamiltonian_errors import hamiltonian_errors, n_orbitals
from ase_wander.evaluation.twist import gamma_lag

KINDS = ("on-site", "intra-layer", "inter-layer")


def kinds_of(configuration, blocks):
    """Place in KINDS of every pair of `blocks`, (n_pairs,)."""
    layers = configuration.layers
    return np.where(blocks.onsite, 0, 1 + (layers[blocks.pair_i] != layers[blocks.pair_j]))


def with_reference(predicted, reference, kinds, kind):
    """Predicted blocks on the pairs of the reference, those of one kind as the reference has them; None: all predicted.

    Pairs that the model leaves out are zero.
    """
    place = predicted.find(reference.pair_i, reference.pair_j, reference.pair_shift)
    block = np.zeros_like(reference.block)
    block[np.repeat(place >= 0, reference.sizes)] = predicted.take(place[place >= 0]).block
    kept = np.repeat(kinds == kind, reference.sizes) if kind is not None else np.zeros(len(block), bool)
    return replace(reference, block=np.where(kept, reference.block, block), n_electrons=predicted.n_electrons)


def element_row(model, configuration, low, high, predicted):
    """MAE by kind (eV; nan where there is none) and the share of the pairs between layers in the sum of errors."""
    found = hamiltonian_errors(model, configuration, high, predicted)
    error, inside = np.abs(found["predicted"] - found["reference"]), found["distance"] >= low
    sums = [(error[inside & (found["kind"] == k)].sum(), (inside & (found["kind"] == k)).sum()) for k in range(3)]
    total = sum(s for s, _ in sums)
    return [s / n if n else np.nan for s, n in sums] + [sums[2][0] / total]


def gamma_row(model, configuration, predicted):
    """`gamma_lag` (eV) of the prediction, then with one kind after the other taken from the reference.

    Less that of the reference's elements themselves, which stop at a cutoff.
    """
    data = configuration.load_blocks(n_orbitals(model, configuration))
    reference = PairBlocks.from_arrays(data)
    kinds = kinds_of(configuration, reference)
    lag = lambda blocks: gamma_lag(model, configuration, blocks)
    own = lag(replace(reference, n_electrons=predicted.n_electrons))
    return [lag(with_reference(predicted, reference, kinds, k)) - own for k in (None, *range(3))]


def effect_of_the_other_layer(model, configuration, low, high, predicted):
    """Mean change (eV) of the elements inside the layers, between `low` and `high` (Å), when each layer is alone."""
    atoms, layers, changes = configuration.atoms, configuration.layers, []
    for layer in np.unique(layers):
        members = np.flatnonzero(layers == layer)
        alone = model.hamiltonian(atoms[members], np.zeros(len(members), int))
        distance = np.linalg.norm(alone.vectors(atoms[members]), axis=1)
        alone = alone.take((distance >= max(low, 1e-6)) & (distance < high))
        place = predicted.find(members[alone.pair_i], members[alone.pair_j], alone.pair_shift)
        changes.append(np.abs(alone.block - predicted.take(place).block))
    return float(np.concatenate(changes).mean())


def cells(name, folders):
    """Configurations with a Hamiltonian: untwisted bilayers of more than six atoms, then those of `folders`."""
    untwisted = [c for c in load_dataset(reference_data(name) / "aligned") if len(c.atoms) > 6 and c.sigma > 0]
    found = untwisted + [c for folder in folders for c in load_dataset(folder)]
    return [c for c in found if c.hamiltonian is not None and len(set(c.layers)) > 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("twisted", nargs="*", help="folders of references; default: those of mos2-bilayer, and others")
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--range", nargs=2, type=float, default=(0.0, 12.0), metavar=("FROM", "TO"))
    arguments = parser.parse_args()
    model, data = load_model(arguments.model), "mos2-bilayer"
    folders = arguments.twisted or [reference_data(data) / "twisted", "benchmarks/twisted_cells"]
    whole, gammas = set(model.config.get("trained_whole", ())), []
    print(f"model {model.name}, weights {model.digest[:12]}\n")
    print(f"| cell | {' | '.join(KINDS)} | share between layers | other layer |")
    print("|---|---|---|---|---|---|")
    for c in cells(data, folders):
        predicted = model.hamiltonian(c.atoms, c.layers)
        *errors, share = element_row(model, c, *arguments.range, predicted)
        effect = effect_of_the_other_layer(model, c, *arguments.range, predicted)
        label = f"{c.name}: {len(c.atoms)} atoms, σ {c.sigma:g} Å{', trained on whole' * (c.name in whole)}"
        print(f"| {label} | " + " | ".join(f"{1e3 * e:.3f}" for e in errors), end="")
        print(f" | {share:.2f} | {1e3 * effect:.3f} |", flush=True)
        gammas.append((label, gamma_row(model, c, predicted)))
    headings = " | ".join(f"{kind} of the reference" for kind in KINDS)
    print(f"\n| cell | Γ, all predicted | {headings} |\n|---|---|---|---|---|")
    for label, lags in gammas:
        print(f"| {label} | " + " | ".join(f"{1e3 * x:+.1f}" for x in lags) + " |")


if __name__ == "__main__":
    main()
