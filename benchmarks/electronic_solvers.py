"""Shift-invert solvers against scipy's eigsh, LAPACK and pythtb, on twisted bilayer graphene and MoS2 supercells.

    python benchmarks/electronic_solvers.py                       # graphene 5,044 and 11,908 orbitals
    python benchmarks/electronic_solvers.py --graphene 20         # one size (m of the cell (m, m + 1))
    python benchmarks/electronic_solvers.py --hamiltonian h.npz   # any saved WannierHamiltonian

Seconds are CPU time of one thread (set OMP_NUM_THREADS=1): they do not depend on what else the machine does.
"""

import argparse
import time

import numpy as np
from electronic_models import slater_koster, twisted_graphene
from scipy.sparse.linalg import eigsh

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.solvers import pardiso
from ase_wander.electronic.solvers.chebyshev import estimate_filling_energy
from ase_wander.electronic.solvers.eigensolvers import dense_bands, nearest_bands, window_bands


def seconds(function):
    """CPU time and result of a call."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def measure(name, h, k, n_bands=8, dense_limit=3000, scipy_limit=6000, pythtb_limit=600):
    """Print one table row per solver, with the ratio to the fastest."""
    h.bloch_sum  # noqa: B018 (built before the clock starts)
    built, matrix = seconds(lambda: h.at_k(np.asarray(k, float)))
    window = h.band_window(n_bands)
    lo, hi = window.start, window.stop
    guessed, sigma = seconds(lambda: estimate_filling_energy(matrix, (lo + hi) / 2))
    print(
        f"{name}: {h.n_orbitals} orbitals, {matrix.nnz / h.n_orbitals:.0f} elements a row, H(k) in {built:.3f} s, "
        f"first shift in {guessed:.2f} s"
    )
    # The shift that every k-point after the first gets.
    reference = window_bands(matrix, lo, hi, sigma, "pardiso" if pardiso.available() else "superlu")
    sigma = float(np.mean(reference.energies[n_bands // 2 - 1 : n_bands // 2 + 1]))
    rows = {}
    for method in ("pardiso", "superlu"):
        if method == "superlu" or pardiso.available():
            rows[f"{method}, nearest sigma"] = seconds(lambda m=method: nearest_bands(matrix, sigma, n_bands, m))
            rows[f"{method}, counted window"] = seconds(lambda m=method: window_bands(matrix, lo, hi, sigma, m))
    if h.n_orbitals <= dense_limit:
        rows["LAPACK, window"] = seconds(lambda: dense_bands(matrix, lo, hi))
        rows["ldl, counted window"] = seconds(lambda: window_bands(matrix, lo, hi, sigma, "ldl"))
    if h.n_orbitals <= scipy_limit:
        rows["scipy eigsh, default"] = seconds(
            lambda: np.sort(eigsh(matrix.tocsc(), n_bands, sigma=sigma, return_eigenvectors=False))
        )
    if h.n_orbitals <= pythtb_limit:
        built, other = seconds(lambda: h.to_pythtb())
        print(f"  pythtb's model built in {built:.1f} s")
        solve = getattr(other, "solve_one", None) or other.solve_ham
        rows["pythtb, all bands, H(k) too"] = seconds(lambda: np.sort(np.ravel(solve(list(k[:2]))))[lo:hi])
    fastest = min(t for t, _ in rows.values())
    for method, (t, result) in rows.items():
        energies = getattr(result, "energies", result)
        error = (
            np.abs(energies - reference.energies).max() if "nearest" not in method and "scipy" not in method else np.nan
        )
        info = getattr(result, "info", {})
        print(
            f"  {method:28s} {t:8.2f} s  x{t / fastest:6.1f}   factor {info.get('nnz', 0) / 1e6:7.2f} M elements   "
            f"|dE| {error:.1e} eV"
        )


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphene", type=int, nargs="*", default=[20, 31])
    parser.add_argument("--hamiltonian")
    parser.add_argument("--dense-limit", type=int, default=3000)
    parser.add_argument("--scipy-limit", type=int, default=6000)
    parser.add_argument(
        "--pythtb-limit", type=int, default=600, help="pythtb is slow to build: minutes from 1,000 orbitals on"
    )
    arguments = parser.parse_args()
    limits = {name: getattr(arguments, name) for name in ("dense_limit", "scipy_limit", "pythtb_limit")}
    if arguments.hamiltonian:
        h = WannierHamiltonian.load(arguments.hamiltonian)
        for name, k in (("Gamma", (0, 0, 0)), ("M", (0.5, 0, 0)), ("K", (1 / 3, 1 / 3, 0))):
            measure(f"{arguments.hamiltonian} at {name}", h, k, **limits)
        return
    for m in arguments.graphene:
        measure(f"graphene ({m}, {m + 1})", slater_koster(twisted_graphene(m)), (0.1, 0.2, 0), **limits)


if __name__ == "__main__":
    main()
