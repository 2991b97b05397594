"""A data set of bilayer graphene whose answers are known: springs and Lennard-Jones energies, Slater-Koster p_z
hoppings.

Hoppings of Moon and Koshino, PRB 87, 205404 (2013), eqs. 1-3, with the orbitals along the local normals:

    H_ij = V_pi(r) [n_i.n_j - (n_i.u)(n_j.u)] + V_sigma(r) (n_i.u)(n_j.u),     u = r_ij / r,
    V_pi = -2.7 exp(-(r - a0) / d),  V_sigma = 0.48 exp(-(r - d0) / d),  a0 = 1.42 Å, d0 = 3.35 Å, d = 0.184 x 2.46 Å,

smoothly zero between 7 and 8 Å, and an on-site energy that grows with the height variation of the first neighbours.
"""

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_wander import WannierHamiltonian
from ase_wander.electronic.filling import monkhorst_pack
from ase_wander.moire import twisted_bilayer
from ase_wander.structure import local_normals, neighbour_pairs

CUTOFF = 8.0


def blocks(atoms, layers):
    """pair_i, pair_j, pair_shift, pair_distance, block (eV), block_ptr of the Slater-Koster model."""
    pairs, n = neighbour_pairs(atoms, CUTOFF), local_normals(atoms, layers)
    u = pairs.vector / pairs.distance[:, None]
    cosines = (n[pairs.i] * u).sum(1) * (n[pairs.j] * u).sum(1)
    x = ((pairs.distance - 7) / (CUTOFF - 7)).clip(0, 1)
    decay = np.exp(-pairs.distance / (0.184 * 2.46)) * (1 - x**3 * (10 - 15 * x + 6 * x * x))
    v_pi, v_sigma = (v * np.exp(r0 / (0.184 * 2.46)) * decay for v, r0 in ((-2.7, 1.42), (0.48, 3.35)))
    hopping = v_pi * ((n[pairs.i] * n[pairs.j]).sum(1) - cosines) + v_sigma * cosines
    bonded = pairs.select((pairs.distance < 1.9) & (layers[pairs.i] == layers[pairs.j]))
    onsite = -4.0 + 0.5 * np.bincount(bonded.i, np.square((bonded.vector * n[bonded.i]).sum(1)), len(atoms))
    every = np.arange(len(atoms))
    return {
        "pair_i": np.append(every, pairs.i),
        "pair_j": np.append(every, pairs.j),
        "pair_shift": np.vstack([np.zeros((len(atoms), 3), int), pairs.shift]),
        "pair_distance": np.append(np.zeros(len(atoms)), pairs.distance),
        "block": np.append(onsite, hopping),
        "block_ptr": np.arange(len(atoms) + len(pairs) + 1),
    }


def labels(atoms, layers):
    """Energy (eV), forces (eV/Å) and stress (eV/Å^3) of springs inside the layers and Lennard-Jones between them."""
    pairs = neighbour_pairs(atoms, 10.0)
    r, inside = pairs.distance, layers[pairs.i] == layers[pairs.j]
    rest = np.where(r < 1.95, 1.42, 2.46)
    stiff = inside * np.where(r < 1.95, 25.0, np.where(r < 2.65, 5.0, 0.0))
    s6 = (3.35 / 2 ** (1 / 6) / r) ** 6 * ~inside
    tail = 0.02
    energy = 0.5 * stiff * (r - rest) ** 2 + 4 * tail * (s6**2 - s6)
    slope = stiff * (r - rest) + 4 * tail * (-12 * s6**2 + 6 * s6) / r
    unit = pairs.vector / r[:, None]
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, pairs.i, slope[:, None] * unit)
    stress = 0.5 * np.einsum("p,pa,pb->ab", slope * r, unit, unit) / atoms.get_volume()
    return 0.5 * energy.sum() - 9.0 * len(atoms), forces, stress


def write_dataset(folder, n_configurations, seed=0, cells=(1, 1, 1), sigma=0.03, mesh=(6, 6, 1), prefix="g1"):
    """Add configurations of random shifts, gaps, strains and displacements to `structures.extxyz` and
    `hamiltonians/`.
    """
    generator = np.random.default_rng(seed)
    (folder / "hamiltonians").mkdir(parents=True, exist_ok=True)
    frames = []
    for number in range(n_configurations):
        gap, a = generator.uniform(3.1, 3.8), 2.46 * generator.uniform(0.98, 1.02)
        atoms = (
            twisted_bilayer("graphene", angle=0.0, shift=generator.random(2), gap=gap, lattice_constant=a, vacuum=12.0)
            * cells
        )
        atoms.positions += generator.normal(scale=sigma, size=atoms.positions.shape)
        layers, name = atoms.arrays["layer"], f"{prefix}_{number:04d}"
        found = blocks(atoms, layers)
        h = WannierHamiltonian.from_blocks(
            atoms, {"C": ("pz",)}, *(v for k, v in found.items() if k != "pair_distance"), len(atoms)
        )
        kpts, weights = monkhorst_pack(mesh)
        np.savez(
            folder / "hamiltonians" / f"{name}.npz",
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell.array,
            kpts=kpts,
            kweights=weights,
            eigenvalues=h.eigenvalues(kpts),
            **found,
        )
        energy, forces, stress = labels(atoms, layers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        atoms.info |= {"config_id": name, "sigma": sigma, "gap": gap, "a": a}
        frames.append(atoms)
    write(folder / "structures.extxyz", frames, append=True)
