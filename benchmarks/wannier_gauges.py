"""Gauges of graphene's p_z: a frozen window, the iterations of wannier90.x, weights that fade; locality and bands of each.

    python benchmarks/wannier_gauges.py                    # AB bilayer, recipe of models/graphene-bilayer; minutes
    python benchmarks/wannier_gauges.py --length 14        # coarser grid

DFT once (GPAW), then for every gauge: the spread, the largest element of H beyond 6, 8 and 10 Å, and how far the bands of H,
cut at 8, 10 and 12 Å or not at all, are from DFT along Γ-M-K-Γ (rms inside the window), where no k-point of the grid helps.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms

from ase_wander.data import gpaw_dft
from ase_wander.data.bands_check import check_bands, path_eigenvalues
from ase_wander.data.labels import Labels
from ase_wander.data.overlaps import all_overlaps
from ase_wander.data.recipe import Recipe
from ase_wander.data.wannier90_run import bands_of_labels, localised, wannierise

CONFIG = Path(__file__).resolve().parents[1] / "models" / "graphene-bilayer" / "data.yaml"
CUTS = (8.0, 10.0, 12.0, np.inf)


def bernal(gap=3.35, vacuum=12.0):
    """AB bilayer, four atoms."""
    cell = np.array([[2.46, 0, 0], [-1.23, 2.46 * 0.75 ** 0.5, 0], [0, 0, gap + vacuum]])
    scaled = np.array([[0, 0], [1 / 3, 2 / 3], [1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    positions = np.hstack([scaled @ cell[:2, :2], vacuum / 2 + gap * np.array([[0], [0], [1], [1]])])
    return Atoms("C4", positions=positions, cell=cell, pbc=(True, True, False))


def reference(atoms, recipe):
    """(GPAW calculator, labels, (path, energies)), all relative to the vacuum."""
    calculator = gpaw_dft._calculator(recipe, atoms, None)
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    bottom, top = gpaw_dft.vacuum_levels(calculator)
    vacuum = 0.5 * (bottom + top)
    kpts, weights, values, amplitudes = gpaw_dft.bloch_states(calculator, atoms, recipe)
    labels = Labels(atoms=atoms, energy=energy, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6), efermi=calculator.get_fermi_level() - vacuum,
                    kpts=kpts, kweights=weights, grid=np.array(recipe.grid(atoms)), eigenvalues=values - vacuum, amplitudes=amplitudes,
                    vacuum_top=top, vacuum_bottom=bottom)
    path, energies = path_eigenvalues(calculator, atoms, 12, npoints=31)
    return calculator, labels, (path, energies - vacuum)


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
    errors = "".join(f"{1e3 * check_bands(labels, recipe, truncated(arrays, cut), path[0].kpts, path[1]).rms:8.1f}" for cut in CUTS)
    print(f"{name:42s}{omega:8.2f}{tails}{errors}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=float, default=28.0, help="k-grid, Å; default %(default)s")
    arguments = parser.parse_args()
    recipe = Recipe.from_dict(yaml.safe_load(CONFIG.read_text())["recipe"])
    # the sigma bands' top at Γ, 3 eV below the Fermi level, is not the orbitals': the window ends above it
    recipe = replace(recipe, length=arguments.length, window=(-2.8, 2.0))
    hard = replace(recipe, fade=None)
    atoms = bernal()
    calculator, labels, path = reference(atoms, recipe)
    n_bands = labels.eigenvalues.shape[1]
    window = {"dis_froz_min": labels.efermi + recipe.window[0], "dis_froz_max": labels.efermi + recipe.window[1]}

    def overlaps(kpts, neighbours):
        return all_overlaps(calculator, kpts, neighbours, n_bands)

    print(f"AB bilayer graphene, grid {labels.grid[0]} x {labels.grid[1]}, {n_bands} bands, window {recipe.window[0]} to {recipe.window[1]} eV")
    print(f"{'':42s}{'spread':>8s}{'|H| beyond (meV)':>24s}{'bands, H cut at (meV)':>32s}")
    print(f"{'gauge':42s}{'(Å²)':>8s}{'6 Å':>8s}{'8 Å':>8s}{'10 Å':>8s}{'8 Å':>8s}{'10 Å':>8s}{'12 Å':>8s}{'uncut':>8s}")
    with tempfile.TemporaryDirectory() as folder:
        start = wannierise(bands_of_labels(labels, hard), overlaps, Path(folder) / "start", **window)
        row("frozen window, projection only", start.omega["total"], labels, hard, path)
        for dis, num in ((200, 0), (200, 100)):
            after, result = localised(labels, hard, overlaps, Path(folder) / f"{dis}_{num}", dis_num_iter=dis, num_iter=num)
            row(f"frozen window, dis_num_iter {dis}, num_iter {num}", result.omega["total"], after, hard, path)
        faded = wannierise(bands_of_labels(labels, recipe, gauge=True), overlaps, Path(folder) / "faded")
        row("weights that fade, projection only", faded.omega["total"], labels, recipe, path)
        bands = bands_of_labels(labels, recipe, gauge=True)
        moved = wannierise(bands, overlaps, Path(folder) / "moved", num_iter=100)
        after = replace(labels, kpts=bands.kpts, kweights=np.full(len(bands.kpts), 1 / len(bands.kpts)), eigenvalues=bands.eigenvalues,
                        amplitudes=moved.gauge.conj())
        row("weights that fade, num_iter 100", moved.omega["total"], after, replace(recipe, fade={"height": 1.0, "centre": 0.0, "width": 1.0, "gate": 0.0}), path)
        _, hk = labels.hamiltonian(hard)
        theirs = np.array([start.hamiltonian.at_k(k).toarray() for k in labels.kpts])
        print(f"wannier90.x (dis_num_iter 0, num_iter 0) against the projection in memory: {np.abs(hk - theirs).max():.1e} eV in H(k)")


if __name__ == "__main__":
    main()
