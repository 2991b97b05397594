"""
The paper in one script
=======================

The paper in one script: relax MoS2 on MoS2 at 8.95 and 3.42 degrees, and compute the bands, with both models::

    python published_paper.py                                   the 8.95-degree cell with the shipped model
    python published_paper.py --published ../../shared/published   and with the paper's own networks, side by side
    python published_paper.py --large                           the 3.42-degree cell, 1308 atoms, too (long)

The cells are those of Qi, Gong, Yan, npj Comput. Mater. 2025, doi 10.1038/s41524-025-01668-5: one layer on
another that is strained to fit, (6,0) on (5,1) and (15,0) on (14,1).  It leaves one figure per cell.
"""

import argparse
import os

import matplotlib.pyplot as plt
import numpy as np

from ase_wander import WanderCalculator, load_published, relax
from ase_wander.moire import coincidence_cells, heterobilayer, interlayer_distance, monolayer
from ase_wander.plotting import plot_bands, plot_corrugation

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument(
    "--published",
    metavar="FOLDER",
    default=os.environ.get("ASE_WANDER_PUBLISHED"),
    help="root of the authors' public example",
)
parser.add_argument(
    "--shipped", metavar="MODEL", default="mos2-bilayer", help="name of the shipped model; empty for none"
)
parser.add_argument("--large", action="store_true", help="also the cell of 1308 atoms")
parser.add_argument("--fmax", type=float, default=0.03, help="eV/Å")
parser.add_argument("--dmax", type=float, default=0.005, help="largest displacement left to the minimum, Å")
parser.add_argument("--npoints", type=int, default=45)
arguments = parser.parse_args()

# %%
# The models.  Both go behind the same calculator; the published one has forces but no energy.
models = {arguments.shipped: arguments.shipped} if arguments.shipped else {}
if arguments.published:
    models["published"] = load_published(arguments.published)
else:
    print("no --published folder: only the shipped model runs")

# %%
# The cells.  Antiparallel layers; the bottom one keeps the example's 3.14 Å, the top one takes all the strain.
layer = monolayer("MoS2", lattice_constant=3.14, thickness=3.13)
cells = {"8.95": (201, (36, 31)), "3.42": (1308, (225, 211))}
for angle, (n_atoms, n_cells) in cells.items():
    if n_atoms > 201 and not arguments.large:
        continue
    near = float(angle)
    cell = next(
        c
        for c in coincidence_cells(
            layer, layer, max_atoms=n_atoms, max_strain=0.08, angle_range=(near - 0.01, near + 0.01)
        )
        if c.n_cells == n_cells
    )
    print(f"\n{cell}")
    rigid = heterobilayer(layer, layer, cell, stacking="H", weight=0.0, gap=6.4)

    figure, axes = plt.subplots(
        2, len(models), figsize=(4.9 * len(models), 8.2), squeeze=False, constrained_layout=True
    )
    for (name, model), (upper, lower) in zip(models.items(), axes.T):
        # 3. Relax, atoms and the distance of the layers.  Direct forces do not sum to zero: `relax` holds the centre of
        # mass of a model without an energy, so that the stack does not drift away.
        atoms = rigid.copy()
        atoms.calc = WanderCalculator(model)
        end = relax(atoms, arguments.fmax, arguments.dmax, steps=500)
        net = atoms.get_forces(apply_constraint=False).sum(axis=0)
        positions, distance = interlayer_distance(atoms)
        print(
            f"{name}: {end.steps} steps{'' if end.converged else ' (not converged)'}, about "
            f"{end.displacement_left:.4f} Å left to the minimum, net force {np.linalg.norm(net):.2e} eV/Å, "
            f"interlayer distance {distance.min():.2f} to {distance.max():.2f} Å"
        )
        plot_corrugation(atoms, positions, distance, title=f"{name}, {angle}°", ax=upper)

        # 4. Bands.  The published layer offsets hold for the strains of the 8.95-degree example: elsewhere they are not
        # known.
        if name == "published" and n_atoms != 201:
            lower.set_axis_off()
            lower.text(0.5, 0.5, "layer offsets not published", ha="center", va="center")
            continue
        h = atoms.calc.get_wannier_hamiltonian(atoms)
        bs = h.band_structure("GMKG", npoints=arguments.npoints, n_bands=40)
        gap = bs.energies[bs.energies > bs.reference].min() - bs.energies[bs.energies <= bs.reference].max()
        print(f"{name}: {h.n_orbitals} orbitals, gap along the path {gap:.3f} eV")
        plot_bands(bs, ax=lower)
    # One scale of energy for all, wide enough for the gap of every model.
    drawn = [ax for ax in axes[1] if ax.axison]
    windows = [ax.get_ylim() for ax in drawn]
    for ax in drawn:
        ax.set_ylim(max(low for low, _ in windows), max(high for _, high in windows))
    figure.savefig(f"published_paper_{angle}.png", dpi=150, bbox_inches="tight")
    plt.close(figure)
