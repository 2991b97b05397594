"""Gauges of graphene's p_z: a frozen window, the iterations of wannier90.x, weights that fade.

Locality and bands of each.

    python benchmarks/wannier_gauges.py                    # AB bilayer, recipe of models/graphene-bilayer; minutes
    python benchmarks/wannier_gauges.py --length 14        # coarser grid
    python benchmarks/wannier_gauges.py --only p1_0017 --projection-only --fade 250 5 6 0.1 --fade 60 5 5 0.3
                                                           # a configuration of the plan: weights (height, centre,
                                                           width, gate) compared

DFT once (GPAW), then for every gauge: the spread, the largest element of H beyond 6, 8 and 10 Å, and how far the bands
of H, cut at 8, 10 and 12 Å or not at all, are from DFT along Γ-M-K-Γ (rms inside the window), where no k-point of the
grid helps.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.dft import gpaw as gpaw_dft
from ase_wander.data.dft.bands_check import check_bands, path_states, wannier_hamiltonian
from ase_wander.data.dft.bands_figure import plot_check, save
from ase_wander.data.dft.labels import Labels
from ase_wander.data.wannier.overlaps import all_overlaps
from ase_wander.data.wannier.wannier90_run import bands_of_labels, localised, wannierise

CONFIG = Path(__file__).resolve().parents[1] / "models" / "graphene-bilayer" / "data.yaml"
CUTS = (8.0, 10.0, 12.0, np.inf)

#: Weights that leave a gauge as it is.
KEEP = {"height": 1.0, "centre": 0.0, "width": 1.0, "gate": 0.0}


def bernal(gap=3.35, vacuum=12.0):
    """AB bilayer, four atoms."""
    cell = np.array([[2.46, 0, 0], [-1.23, 2.46 * 0.75**0.5, 0], [0, 0, gap + vacuum]])
    scaled = np.array([[0, 0], [1 / 3, 2 / 3], [1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    positions = np.hstack([scaled @ cell[:2, :2], vacuum / 2 + gap * np.array([[0], [0], [1], [1]])])
    return Atoms("C4", positions=positions, cell=cell, pbc=(True, True, False))


def reference(atoms, recipe):
    """(GPAW calculator, labels, (path, energies, shares)), energies relative to the vacuum."""
    calculator = gpaw_dft._calculator(recipe, atoms, None)
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    bottom, top = gpaw_dft.vacuum_levels(calculator)
    vacuum = 0.5 * (bottom + top)
    kpts, weights, values, amplitudes = gpaw_dft.bloch_states(calculator, atoms, recipe)
    labels = Labels(
        atoms=atoms,
        energy=energy,
        forces=np.zeros((len(atoms), 3)),
        stress=np.zeros(6),
        efermi=calculator.get_fermi_level() - vacuum,
        kpts=kpts,
        kweights=weights,
        grid=np.array(recipe.grid(atoms)),
        eigenvalues=values - vacuum,
        amplitudes=amplitudes,
        vacuum_top=top,
        vacuum_bottom=bottom,
    )
    path, energies, shares = path_states(calculator, atoms, recipe, npoints=31)
    return calculator, labels, (path, energies - vacuum, shares)


def truncated(arrays, reach):
    """The Hamiltonian file without pairs beyond `reach` (Å); one orbital per atom."""
    keep = arrays["pair_distance"] <= reach
    names = ("pair_i", "pair_j", "pair_shift", "pair_distance", "block")
    return arrays | {name: arrays[name][keep] for name in names} | {"block_ptr": np.arange(keep.sum() + 1)}


def row(name, omega, labels, recipe, path):
    """One line of the table."""
    arrays = labels.hamiltonian_file(replace(recipe, extent=1e3))
    size, distance = np.abs(arrays["block"]), arrays["pair_distance"]
    tails = "".join(f"{1e3 * size[distance > r].max(initial=0):8.1f}" for r in (6, 8, 10))
    errors = "".join(
        f"{1e3 * check_bands(labels, recipe, truncated(arrays, cut), path[0].kpts, *path[1:]).rms:8.1f}" for cut in CUTS
    )
    print(f"{name:46s}{omega:8.2f}{tails}{errors}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=float, default=28.0, help="k-grid, Å; default %(default)s")
    parser.add_argument("--only", metavar="NAME", help="configuration of the plan instead of AB stacking")
    parser.add_argument(
        "--fade",
        nargs=4,
        type=float,
        action="append",
        metavar=("HEIGHT", "CENTRE", "WIDTH", "GATE"),
        help="weights instead of the recipe's; may be given several times",
    )
    parser.add_argument("--projection-only", action="store_true", help="without the runs that iterate")
    parser.add_argument("--figure", metavar="FILE", help="DFT on the path against the bands of H with the last weights")
    arguments = parser.parse_args()
    config = load_campaign(CONFIG, None if arguments.only else 1, [arguments.only] if arguments.only else None)
    atoms = config.configurations[0] if arguments.only else bernal()
    recipe = config.recipe_of(arguments.only or "p1")
    fades = [dict(zip(("height", "centre", "width", "gate"), fade)) for fade in arguments.fade or []] or [recipe.fade]
    # the sigma bands' top at Γ, 3 eV below the Fermi level, is not the orbitals': the window ends above it
    recipe = replace(recipe, length=arguments.length, window=(-2.8, 2.0))
    hard = replace(recipe, fade=None)
    calculator, labels, path = reference(atoms, recipe)
    n_bands = labels.eigenvalues.shape[1]
    window = {"dis_froz_min": labels.efermi + recipe.window[0], "dis_froz_max": labels.efermi + recipe.window[1]}

    def overlaps(kpts, neighbours):
        return all_overlaps(calculator, kpts, neighbours, n_bands)

    print(
        f"{arguments.only or 'AB bilayer graphene'}, grid {labels.grid[0]} x {labels.grid[1]}, {n_bands} bands, "
        f"window {recipe.window[0]} to {recipe.window[1]} eV"
    )
    print(f"{'':46s}{'spread':>8s}{'|H| beyond (meV)':>24s}{'bands, H cut at (meV)':>32s}")
    print(
        f"{'gauge':46s}{'(Å²)':>8s}{'6 Å':>8s}{'8 Å':>8s}{'10 Å':>8s}{'8 Å':>8s}{'10 Å':>8s}{'12 Å':>8s}{'uncut':>8s}"
    )
    with tempfile.TemporaryDirectory() as folder:
        start = wannierise(bands_of_labels(labels, hard), overlaps, Path(folder) / "start", **window)
        row("frozen window, projection only", start.omega["total"], labels, hard, path)
        for dis, num in () if arguments.projection_only else ((200, 0), (200, 100)):
            after, result = localised(
                labels, hard, overlaps, Path(folder) / f"{dis}_{num}", dis_num_iter=dis, num_iter=num
            )
            row(f"frozen window, dis_num_iter {dis}, num_iter {num}", result.omega["total"], after, hard, path)
        for number, fade in enumerate(fades):
            mine, name = (
                replace(recipe, fade=fade),
                "weights ({height:g}, {centre:g}, {width:g}, {gate:g})".format(**fade),
            )
            bands = bands_of_labels(labels, mine, gauge=True)
            faded = wannierise(bands, overlaps, Path(folder) / f"faded{number}")
            row(f"{name}, projection only", faded.omega["total"], labels, mine, path)
            if arguments.projection_only:
                continue
            moved = wannierise(bands, overlaps, Path(folder) / f"moved{number}", num_iter=100)
            after = replace(
                labels,
                kpts=bands.kpts,
                kweights=np.full(len(bands.kpts), 1 / len(bands.kpts)),
                eigenvalues=bands.eigenvalues,
                amplitudes=moved.gauge.conj(),
            )
            row(f"{name}, num_iter 100", moved.omega["total"], after, replace(recipe, fade=KEEP), path)
        if arguments.figure:
            mine = replace(recipe, fade=fades[-1])
            check = check_bands(labels, mine, None, path[0].kpts, *path[1:])
            save(plot_check(wannier_hamiltonian(labels, mine), check, labels, mine, dft=path), arguments.figure)
        _, hk = labels.hamiltonian(hard)
        theirs = np.array([start.hamiltonian.at_k(k).toarray() for k in labels.kpts])
        print(
            "wannier90.x (dis_num_iter 0, num_iter 0) against the projection in memory: "
            f"{np.abs(hk - theirs).max():.1e} eV in H(k)"
        )


if __name__ == "__main__":
    main()
