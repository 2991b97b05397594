"""Bands of a twisted bilayer along Γ-M-K-Γ: from snapshots, and every k-point on its own as before them.

    python benchmarks/electronic_bands.py                 # (4, 1): 366 atoms, 1,342 orbitals
    python benchmarks/electronic_bands.py --m 9           # (9, 1): 1,626 atoms, 5,962 orbitals; minutes
    python benchmarks/electronic_bands.py --material graphene --m 11 --bands 16 --exact 6   # 1,588 atoms
    python benchmarks/electronic_bands.py --hamiltonian h.npz --path GMKG

Some k-points are solved on their own before the path is followed and as many after it, with the solver that was chosen
before (`--before`) and with today's; their time is scaled to all points. Seconds are CPU time of one thread (set
OMP_NUM_THREADS=1). The cell is as built, not relaxed: the cost is the same.
"""

import argparse
import resource
import time

import numpy as np

from ase_wander import WanderCalculator, WannierHamiltonian
from ase_wander.electronic.kpath import resolve_path
from ase_wander.electronic.solvers import parallel
from ase_wander.electronic.solvers.kpoints import solve_kpoints
from ase_wander.electronic.solvers.onepoint import good_shift, solve_one
from ase_wander.moire import twisted_bilayer


def seconds(function, *args, **options):
    """CPU time and result of a call."""
    start = time.process_time()
    result = function(*args, **options)
    return time.process_time() - start, result


def timed_snapshots(record):
    """Note the time of every exact solution; the function to call in place of `solve_one`."""

    def solve(*args):
        spent, result = seconds(solve_one, *args)
        record.append((spent, result.info.get("method")))
        print(f"  snapshot {len(record)}: {spent:.1f} s ({record[-1][1]})", flush=True)
        return result

    return solve


def measure(name, h, arguments):
    """Print the table of one Hamiltonian."""
    from ase_wander.electronic.solvers import kpoints

    kpts, n = resolve_path(h.atoms, arguments.path, arguments.npoints).kpts, arguments.bands
    seconds(lambda: h.bloch_sum)
    chosen = np.random.default_rng(0).choice(len(kpts), arguments.exact, replace=False)
    alone = {"before": {}, "today": {}}

    def exact(positions, guess):
        for k in positions:
            for kind, method in (("before", arguments.before), ("today", "exact")):
                request = kpoints.make_request(h, n, None, False, method)
                if kind == "today" and request.method == alone["before"][k][2]:
                    alone["today"][k] = alone["before"][k]
                    continue
                spent, pairs = seconds(solve_one, h, kpts[k], request, guess)
                alone[kind][k] = (spent, pairs.energies, pairs.info["method"])
                print(f"  k-point {k} alone, {kind}: {spent:.2f} s ({pairs.info['method']})", flush=True)

    record = []
    kpoints.solve_one = parallel.solve_one = timed_snapshots(record)
    half = arguments.exact // 2
    if half:
        first = solve_one(h, kpts[0], kpoints.make_request(h, n, None, False, "exact"))
        exact(chosen[:half], good_shift(first.energies))
    spent, data = seconds(solve_kpoints, h, kpts, n, method="snapshots", tolerance=arguments.tolerance)
    exact(chosen[half:], good_shift(data.energies[0]))
    error = np.array([np.abs(data.energies[k] - alone["today"][k][1]) for k in chosen])
    print(
        f"{name}: {h.n_orbitals} orbitals, {len(kpts)} k-points, {n} bands: {len(record)} snapshots in "
        f"{sum(t for t, _ in record):.1f} s, {spent:.1f} s in all; bound {1e3 * data.bounds.max():.4f} meV, median "
        f"{1e3 * np.median(data.bounds):.6f}; error at {len(chosen)} points {1e3 * error.max():.5f} meV, "
        f"within the bounds: {bool((error <= data.bounds[chosen] + 1e-8).all())}; "
        f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB"
    )
    for kind, found in alone.items():
        each, method = np.mean([t for t, *_ in found.values()]), next(iter(found.values()))[2]
        total = each * len(kpts)
        print(f"  one by one, {kind} ({method}): {each:.2f} s each, {total:.0f} s, x{total / spent:.1f}")


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", default="MoS2")
    parser.add_argument("--m", type=int, nargs="*", default=[4])
    parser.add_argument("--hamiltonian", help="a saved WannierHamiltonian instead")
    parser.add_argument("--path", default="GMKG")
    parser.add_argument("--npoints", type=int, default=150)
    parser.add_argument("--bands", type=int, default=40)
    parser.add_argument("--tolerance", type=float, default=5e-5, help="eV; default %(default)s")
    parser.add_argument("--exact", type=int, default=4, help="points solved alone, half of them before the path")
    parser.add_argument("--before", default="ldl", help="solver that version 0.1.0 chose; default %(default)s")
    arguments = parser.parse_args()
    if arguments.hamiltonian:
        measure(arguments.hamiltonian, WannierHamiltonian.load(arguments.hamiltonian), arguments)
        return
    for m in arguments.m:
        atoms = twisted_bilayer(arguments.material, m=m, r=1)
        model = WanderCalculator(f"{arguments.material.lower()}-bilayer")
        name = f"{arguments.material} ({m}, 1), {len(atoms)} atoms"
        measure(name, model.get_wannier_hamiltonian(atoms), arguments)


if __name__ == "__main__":
    main()
