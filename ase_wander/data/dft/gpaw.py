"""Reference calculations with GPAW: plane waves, PAW, D3(BJ), one process.

Every calculation is a slab: periodic in the plane, a dipole layer in the vacuum, two vacuum levels.
"""

from __future__ import annotations

import time

import numpy as np
from ase import Atoms

from ...structure import find_layers, local_normals
from .labels import Labels
from .recipe import Recipe


def compute(atoms: Atoms, recipe: Recipe, log=None) -> Labels:
    """Energy, forces, stress and Bloch states of a slab.

    Parameters
    ----------
    atoms : ase.Atoms
        pbc (T, T, F), third vector along z.
    recipe : Recipe
        Of engine "gpaw".
    log : path-like, optional
        Gets GPAW's own text output.

    Raises
    ------
    ImportError
        Without gpaw, or dftd3 where the recipe asks for it.
    ValueError
        A cell that is no slab, a species without a projector, a calculation that does not converge.
    """
    start = time.monotonic()
    _check_slab(atoms)
    calc = _calculator(recipe, atoms, log)
    work = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    work.calc = calc
    try:
        energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except Exception as error:  # GPAW's own errors have no common class
        raise ValueError(f"GPAW: {' '.join(str(error).split())[:300]}") from error
    stress, pulay = pulay_corrected(work, forces, stress)
    bottom, top = vacuum_levels(calc)
    vacuum = 0.5 * (bottom + top)
    kpts, weights, eigenvalues, amplitudes = bloch_states(calc, atoms, recipe)
    extra = {}
    if recipe.dispersion:
        d3 = dispersion(work, recipe)
        energy, forces, stress = energy + d3["energy"], forces + d3["forces"], stress + d3["stress"]
        extra = {f"d3_{name}": d3[name] for name in ("energy", "forces", "stress")}
    return Labels(
        atoms=atoms,
        energy=float(energy),
        forces=forces,
        stress=stress,
        efermi=float(calc.get_fermi_level() - vacuum),
        kpts=kpts,
        kweights=weights,
        grid=np.array(recipe.grid(atoms)),
        eigenvalues=eigenvalues - vacuum,
        amplitudes=amplitudes,
        vacuum_top=float(top),
        vacuum_bottom=float(bottom),
        pulay_energy=float(pulay),
        seconds=time.monotonic() - start,
        info={"engine": f"gpaw {_version()}"},
        **extra,
    )


def _check_slab(atoms):
    if list(atoms.pbc) != [True, True, False]:
        raise ValueError(f"pbc is {atoms.pbc.tolist()}, a slab needs [True, True, False]")
    cell = atoms.cell.array
    if np.abs(cell[:2, 2]).max() > 1e-8 or np.abs(cell[2, :2]).max() > 1e-8:
        raise ValueError("the third cell vector must stand along z, the other two lie in the plane")
    z = atoms.positions[:, 2]
    if z.min() < 2.0 or z.max() > cell[2, 2] - 2.0:
        raise ValueError(
            f"atoms from z = {z.min():.2f} to {z.max():.2f} Å in a cell {cell[2, 2]:.2f} Å high: at least 2 Å of "
            "vacuum on either side are needed"
        )


def _version():
    import gpaw

    return gpaw.__version__


def _calculator(recipe, atoms, log):
    from gpaw import GPAW, PW, FermiDirac

    return GPAW(
        mode=PW(recipe.cutoff),
        xc=recipe.xc,
        kpts={"size": recipe.grid(atoms), "gamma": True},
        occupations=FermiDirac(recipe.smearing),
        symmetry={"point_group": recipe.symmetry, "symmorphic": True, "tolerance": 1e-6},
        poissonsolver={"dipolelayer": "xy"},
        nbands=recipe.count("bands", atoms),
        convergence={
            "density": recipe.density,
            "eigenstates": recipe.eigenstates,
            "bands": recipe.count("converged_bands", atoms),
        },
        txt=str(log) if log else None,
        **recipe.options,
    )


