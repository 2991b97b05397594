"""Time and memory before a long job begins: rough numbers, from sizes alone."""

from __future__ import annotations

import numpy as np

from ..electronic.orbitals import expand_shells
from .common import CommandError, console

#: Larger cells are run on request only.
MAX_ATOMS = 10_000

#: Steps of a relaxation, as a rule (`benchmarks/relaxation.py`).
STEPS = 8

#: Peak of the memory over that of the stored Hamiltonian: 5 GB for 21,282 atoms of MoS2, whose H takes 1.1.
PEAK = 5

#: Seconds of one k-point with 40 bands over n^1.5 sqrt(elements in a row), n orbitals: 20 s of 5,962 orbitals of
#: MoS2, one core.
SECONDS = 1.3e-6

#: The same of small cells, dense, over n^3: 0.8 s of 1,342 orbitals, 0.03 s of 418; up to so many orbitals.
DENSE, LARGEST_DENSE = 4e-10, 1800

#: Seconds an atom of one evaluation of forces and of the Hamiltonian (`benchmarks/force_speed.py`), one core; what the
#: first forces take beside, as libraries are loaded.
FORCES, HAMILTONIAN, LOADING = 1e-4, 5e-3, 1.5

#: Memory (GB) of the program and its libraries.
PROGRAM = 0.5

#: Share of the k-points of a path that are solved from this many orbitals on: the others follow from snapshots.
SNAPSHOTS, SOLVED = 1000, 0.1


def elements_per_row(atoms, model) -> float:
    """Stored elements in a row of H: orbitals within the cutoff of an atom, as many as in a disk of this radius."""
    area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
    return min(n_orbitals(atoms, model) / area * np.pi * model.cutoff**2 * 0.85, 1e5)


def n_orbitals(atoms, model) -> int:
    """Orbitals of the Wannier Hamiltonian."""
    return sum(len(expand_shells(model.shells[s])) for s in atoms.symbols) if model.shells else len(atoms)


def gigabytes(atoms, model) -> float:
    """Peak memory of a run."""
    return PROGRAM + PEAK * 12 * n_orbitals(atoms, model) * elements_per_row(atoms, model) / 2**30


def available() -> float | None:
    """Memory (GB) that is free now; None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            words = next(line.split() for line in file if line.startswith("MemAvailable"))
        return int(words[1]) / 2**20
    except (OSError, StopIteration, ValueError):
        return None


def check_size(atoms, model) -> None:
    """CommandError for a cell whose Hamiltonian will not fit into the memory that is free."""
    needed, free = gigabytes(atoms, model), available()
    if free is not None and needed > free:
        raise CommandError(
            f"{len(atoms)} atoms need about {needed:.0f} GB of memory, {free:.0f} GB are free: choose a smaller cell"
        )


def foresee(atoms, model, npoints, seconds) -> None:
    """Say how long a run will take and what memory; `seconds` is the time of the first forces."""
    n = n_orbitals(atoms, model)
    one = DENSE * n**3 if n < LARGEST_DENSE else SECONDS * n**1.5 * elements_per_row(atoms, model) ** 0.5
    bands = one * npoints * (SOLVED if n > SNAPSHOTS else 1.0)
    relaxation = STEPS * max(seconds - LOADING, FORCES * len(atoms))
    total = relaxation + HAMILTONIAN * len(atoms) + bands
    console().print(
        f"{len(atoms)} atoms, {n} orbitals: about {_duration(total)} and {gigabytes(atoms, model):.1f} GB "
        f"(relaxation {_duration(relaxation)}, bands {_duration(bands)})"
    )


def show_trade_offs(angle, atoms, layer) -> None:
    """The exact cells that were there to choose from, on standard error."""
    from ..moire import format_table, trade_offs

    cells = trade_offs(
        abs(angle),
        atoms_per_cell=len(layer),
        lattice_constant=float(np.linalg.norm(layer.cell[0])),
    )
    chosen = (atoms.info["m"], atoms.info["r"])
    console().print(
        f"{angle:g} degrees: ({chosen[0]}, {chosen[1]}), {abs(atoms.info['twist_angle']):.4f} degrees, "
        f"{len(atoms)} atoms, is the smallest within --tolerance; what more atoms buy:"
    )
    console().print(format_table(cells))


def _duration(seconds) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
