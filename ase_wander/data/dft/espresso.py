"""Reference calculations with Quantum ESPRESSO: pw.x, pp.x, pw2wannier90.x, wannier90.x, D3(BJ).

The same interface and the same labels as `gpaw_dft`: a slab, two vacuum levels, projections of all bands on a grid.
Pseudopotentials are the user's: `options: {pseudo_dir: ..., pseudopotentials: {C: C.upf}}` in the recipe.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from ...electronic.orbitals import orbital_table
from ...structure import find_layers, local_normals
from ..wannier import wannier90_files, wannier90_run
from ..wannier.projection import wannier_hamiltonian_at_k
from . import espresso_files as text
from .gpaw import _check_slab, dispersion, pulay_corrected
from .labels import Labels
from .recipe import Recipe

#: Keys of `options`.
OPTIONS = {
    "pseudo_dir": "folder of the pseudopotentials",
    "pseudopotentials": "file of every species",
    "dual": "cutoff of the density over that of the wave functions (default 8)",
    "slab": '"dipole": a dipole layer in the vacuum (default); "periodic": none, for slabs without a dipole',
    "commands": 'programs, e.g. {pw: "mpirun -n 4 pw.x"}',
    "zona": "inverse decay length of the trial orbitals of every species, 1/bohr (default 1)",
    "wannier90": "keywords of the .win; with iterations, the gauge is wannier90.x's instead of the projection's",
    "scratch": "folder to work in (default: a temporary one)",
    "input": "further namelist entries of pw.x: {system: {...}, electrons: {...}}",
}

PROGRAMS = {"pw": "pw.x", "pp": "pp.x", "pw2wannier90": "pw2wannier90.x"}

SEED = "wannier"

#: Largest step (eV) between the two vacuum levels that a calculation without dipole layer may have.
STEP = 0.02


def compute(atoms: Atoms, recipe: Recipe, log=None) -> Labels:
    """Energy, forces, stress and Bloch states of a slab.

    Parameters
    ----------
    atoms : ase.Atoms
        pbc (T, T, F), third vector along z.
    recipe : Recipe
        Of engine "espresso"; see OPTIONS for its `options`.
    log : path-like, optional
        Gets the output of pw.x.

    Raises
    ------
    ImportError
        Without dftd3 where the recipe asks for it.
    ValueError
        A missing program or pseudopotential, a cell that is no slab, a calculation that does not converge, a vacuum
        without a level.
    """
    start = time.monotonic()
    _check_slab(atoms)
    options = check_options(recipe, atoms)
    with tempfile.TemporaryDirectory(prefix="ase-wander-qe-", dir=options.get("scratch")) as folder:
        try:
            return _compute(atoms, recipe, options, Path(folder), start)
        finally:
            if log is not None:
                outputs = sorted(Path(folder).glob("*.pwo"), key=lambda file: file.stat().st_mtime)
                Path(log).write_text("\n".join(file.read_text(errors="replace") for file in outputs))


def _compute(atoms, recipe, options, folder, start):
    work = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    # Stress does not exist together with a dipole layer, so it comes from a run without; the other restarts from its
    # density.
    periodic = run_scf(work, recipe, options, folder, dipole=False)
    scf = run_scf(work, recipe, options, folder, dipole=True) if options["slab"] == "dipole" else periodic
    stress, pulay = pulay_corrected(work, periodic["forces"], periodic["stress"])
    bottom, top = vacuum_levels(folder, options, atoms)
    if options["slab"] == "periodic" and abs(top - bottom) > STEP:
        raise ValueError(
            f"the slab carries a dipole (vacuum levels {1e3 * abs(top - bottom):.0f} meV apart): set options: slab: "
            "dipole"
        )
    vacuum = 0.5 * (bottom + top)
    bands, result, info = run_wannier(work, atoms, recipe, options, folder, scf["efermi"])
    energy, forces, extra = scf["energy"], scf["forces"], {}
    if recipe.dispersion:
        slab = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        d3 = dispersion(slab, recipe)
        energy, forces, stress = energy + d3["energy"], forces + d3["forces"], stress + d3["stress"]
        extra = {f"d3_{name}": d3[name] for name in ("energy", "forces", "stress")}
    n_k = len(bands.kpts)
    n_bands = recipe.count("converged_bands", atoms)
    amplitudes = bands.projections.conj()
    if info["iterations"]:
        amplitudes = np.zeros_like(amplitudes)
        amplitudes[:, info.pop("chosen")] = result.gauge.conj()
    info.pop("chosen", None)
    return Labels(
        atoms=atoms,
        energy=float(energy),
        forces=forces,
        stress=stress,
        efermi=scf["efermi"] - vacuum,
        kpts=bands.kpts,
        kweights=np.full(n_k, 1 / n_k),
        grid=np.array(recipe.grid(atoms)),
        eigenvalues=bands.eigenvalues[:, :n_bands] - vacuum,
        amplitudes=amplitudes[:, :n_bands],
        vacuum_top=float(top),
        vacuum_bottom=float(bottom),
        pulay_energy=float(pulay),
        seconds=time.monotonic() - start,
        info={"engine": f"espresso {scf['version']}", "wannier90": info},
        **extra,
    )


def check_options(recipe, atoms) -> dict:
    """The recipe's options with defaults; ValueError naming what is unknown or missing."""
    options = {"slab": "dipole", "dual": 8.0, "commands": {}, "zona": {}, "wannier90": {}, "input": {}} | recipe.options
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise ValueError(f"recipe: options: {', '.join(sorted(unknown))} unknown; known: {', '.join(OPTIONS)}")
    if options["slab"] not in ("dipole", "periodic"):
        raise ValueError(f"recipe: options: slab: {options['slab']!r} is not known; known: dipole, periodic")
    unknown = set(options["commands"]) - set(PROGRAMS)
    if unknown:
        raise ValueError(
            f"recipe: options: commands: {', '.join(sorted(unknown))} unknown; known: {', '.join(PROGRAMS)}"
        )
    for name, program in PROGRAMS.items():
        words = shlex.split(str(options["commands"].get(name, program)))
        if not words or shutil.which(words[0]) is None:
            raise ValueError(
                f"{words[0] if words else name}: not found on PATH (Debian: apt-get install quantum-espresso)"
            )
    wannier90_run.find_program()
    for key in ("pseudo_dir", "pseudopotentials"):
        if key not in options:
            raise ValueError(f"recipe: options: {key} is missing: {OPTIONS[key]}")
    folder = Path(options["pseudo_dir"]).expanduser()
    for symbol in sorted(set(atoms.symbols)):
        name = options["pseudopotentials"].get(symbol)
        if name is None:
            raise ValueError(f"recipe: options: pseudopotentials: none for {symbol}")
        if not (folder / name).is_file():
            raise ValueError(f"recipe: options: pseudopotentials: {folder / name}: no such file")
    return options | {"pseudo_dir": str(folder)}


