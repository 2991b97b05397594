"""Bands of a large MoS2 cell from the shipped model at Γ, M and K: time, memory, non-zeros, with and without a
threshold.

    python benchmarks/electronic_mos2.py                    # (15, 1): 4,326 atoms, 15,862 orbitals; minutes, 12 GB
    python benchmarks/electronic_mos2.py --m 9              # (9, 1): 1,626 atoms, 5,962 orbitals
    python benchmarks/electronic_mos2.py --threshold 0.001 --points G

The cell as built, not relaxed: the cost is the same. The shift comes from the gap of a small cell; where H(k) is real
(Γ, M) the bands are counted by inertia, at K they are the nearest to the shift unless --counted. Seconds are wall time.
"""

import argparse
import resource
import time

import numpy as np

from ase_wander import WanderCalculator
from ase_wander.electronic.solvers.kpoints import make_request
from ase_wander.electronic.solvers.onepoint import solve_one
from ase_wander.electronic.transforms import truncation_error
from ase_wander.moire import twisted_bilayer

POINTS = {"G": (0, 0, 0), "M": (0.5, 0, 0), "K": (1 / 3, 1 / 3, 0)}


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m", type=int, default=15)
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--threshold", type=float, default=0.0, help="eV; elements up to this size are left out")
    parser.add_argument("--method", default="pardiso", choices=["pardiso", "superlu", "ldl"])
    parser.add_argument(
        "--counted", action="store_true", help="absolute band indices at K too (PARDISO: twice the size)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--points", nargs="*", default=["G", "M", "K"], choices=list(POINTS))
    arguments = parser.parse_args()
    atoms = twisted_bilayer("MoS2", m=arguments.m, r=1)
    start = time.perf_counter()
    calculator = WanderCalculator("mos2-bilayer")
    h = full = calculator.get_wannier_hamiltonian(atoms)
    print(
        f"{len(atoms)} atoms, {h.n_orbitals} orbitals, H(R) in {time.perf_counter() - start:.1f} s, "
        f"{sum(b.nnz for b in h.blocks) / h.n_orbitals:.0f} elements a row",
        flush=True,
    )
    if arguments.threshold:
        h = full.truncate(arguments.threshold)
        kpts = [POINTS[name] for name in arguments.points]
        print(
            f"threshold {arguments.threshold} eV: {sum(b.nnz for b in h.blocks) / h.n_orbitals:.0f} elements a row, "
            f"bound on any band at any k {h.info['truncation_bound']:.3f} eV, at these k "
            f"{np.round(truncation_error(full, h, np.array(kpts)), 4).tolist()} eV",
            flush=True,
        )
    print(
        f"estimated elements of a sparse factor: {h.factor_elements / 1e6:.1f} million of "
        f"{h.n_orbitals * (h.n_orbitals + 1) / 2e6:.1f}"
    )
    guess = calculator.get_wannier_hamiltonian(twisted_bilayer("MoS2", m=2, r=1)).fermi_level()
    for name in arguments.points:
        k = np.array(POINTS[name], float)
        counted = arguments.counted or np.abs(2 * k - np.rint(2 * k)).max() < 1e-12
        request = make_request(
            h, arguments.bands, None if counted else guess, False, arguments.method, arguments.threads
        )
        start = time.perf_counter()
        pairs = solve_one(h, k, request, guess)
        info = pairs.info
        print(
            f"{name}: {time.perf_counter() - start:.1f} s with {info['method']}, factor of "
            f"{info.get('nnz', 0) / 1e6:.1f} M elements, "
            f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, first band {pairs.first}, "
            f"energies {np.round(pairs.energies, 5).tolist()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