def pulay_corrected(atoms, forces, stress):
    """Stress without the isotropic part of a finite basis, and that part times the volume (eV).

    A slab with vacuum on both sides obeys sigma_zz V + sum_i z_i f_iz = 0: nothing holds it in z. What the raw stress
    misses is the basis' own pressure, equal along x, y and z.
    """
    volume = atoms.get_volume()
    mismatch = stress[2] * volume + float(atoms.positions[:, 2] @ forces[:, 2])
    corrected = np.array(stress)
    corrected[:3] -= mismatch / volume
    return corrected, mismatch


def dispersion(atoms, recipe):
    """Energy, forces and stress of D3(BJ), analytic."""
    from dftd3.ase import DFTD3

    work = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    work.calc = DFTD3(method=recipe.xc, damping="d3bj")
    return {"energy": work.get_potential_energy(), "forces": work.get_forces(), "stress": work.get_stress()}


def vacuum_levels(calc):
    """Electrostatic potential (eV) 1.5 Å inside the lower and the upper end of the cell, averaged over the plane.

    The dipole layer's smooth step fills the outermost half ångström, and the slab's density begins 4 Å inside the
    recipe's vacuum.
    """
    mean = calc.get_electrostatic_potential().mean(axis=(0, 1))
    inside = max(round(1.5 / calc.atoms.cell[2, 2] * len(mean)), 1)
    return float(mean[inside]), float(mean[-1 - inside])


def bloch_states(calc, atoms, recipe: Recipe):
    """kpts (n_k, 3), weights, eigenvalues (n_k, n_bands) on GPAW's zero, amplitudes (n_k, n_bands, n_orbitals).

    GPAW wraps atoms into the cell, so <p_m|psi_nk> gets the phase of the lattice vector T between an atom's wrapped
    position and the one given: the Bloch sum over given positions is exp(-2 pi i k.T) times that over wrapped ones,
    given = wrapped
    + T.
    """
    kpts, weights = calc.get_ibz_k_points(), calc.get_k_point_weights()
    wrapped = calc.wfs.spos_ac if hasattr(calc.wfs, "spos_ac") else calc.dft.relpos_ac  # old and new core of GPAW
    shift = np.round(atoms.cell.scaled_positions(atoms.positions) - wrapped) * np.array([1, 1, 0])
    orbitals = recipe.orbitals(atoms)
    normals = local_normals(atoms, find_layers(atoms)) if any(m is None for _, _, m in orbitals) else None
    columns = [_projector(calc.wfs.setups[a], l, atoms.symbols[a]) for a, l, _ in orbitals]
    n_bands = recipe.count("converged_bands", atoms)
    values = np.zeros((len(kpts), n_bands))
    amplitudes = np.zeros((len(kpts), n_bands, len(orbitals)), complex)
    for kpt in calc.wfs.kpt_u:
        values[kpt.k] = calc.get_eigenvalues(kpt=kpt.k)[:n_bands]
        for column, ((a, l, m), first) in enumerate(zip(orbitals, columns)):
            p = kpt.P_ani[a][:n_bands, first : first + 2 * l + 1]
            # harmonics in GPAW's order are ours: p = (y, z, x)
            value = p @ normals[a][[1, 2, 0]] if m is None else p[:, l + m]
            amplitudes[kpt.k, :, column] = value * np.exp(2j * np.pi * kpts[kpt.k] @ shift[a])
    return kpts, weights, values, amplitudes


def _projector(setup, l, symbol):
    """First index of the bound partial wave of angular momentum l in a setup."""
    first = 0
    for n, degree in zip(setup.n_j, setup.l_j):
        if degree == l and n > 0:
            return first
        first += 2 * degree + 1
    raise ValueError(f"GPAW's setup of {symbol} has no bound projector with l = {l}")
