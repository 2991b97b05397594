"""Band structures as ASE knows them."""

from __future__ import annotations

import numpy as np
from ase.spectrum.band_structure import BandStructure

from .kpath import resolve_path
from .solvers.kpoints import solve_kpoints
from .solvers.snapshots import path_method


def band_structure(h, path=None, npoints=None, n_bands=None, reference="fermi", **options):
    """Bands of `h` along a path, energies as in H (relative to the vacuum level).

    Parameters
    ----------
    h : WannierHamiltonian
    path : BandPath, str or None
        See `paths.resolve_path`.
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
        (eV) that a band can have against the eigenvalues of H(k), 0 where all k-points were solved.
    """
    path = resolve_path(h._require_atoms("a band structure"), path, npoints)
    indices = range(h.n_orbitals) if n_bands is None else h.band_window(n_bands)
    _check_reference(reference)
    options["method"] = path_method(h, path.kpts, n_bands, options.get("sigma"), options.get("method", "auto"))
    data = solve_kpoints(h, path.kpts, n_bands, **options)
    energies = data.energies
    if reference == "vacuum":
        reference = 0.0
    elif reference == "fermi":
        reference = _fermi_level(h, energies, indices, options)
    bs = BandStructure(path, energies[None], reference=float(reference))
    bs.band_indices = np.arange(indices.start, indices.stop)
    bs.error_bound = 0.0 if data.bounds is None else float(data.bounds.max())
    return bs


def _fermi_level(h, energies, indices, options):
    """Mid-gap along the path where there is a gap (no further k-points needed), else from a grid."""
    occupied = h.n_occupied
    if indices.start < occupied < indices.stop and abs(h.n_electrons - h.spin_degeneracy * occupied) < 1e-6:
        top = energies[:, occupied - 1 - indices.start].max()
        bottom = energies[:, occupied - indices.start].min()
        if bottom > top:
            return 0.5 * (top + bottom)
    own = {"restart", "tolerance"} | ({"method"} if options.get("method") == "snapshots" else set())
    return h.fermi_level(**{name: value for name, value in options.items() if name not in own})


def _check_reference(reference):
    if isinstance(reference, str):
        if reference not in ("fermi", "vacuum"):
            raise ValueError(f"reference is {reference!r}; it must be 'fermi', 'vacuum' or an energy in eV")
    elif not np.isfinite(reference):
        raise ValueError(f"reference is not finite: {reference}")
