"""Bands of a large MoS2 cell from the shipped model at Γ, M and K: time, memory, non-zeros, with and without a threshold.

    python benchmarks/electronic_mos2.py                    # (15, 1): 4,326 atoms, 15,862 orbitals; takes a quarter of an hour
    python benchmarks/electronic_mos2.py --m 9              # (9, 1): 1,626 atoms, 5,962 orbitals
    python benchmarks/electronic_mos2.py --threshold 0.001 --points G

The cell as built, not relaxed: the cost is the same. Seconds are wall time.
"""

import argparse
import resource
import time

import numpy as np

from ase_wander import WanderCalculator
from ase_wander.electronic.derived import truncation_error
from ase_wander.electronic.kpoints import solve_kpoints
from ase_wander.moire import twisted_bilayer

POINTS = {"G": (0, 0, 0), "M": (0.5, 0, 0), "K": (1 / 3, 1 / 3, 0)}


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m", type=int, default=15)
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--threshold", type=float, default=0.0, help="eV; elements up to this size are left out")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--points", nargs="*", default=["G", "M", "K"], choices=list(POINTS))
    parser.add_argument("--guess", type=float, help="sigma= in eV: the bands nearest it, without their absolute indices")
    arguments = parser.parse_args()
    atoms = twisted_bilayer("MoS2", m=arguments.m, r=1)
    start = time.perf_counter()
    h = full = WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(atoms)
    print(f"{len(atoms)} atoms, {h.n_orbitals} orbitals, H(R) in {time.perf_counter() - start:.1f} s, "
          f"{sum(b.nnz for b in h.blocks) / h.n_orbitals:.0f} elements a row", flush=True)
    if arguments.threshold:
        h = full.truncate(arguments.threshold)
        kpts = [POINTS[name] for name in arguments.points]
        print(f"threshold {arguments.threshold} eV: {sum(b.nnz for b in h.blocks) / h.n_orbitals:.0f} elements a row, "
              f"bound on any band at any k {h.info['truncation_bound']:.3f} eV, at these k "
              f"{np.round(truncation_error(full, h, np.array(kpts)), 4).tolist()} eV", flush=True)
    print(f"estimated elements of a sparse factor: {h.factor_elements / 1e6:.1f} million of {h.n_orbitals * (h.n_orbitals + 1) / 2e6:.1f}")
    for name in arguments.points:
        start = time.perf_counter()
        data = solve_kpoints(h, np.array([POINTS[name]], float), arguments.bands, arguments.guess, method=arguments.method, threads=arguments.threads)
        info = data.info[0]
        print(f"{name}: {time.perf_counter() - start:.1f} s with {info['method']}, factor of {info.get('nnz', 0) / 1e6:.1f} M elements, "
              f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, first band {data.first[0]}, "
              f"energies {np.round(data.energies[0], 5).tolist()}", flush=True)


if __name__ == "__main__":
    main()
