"""The real `wannier90.x`: its run on bands, projections and overlaps, and its answer.

Disentanglement: Souza, Marzari, Vanderbilt, PRB 65, 035109 (2001); localisation: Marzari, Vanderbilt, PRB 56, 12847
(1997).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...electronic.hamiltonian import WannierHamiltonian
from ...electronic.orbitals import orbital_table
from . import wannier90_files as files
from .projection import wannier_gauge

#: What is written into every .win unless asked otherwise: no iterations, everything a reader needs.
DEFAULTS = {
    "num_iter": 0,
    "dis_num_iter": 0,
    "write_tb": True,
    "write_xyz": True,
    "write_u_matrices": True,
    "use_ws_distance": True,
    "translate_home_cell": False,
    "guiding_centres": True,
    "iprint": 1,
}


class Wannier90Error(ValueError):
    """wannier90.x is missing, stopped, or gave no answer; the message says what it said."""


@dataclass(frozen=True)
class BlochBands:
    """Input of Wannier90 from bands on a k-grid, without the overlaps.

    Attributes
    ----------
    atoms : ase.Atoms
    mp_grid : tuple of int, shape (3,)
    kpts : ndarray, shape (n_k, 3)
        The whole grid, in reciprocal lattice vectors.
    eigenvalues : ndarray, shape (n_k, n_bands)
        eV.
    projections : ndarray of complex, shape (n_k, n_bands, n_wannier)
        A_mn = <psi_mk|g_n>, g_n on the atoms at their positions as given.
    orbitals : structured ndarray, shape (n_wannier,)
        As `electronic.orbitals.orbital_table` makes it.
    """

    atoms: Atoms
    mp_grid: tuple
    kpts: np.ndarray
    eigenvalues: np.ndarray
    projections: np.ndarray
    orbitals: np.ndarray

    def __post_init__(self):
        n_k, n_bands = self.eigenvalues.shape
        if n_k != np.prod(self.mp_grid) or len(self.kpts) != n_k:
            raise ValueError(f"{len(self.kpts)} k-points and eigenvalues of {n_k} for a grid of {tuple(self.mp_grid)}")
        if self.projections.shape != (n_k, n_bands, len(self.orbitals)):
            raise ValueError(
                f"projections have shape {self.projections.shape}, expected {(n_k, n_bands, len(self.orbitals))}"
            )
        if n_bands < len(self.orbitals):
            raise ValueError(f"{n_bands} bands cannot hold {len(self.orbitals)} Wannier functions")


@dataclass(frozen=True)
class Wannier90Result:
    """Answer of wannier90.x.

    Attributes
    ----------
    hamiltonian : WannierHamiltonian
        Elements shared by equivalent cells (use_ws_distance).
    gauge : ndarray of complex, shape (n_k, n_bands, n_wannier)
        |w_n> = sum_m |psi_m> V_mn, orthonormal columns: disentanglement times rotation.
    omega : dict of str to float
        Spreads in Å²: "I", "D", "OD", "total"; empty where overlaps were not given.
    centres : ndarray, shape (n_wannier, 3)
        Å.
    spreads : ndarray, shape (n_wannier,)
        Å².
    converged : bool or None
        Of the disentanglement; None where it made no iteration.
    """

    hamiltonian: WannierHamiltonian
    gauge: np.ndarray
    omega: dict
    centres: np.ndarray
    spreads: np.ndarray
    converged: bool | None = None


def bands_of_labels(labels, recipe, gauge=False) -> BlochBands:
    """Bands of the whole grid from a reference calculation of half of it: psi_-k = psi_k*.

    Parameters
    ----------
    labels : Labels
    recipe : Recipe
        Says which bands belong to the manifold.
    gauge : bool
        The in-memory gauge instead of the projections: wannier90.x then starts from (or, without iterations, stays at)
        what `Labels.hamiltonian` makes, weights of the disentanglement included.
    """
    bands, frozen, weights = labels.subspace(recipe)
    amplitudes, eigenvalues = labels.amplitudes[:, bands], labels.eigenvalues[:, bands]
    if gauge:
        amplitudes = wannier_gauge(amplitudes, frozen, weights)
    n1, n2, n3 = (int(n) for n in labels.grid)
    kpts = np.stack(np.meshgrid(*(np.arange(n) / n for n in (n1, n2, n3)), indexing="ij"), -1).reshape(-1, 3)
    source, sign = equivalent_points(kpts, labels.kpts)
    a = amplitudes[source]
    a = np.where((sign < 0)[:, None, None], a.conj(), a)
    return BlochBands(
        labels.atoms,
        (n1, n2, n3),
        kpts,
        eigenvalues[source],
        a.conj(),
        orbital_table(labels.atoms.symbols, recipe.shells),
    )


def equivalent_points(kpts, known):
    """Index (n_k,) into `known` and sign (n_k,) with kpts = sign * known up to reciprocal lattice vectors.

    ValueError without one.
    """
    index, signs = np.empty(len(kpts), int), np.empty(len(kpts), int)
    for n, k in enumerate(np.asarray(kpts, float)):
        for sign in (1, -1):
            away = k - sign * np.asarray(known)
            found = np.flatnonzero((np.abs(away - np.rint(away)) < 1e-6).all(axis=1))
            if len(found):
                index[n], signs[n] = found[0], sign
                break
        else:
            raise ValueError(f"k-point {np.round(k, 6).tolist()} is not on the grid of the calculation")
    return index, signs


def localised(labels, recipe, overlaps, folder, **settings):
    """Labels in the gauge that wannier90.x iterates to, and its answer.

    The amplitudes of the labels returned are the gauge itself, for which `Labels.hamiltonian` with the frozen window
    (or an isolated manifold) gives wannier90.x's H.

    Parameters
    ----------
    labels : Labels
    recipe : Recipe
        Its `fade` sets the start; the frozen `window` goes to wannier90.x where the manifold is entangled.
    overlaps, folder, **settings
        See `wannierise`.
    """
    recipe = labels.with_manifold(recipe)
    if recipe.semicore is None:
        low, high = (labels.efermi + w for w in recipe.window)
        settings = {"dis_froz_min": low, "dis_froz_max": high} | settings
    bands = bands_of_labels(labels, recipe, gauge=True)
    result = wannierise(bands, overlaps, folder, **settings)
    chosen, _, _ = labels.subspace(recipe)
    amplitudes = np.zeros((len(bands.kpts), *labels.amplitudes.shape[1:]), complex)
    amplitudes[:, chosen] = result.gauge.conj()
    source, _ = equivalent_points(bands.kpts, labels.kpts)
    n_k = len(bands.kpts)
    return replace(
        labels,
        kpts=bands.kpts,
        kweights=np.full(n_k, 1 / n_k),
        eigenvalues=labels.eigenvalues[source],
        amplitudes=amplitudes,
        info=labels.info | {"wannier90": result.omega},
    ), result


def wannierise(bands, overlaps, folder, *, seed="wannier", n_electrons=None, **settings):
    """Run wannier90.x on bands of a k-grid.

    Parameters
    ----------
    bands : BlochBands
        More bands than orbitals are disentangled.
    overlaps : callable or None
        ``overlaps(kpts, neighbours)`` yields (k, k2, g, M_mn); None writes unit matrices, enough where no spread is
        asked for (num_iter = 0 and either an isolated manifold or dis_num_iter = 0).
    folder : str or Path
        Working directory, created.
    seed : str
    n_electrons : float, optional
    **settings
        Keywords of the .win, on top of `DEFAULTS`: dis_froz_min, dis_froz_max, num_iter, ...

    Returns
    -------
    Wannier90Result

    Raises
    ------
    Wannier90Error, ValueError
    """
    settings = DEFAULTS | settings
    entangled = bands.eigenvalues.shape[1] > len(bands.orbitals)
    if overlaps is None and (settings["num_iter"] or (entangled and settings["dis_num_iter"])):
        raise ValueError(
            "localisation and disentanglement need overlaps; without them num_iter and dis_num_iter must be 0"
        )
    if not entangled:
        settings = {key: value for key, value in settings.items() if not key.startswith("dis_")}
    find_program()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_win(
        folder / f"{seed}.win",
        bands.atoms,
        bands.orbitals,
        bands.mp_grid,
        bands.kpts,
        bands.eigenvalues.shape[1],
        settings,
    )
    run(folder, seed, "-pp")
    neighbours = files.read_neighbours(folder / f"{seed}.nnkp")
    files.write_eig(folder / f"{seed}.eig", bands.eigenvalues)
    files.write_amn(folder / f"{seed}.amn", bands.projections)
    if overlaps is None:
        unit = np.eye(bands.eigenvalues.shape[1])
        rows = ((*row, unit) for row in neighbours)
    else:
        rows = overlaps(bands.kpts, neighbours)
    files.write_mmn(folder / f"{seed}.mmn", rows, len(bands.kpts), neighbours)
    run(folder, seed)
    return read_result(folder, seed, bands, n_electrons, spreads_known=overlaps is not None)


def find_program(name="wannier90.x", package="wannier90"):
    """Path of a program on PATH; Wannier90Error telling how to get it."""
    path = shutil.which(name)
    if path is None:
        raise Wannier90Error(f"{name}: not found on PATH (Debian: apt-get install {package})")
    return path


def run(folder, seed, *options):
    """Run wannier90.x in a folder; Wannier90Error with its own words when it does not come to its end."""
    path = find_program()
    error_file, output = (Path(folder) / f"{seed}.{suffix}" for suffix in ("werr", "wout"))
    error_file.unlink(missing_ok=True)
    done = subprocess.run([path, *options, seed], cwd=folder, capture_output=True, text=True, errors="replace")
    text = output.read_text(errors="replace") if output.is_file() else ""
    finished = "All done: wannier90 exiting" in text or ("-pp" in options and (Path(folder) / f"{seed}.nnkp").is_file())
    if done.returncode or error_file.exists() or not finished or "Exiting......." in text:
        raise Wannier90Error(f"wannier90.x {' '.join([*options, seed])} in {folder}: {_reason(text, done)}")


def _reason(text, done):
    """The line of a .wout (or of standard output) that says why."""
    lines = [line.strip() for line in (text + "\n" + done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    for k, line in enumerate(lines):
        if line.startswith("Exiting"):
            return " ".join(lines[k + 1 : k + 3]) or line
    for line in lines:
        if "error" in line.lower():
            return line
    return (
        f"exit status {done.returncode}, last line {lines[-1]!r}"
        if lines
        else f"exit status {done.returncode} and no output"
    )


def read_result(folder, seed, bands, n_electrons=None, spreads_known=True):
    """Wannier90Result from `seed`_tb.dat, _wsvec.dat, _centres.xyz, _u.mat, _u_dis.mat and .wout."""
    folder = Path(folder)
    n_wannier = len(bands.orbitals)
    text = (folder / f"{seed}.wout").read_text(errors="replace")
    omega, centres, spreads = files.read_spreads(text, n_wannier, folder / f"{seed}.wout")
    if not spreads_known:
        omega, spreads = {}, np.full(n_wannier, np.nan)
    gauge, kpts = files.read_matrices(folder / f"{seed}_u.mat")
    if bands.eigenvalues.shape[1] > n_wannier:
        subspace, kpts = files.read_matrices(folder / f"{seed}_u_dis.mat")
        gauge = subspace @ gauge
    order, sign = equivalent_points(bands.kpts, kpts)
    if gauge.shape != bands.projections.shape or (sign < 0).any():
        raise Wannier90Error(f"{folder / seed}_u.mat: {gauge.shape} for {bands.projections.shape} expected")
    converged = None
    if "Disentanglement convergence criteria satisfied" in text:
        converged = True
    elif "Maximum number of disentanglement iterations reached" in text:
        converged = False
    h = WannierHamiltonian.from_wannier90(folder / seed, n_electrons, atoms=bands.atoms)
    return Wannier90Result(h.replace(orbitals=bands.orbitals), gauge[order], omega, centres, spreads, converged)