def run_program(name, options, folder, stem) -> str:
    """Run a program on `stem`.in in a folder; its output, ValueError with its own words when it does not end well."""
    command = shlex.split(str(options["commands"].get(name, PROGRAMS[name])))
    input_file, output = folder / f"{stem}.in", folder / (f"{stem}.pwo" if name == "pw" else f"{stem}.out")
    with open(output, "w") as file:
        done = subprocess.run(
            [*command, "-in", input_file.name],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    content = output.read_text(errors="replace")
    text.check_end(content, f"{command[-1]} ({stem})", done.returncode)
    return content


def run_scf(work, recipe, options, folder, dipole) -> dict:
    """Self-consistent run: energy at zero smearing, forces, efermi, version, and stress without a dipole layer."""
    stem = "dipole" if dipole else "scf"
    (folder / f"{stem}.in").write_text(text.pw_input(work, recipe, options, folder, calculation="scf", dipole=dipole))
    return text.read_scf(run_program("pw", options, folder, stem), folder / f"{stem}.pwo", stress=not dipole)


def vacuum_levels(folder, options, atoms) -> tuple:
    """Electrostatic potential (eV) below and above the slab, averaged over the plane, from pp.x.

    ValueError where it is not flat.
    """
    (folder / "pp.in").write_text(text.pp_input())
    run_program("pp", options, folder, "pp")
    return text.read_vacuum_levels(folder / "potential.cube", atoms)


def run_wannier(work, atoms, recipe, options, folder, efermi):
    """Bands of the whole grid, projections on trial orbitals, and wannier90.x on them.

    Returns
    -------
    (BlochBands with all bands, Wannier90Result of the manifold, dict of facts)
    """
    grid = recipe.grid(atoms)
    kpts = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"), -1).reshape(-1, 3)
    n_bands = recipe.count("bands", atoms)
    orbitals = orbital_table(atoms.symbols, recipe.shells)
    wanted = recipe.orbitals(atoms)
    normals = local_normals(atoms, find_layers(atoms)) if any(m is None for _, _, m in wanted) else None
    axes = [normals[a] if m is None else None for a, _, m in wanted]
    zona = [float(options["zona"].get(atoms.symbols[a], 1.0)) for a, _, _ in wanted]
    settings = wannier90_run.DEFAULTS | options["wannier90"]
    # The bands of the nscf run; the dipole layer is in its potential when the last scf run had one.
    (folder / "nscf.in").write_text(
        text.pw_input(
            work,
            recipe,
            options,
            folder,
            calculation="nscf",
            dipole=options["slab"] == "dipole",
            kpts=kpts,
            n_bands=n_bands,
        )
    )
    run_program("pw", options, folder, "nscf")
    wannier90_files.write_win(folder / f"{SEED}.win", atoms, orbitals, grid, kpts, n_bands, settings, axes, zona)
    wannier90_run.run(folder, SEED, "-pp")
    (folder / "pw2wannier90.in").write_text(text.pw2wannier90_input(SEED))
    run_program("pw2wannier90", options, folder, "pw2wannier90")
    eigenvalues, projections = (
        wannier90_files.read_eig(folder / f"{SEED}.eig"),
        wannier90_files.read_amn(folder / f"{SEED}.amn"),
    )
    bands = wannier90_run.BlochBands(atoms, grid, kpts, eigenvalues, projections, orbitals)
    chosen, frozen, weights, window = _manifold(bands, recipe, efermi)
    result = _rerun(bands, chosen, settings | window, folder)
    info = {
        "omega": result.omega,
        "spreads": result.spreads.tolist(),
        "iterations": int(settings["num_iter"]) + int(settings["dis_num_iter"]),
        "chosen": chosen,
    }
    if not info["iterations"] and weights is None:
        hk = wannier_hamiltonian_at_k(eigenvalues[:, chosen], projections[:, chosen].conj(), frozen)
        theirs = np.array([result.hamiltonian.at_k(k).toarray() for k in kpts])
        difference = float(np.abs(hk - theirs).max())
        if difference > 1e-4:
            raise ValueError(f"H(k) of wannier90.x and of the projection in memory differ by {difference:.2g} eV")
        info["difference"] = difference
    return bands, result, info


def _manifold(bands, recipe, efermi):
    """(bands of the manifold, frozen states, weights, window for wannier90.x) as `Labels.subspace` decides."""
    zero = np.zeros(0)
    n_k = len(bands.kpts)
    labels = Labels(
        bands.atoms,
        0.0,
        zero,
        zero,
        efermi,
        bands.kpts,
        np.full(n_k, 1 / n_k),
        np.array(bands.mp_grid),
        bands.eigenvalues,
        bands.projections.conj(),
        0.0,
        0.0,
    )
    recipe = labels.with_manifold(recipe)
    chosen, frozen, weights = labels.subspace(recipe)
    window = (
        {}
        if recipe.semicore is not None
        else {"dis_froz_min": efermi + recipe.window[0], "dis_froz_max": efermi + recipe.window[1]}
    )
    return chosen, frozen, weights, window


def _rerun(bands, chosen, settings, folder):
    """wannier90.x on some of the bands, with overlaps from the .mmn that pw2wannier90.x wrote for all of them."""
    overlaps = wannier90_files.read_mmn(folder / f"{SEED}.mmn")
    part = wannier90_run.BlochBands(
        bands.atoms,
        bands.mp_grid,
        bands.kpts,
        bands.eigenvalues[:, chosen],
        bands.projections[:, chosen],
        bands.orbitals,
    )

    def selected(kpts, neighbours):
        for k, k2, g in neighbours:
            yield k, k2, g, overlaps[k, k2, g][chosen, chosen]

    return wannier90_run.wannierise(part, selected, folder / "manifold", seed=SEED, **settings)
