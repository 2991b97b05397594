"""Band structures as ASE knows them."""

from __future__ import annotations

import numpy as np
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure

from .filling import default_kpts
from .kpath import resolve_path
from .solvers.kpoints import solve_kpoints
from .solvers.snapshots import path_method
from .validity import finite

#: Bands closer than this (eV) touch: degeneracies of symmetry come out of a model in single precision this far apart.
TOUCHING = 1e-4


def band_structure(h, path=None, npoints=None, n_bands=None, reference="fermi", **options):
    """Bands of `h` along a path, energies as in H (relative to the vacuum level).

    Parameters
    ----------
    h : WannierHamiltonian
    path : BandPath, str or None
        See `kpath.resolve_path`. A Hamiltonian without atoms takes a BandPath, of whatever cell: its k-points are
        fractional.
    npoints : int, optional
    n_bands : int, optional
        The fixed window of bands around the gap; all by default.
    reference : {"fermi", "vacuum"} or float
        Only sets ``bs.reference`` (eV).
    **options
        See `kpoints.solve_kpoints`. Its method "auto" takes snapshots here where they are faster (many orbitals, many
        k-points on straight lines, few bands), with every band good to `tolerance` (eV); "exact" solves every k-point.

    Returns
    -------
    ase.spectrum.band_structure.BandStructure
        With further attributes: ``band_indices``, the absolute index of every band; ``error_bound``, the largest error
        (eV) that a band can have against the eigenvalues of H(k), 0 where all k-points were solved; ``complete``, two
        energies (eV) between which no other band lies anywhere on the path, infinite where no band was left out;
        ``is_metal``, whether bands cross the Fermi level, on the path or off it (None where `reference` is no "fermi").
    """
    atoms = h.atoms if isinstance(path, BandPath) else h.require_atoms("a band structure along letters")
    path = resolve_path(atoms, path, npoints)
    indices = range(h.n_orbitals) if n_bands is None else h.band_window(n_bands)
    _check_reference(reference)
    options["method"] = path_method(h, path.kpts, n_bands, options.get("sigma"), options.get("method", "auto"))
    data = solve_kpoints(h, path.kpts, n_bands, **options)
    energies = data.energies
    is_metal = None
    if reference == "vacuum":
        reference = 0.0
    elif reference == "fermi":
        reference, is_metal = _fermi_level(h, energies, indices, options)
    bs = BandStructure(path, energies[None], reference=float(reference))
    bs.is_metal = is_metal
    bs.band_indices = np.arange(indices.start, indices.stop)
    bs.complete = complete_window(energies, indices, h.n_orbitals)
    bs.error_bound = 0.0 if data.bounds is None else float(data.bounds.max())
    return bs


def complete_window(energies, indices, n_orbitals):
    """Energies (low, high) between which no band is missing, given bands (n_k, n_bands) of a range of `indices`."""
    low = -np.inf if indices.start == 0 else float(energies[:, 0].max())
    high = np.inf if indices.stop == n_orbitals else float(energies[:, -1].min())
    return low, high


def _fermi_level(h, energies, indices, options):
    """Level, and whether bands cross it.

    Mid-gap of path and grid together where both have a gap; else that of the grid alone, so that the path plays no part
    in it: a semimetal has a gap on every path that misses the points where its bands touch.
    """
    own = {"restart", "tolerance", "progress"} | ({"method"} if options.get("method") == "snapshots" else set())
    options = {name: value for name, value in options.items() if name not in own}
    occupied = h.n_occupied
    if indices.start < occupied < indices.stop and abs(h.n_electrons - h.spin_degeneracy * occupied) < 1e-6:
        pair = h.eigenvalues(default_kpts(h)[0], 2, **options)
        top = max(energies[:, occupied - 1 - indices.start].max(), pair[:, 0].max())
        bottom = min(energies[:, occupied - indices.start].min(), pair[:, 1].min())
        if bottom - top > TOUCHING:
            return 0.5 * (top + bottom), False
    return h.fermi_level(**options), True


def _check_reference(reference):
    if isinstance(reference, str):
        if reference not in ("fermi", "vacuum"):
            raise ValueError(f"reference is {reference!r}; it must be 'fermi', 'vacuum' or an energy in eV")
    else:
        finite(reference, "reference (eV; or 'fermi', 'vacuum')")
