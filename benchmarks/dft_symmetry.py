"""The recipe setting `symmetry` against the same calculation without it: energy, forces, stress, eigenvalues (needs
GPAW).

    python benchmarks/dft_symmetry.py          # a monolayer of MoS2 and twisted graphene of 28 atoms, low cutoffs

Minutes on one core. Differences are of the size of the convergence criteria, which leave forces without symmetry
uneven.
"""

import numpy as np
from ase.build import mx2

from ase_wander.data.dft.gpaw import compute
from ase_wander.data.dft.recipe import Recipe
from ase_wander.moire import twisted_bilayer

MOS2 = {
    "shells": {"Mo": [2], "S": [1]},
    "cutoff": 250.0,
    "length": 9.0,
    "bands": {"Mo": 9, "S": 5.5},
    "converged_bands": {"Mo": 7.5, "S": 5},
    "semicore": {"Mo": 4, "S": 1},
    "density": 1e-6,
    "eigenstates": 1e-6,
    "dispersion": None,
}
GRAPHENE = {
    "shells": {"C": ["pz"]},
    "cutoff": 200.0,
    "length": 12.0,
    "smearing": 0.05,
    "bands": {"C": 3},
    "converged_bands": {"C": 2.2},
    "window": [-3.0, 0.5],
    "fade": {"height": 100.0, "centre": 4.5, "width": 5.0, "gate": 0.3},
    "eigenstates": 1e-5,
    "dispersion": None,
}


def structures():
    """(name, atoms, settings)."""
    layer = mx2("MoS2", a=3.17, thickness=3.13, vacuum=5.0)
    layer.pbc = (True, True, False)
    yield "MoS2, 3 atoms", layer, MOS2
    yield "graphene, 21.79°, 28 atoms", twisted_bilayer("graphene", m=1, r=1, vacuum=8.0), GRAPHENE


def same_point(kpts, k):
    """Index of the k-point that equals k up to a reciprocal lattice vector and time reversal."""
    difference = np.stack([kpts - k, kpts + k])
    return int(np.flatnonzero((np.abs(difference - np.round(difference)).max(-1) < 1e-6).any(0))[0])


def main():
    """Print the table."""
    print("| structure | k-points | energy meV | forces meV/Å | stress meV/Å³ | eigenvalues meV |")
    print("|---|---|---|---|---|---|")
    for name, atoms, settings in structures():
        atoms.info["config_id"] = "s_0000"
        whole, few = (compute(atoms, Recipe.from_dict({**settings, "symmetry": s})) for s in (False, True))
        index = [same_point(whole.kpts, k) for k in few.kpts]
        values = [
            abs(whole.energy - few.energy),
            np.abs(whole.forces - few.forces).max(),
            np.abs(whole.stress - few.stress).max(),
            np.abs(whole.eigenvalues[index] - few.eigenvalues).max(),
        ]
        shown = " | ".join(f"{1e3 * v:.3f}" for v in values)
        print(f"| {name} | {len(whole.kpts)}, {len(few.kpts)} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
