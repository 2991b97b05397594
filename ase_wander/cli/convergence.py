"""What a relaxed structure leaves open of its gap: the gap where the forces that are left would lead."""

from __future__ import annotations

import warnings

from .spinorbit import with_spins

#: Orbitals (spinors counted twice) up to which another Hamiltonian and two more k-points are no burden.
MOST_ORBITALS = 3_000


def gap_left(atoms, report, arguments) -> dict:
    """`gap_left`: change of the gap (eV) on the way that is left to the minimum, at the k-points of its edges.

    The displacement is that of the spring model of the relaxation (`ase_wander.relaxation.what_is_left`). Nothing for
    a metal, or a cell of more than MOST_ORBITALS.
    """
    if "vbm" not in report or report["n_orbitals"] > MOST_ORBITALS:
        return {}
    from ..relaxation import what_is_left

    calculator = atoms.calc
    kpts = [report["k_vbm"], report["k_cbm"]]
    moved = atoms.copy()
    moved.set_constraint()
    moved.positions += what_is_left(atoms, calculator.layers(atoms))
    gaps = []
    for structure in (atoms, moved):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said when the Hamiltonian of the structure was made
            h = with_spins(calculator.get_wannier_hamiltonian(structure), arguments)
        pair = h.eigenvalues(kpts, 2)
        gaps.append(float(pair[1, 1] - pair[0, 0]))
    return {"gap_left": gaps[1] - gaps[0]}


def gap_rows(report):
    """Rows of the printed table."""
    if "gap_left" not in report:
        return []
    return [("gap converged", f"to about {1e3 * abs(report['gap_left']):.2f} meV, its change on the way that is left")]
