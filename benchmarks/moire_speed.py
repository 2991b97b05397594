"""Speed of the moiré builder on one core: `python benchmarks/moire_speed.py`."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from time import perf_counter, process_time

from ase_wander.moire import (
    cells_near,
    coincidence_cells,
    commensurate_cells,
    domains,
    interlayer_distance,
    strain_field,
    symmetry,
    twisted_bilayer,
    twisted_multilayer,
)


def timed(label, function, *args, repeat=3, **options):
    """Best of some runs: CPU and wall-clock seconds, and the result."""
    best = None
    for _ in range(repeat):
        cpu, wall = process_time(), perf_counter()
        result = function(*args, **options)
        spent = process_time() - cpu, perf_counter() - wall
        best = spent if best is None or spent < best else best
    print(
        f"{label:<70} {best[0]:8.3f} s CPU {best[1]:8.3f} s wall   {len(result) if hasattr(result, '__len__') else ''}",
        flush=True,
    )
    return result


def main():
    timed("import and warm-up: 42-atom cell", twisted_bilayer, "MoS2", 1, 1, repeat=1)
    atoms = timed("17,862-atom MoS2 cell, (31, 1)", twisted_bilayer, "MoS2", 31, 1)
    timed("the same by angle, 1.05 degrees", twisted_bilayer, "MoS2", angle=1.05)
    timed("exact cells near 1.05 degrees up to 10^6 atoms", cells_near, 1.05, 0.01, 1_000_000)
    timed("table of all exact cells up to 20,000 atoms", commensurate_cells, 20_000)
    timed(
        "coincidences, 2 hexagonal layers, 2,000 atoms, 0-30 deg, 1 %",
        coincidence_cells,
        "MoS2",
        "WSe2",
        2000,
        (0, 30),
        0.01,
    )
    timed("the same, all shapes", coincidence_cells, "MoS2", "WSe2", 2000, (0, 30), 0.01, isotropic=False)
    timed(
        "the same, all shapes, graphene on graphene",
        coincidence_cells,
        "graphene",
        "graphene",
        2000,
        (0, 30),
        0.01,
        isotropic=False,
    )
    timed(
        "the same, all shapes, 3 % strain",
        coincidence_cells,
        "MoS2",
        "WSe2",
        2000,
        (0, 30),
        0.03,
        isotropic=False,
        repeat=1,
    )
    timed("mirror-symmetric graphene trilayer, 1.05 degrees", twisted_multilayer, "graphene", (0, 1.05, 0))
    layers = atoms.arrays["layer"]
    timed("interlayer distance of 17,862 atoms", interlayer_distance, atoms, layers=layers)
    timed("stacking domains of 17,862 atoms", domains, atoms, layers=layers)
    timed("strain field of 17,862 atoms", strain_field, atoms, atoms, layers=layers)
    timed("symmetry of 762 atoms", symmetry, twisted_bilayer("MoS2", 6, 1), repeat=1)


if __name__ == "__main__":
    main()
