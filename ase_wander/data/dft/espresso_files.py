"""Input and output texts of Quantum ESPRESSO's programs."""

from __future__ import annotations

import io
import re

import numpy as np
from ase.io.cube import read_cube
from ase.io.espresso import read_espresso_out, write_espresso_in
from ase.units import Ry

#: Width of the dipole layer, as a fraction of the cell's height.
LAYER = 0.05

#: Largest slope (eV/Å) of the potential where a vacuum level is read.
FLAT = 0.02


def pw_input(atoms, recipe, options, folder, *, calculation, dipole, kpts=None, n_bands=None) -> str:
    """Input of pw.x for a slab; `kpts` (n, 3) replaces the grid, without symmetry but time reversal."""
    system = {
        "ecutwfc": recipe.cutoff / Ry,
        "ecutrho": options["dual"] * recipe.cutoff / Ry,
        "occupations": "smearing",
        "smearing": "fermi-dirac",
        "degauss": recipe.smearing / Ry,
        "nosym": True,
        "nbnd": n_bands,
    }
    control = {
        "calculation": calculation,
        "pseudo_dir": options["pseudo_dir"],
        "prefix": "slab",
        "outdir": "./out",
        "tprnfor": calculation == "scf",
        "tstress": calculation == "scf" and not dipole,
        "verbosity": "high",
    }
    electrons = {"conv_thr": 1e-3 * recipe.density * recipe.eigenstates, "mixing_beta": 0.4, "electron_maxstep": 200}
    if calculation == "nscf":
        system["noinv"] = True
        electrons |= {"diago_full_acc": True, "conv_thr": 1e-10}
    if dipole:
        control |= {"tefield": True, "dipfield": True}
        system |= {"edir": 3, "emaxpos": float((vacuum_centre(atoms) - LAYER / 2) % 1), "eopreg": LAYER, "eamp": 0.0}
        if calculation == "scf":
            electrons["startingpot"] = "file"
    system = {key: value for key, value in system.items() if value is not None}
    data = {
        "control": control,
        "system": system | options["input"].get("system", {}),
        "electrons": electrons | options["input"].get("electrons", {}),
    }
    stream = io.StringIO()
    write_espresso_in(
        stream,
        atoms,
        input_data=data,
        pseudopotentials=options["pseudopotentials"],
        kpts=recipe.grid(atoms),
        koffset=(0, 0, 0),
    )
    text = re.sub(r"&(FCP|RISM)\n/\n", "", stream.getvalue())  # unknown to pw.x of 2020
    if kpts is not None:
        rows = "".join(f"{a:18.14f}{b:18.14f}{c:18.14f} {1 / len(kpts):.12f}\n" for a, b, c in kpts)
        text = re.sub(r"K_POINTS automatic\n.*\n", f"K_POINTS crystal\n{len(kpts)}\n{rows}", text)
    return text


def vacuum_centre(atoms) -> float:
    """Middle of the vacuum, as a fraction of the cell's height."""
    z, height = atoms.positions[:, 2], atoms.cell[2, 2]
    return (0.5 * (z.min() + z.max()) / height + 0.5) % 1


def pp_input() -> str:
    """Electrostatic potential (bare ions and Hartree, without exchange and correlation) as a cube file."""
    return (
        "&INPUTPP\n prefix = 'slab'\n outdir = './out'\n plot_num = 11\n filplot = 'potential'\n/\n"
        "&PLOT\n iflag = 3\n output_format = 6\n fileout = 'potential.cube'\n/\n"
    )


def pw2wannier90_input(seed) -> str:
    return (
        f"&INPUTPP\n prefix = 'slab'\n outdir = './out'\n seedname = '{seed}'\n write_amn = .true.\n write_mmn = "
        ".true.\n"
        " write_unk = .false.\n/\n"
    )


def check_end(content, what, returncode) -> None:
    """ValueError with the program's own words unless its output tells a good end."""
    errors = re.findall(r"Error in routine\s+(.*?):\s*\n\s*(.*)\n", content)
    if errors:
        routine, reason = errors[0]
        raise ValueError(f"{what}: {reason.strip()} (routine {routine.split()[0]})")
    if "convergence NOT achieved" in content:
        raise ValueError(f"{what}: the self-consistent cycle did not converge")
    if returncode or "JOB DONE" not in content:
        lines = [line.strip() for line in content.splitlines() if line.strip()]
        raise ValueError(
            f"{what}: ended early, exit status {returncode}"
            + (f", last line {lines[-1]!r}" if lines else ", no output")
        )


def read_scf(content, path, stress) -> dict:
    """energy, forces, efermi, version and, where asked for, stress of an output of pw.x."""
    try:
        atoms = next(read_espresso_out(io.StringIO(content), slice(-1, None)))
        results = atoms.calc.results
        free_energy, forces = results["energy"], results["forces"]
        tensor = results["stress"] if stress else None
    except (StopIteration, KeyError, ValueError, IndexError, AssertionError) as error:
        raise ValueError(
            f"{path}: no energy, forces{' and stress' if stress else ''} in the output of pw.x ({error})"
        ) from None
    # pw.x gives F = E - T S; half of the entropy term back extrapolates to no smearing (Gillan 1989), as GPAW does
    entropy = re.findall(r"smearing contrib\. \(-TS\)\s*=\s*(\S+) Ry", content)
    energy = free_energy - 0.5 * float(entropy[-1]) * Ry if entropy else free_energy
    fermi = re.findall(r"the Fermi energy is\s+(\S+) ev", content)
    if not fermi:
        raise ValueError(f"{path}: no Fermi energy in the output of pw.x")
    version = re.search(r"Program PWSCF v\.(\S+)", content)
    return {
        "energy": energy,
        "forces": forces,
        "stress": tensor,
        "efermi": float(fermi[-1]),
        "version": version.group(1) if version else "unknown",
    }


def read_vacuum_levels(path, atoms) -> tuple:
    """(below, above) in eV: the potential averaged over the plane on either side of the dipole layer.

    Raises
    ------
    ValueError
        Where the potential is not flat: the vacuum is too thin.
    """
    with open(path) as file:
        potential = read_cube(file)["data"].mean(axis=(0, 1)) * Ry
    n, height = len(potential), atoms.cell[2, 2]
    centre, levels = vacuum_centre(atoms), []
    for side, name in ((1, "below"), (-1, "above")):
        at = centre + side * 1.3 * LAYER
        z = (np.arange(-1, 2) / n + at) * n
        low, high = (np.interp(q % n, np.arange(n + 1), np.append(potential, potential[0])) for q in (z[0], z[2]))
        slope = abs(high - low) * n / (2 * height)
        if slope > FLAT:
            raise ValueError(
                f"the potential {name} the slab still falls by {slope:.2g} eV/Å in the vacuum: more vacuum is needed, "
                "or options: slab: dipole"
            )
        levels.append(0.5 * (low + high))
    return tuple(levels)
