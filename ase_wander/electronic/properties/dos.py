"""Density of states: exact sums over k-points of small cells, kernel polynomials of large ones."""

from __future__ import annotations

import numpy as np
from ase.spectrum.doscollection import GridDOSCollection
from ase.spectrum.dosdata import GridDOSData

from .. import filling
from ..solvers import chebyshev
from ..transforms import layer_of_orbitals
from ..validity import as_kpoint, finite

#: Up to this many orbitals all bands at every k are computed.
EXACT_LIMIT = 1000


class BlochOperator:
    """H(k) as an operator that never stores H(k): sum_R e^{2 pi i k.R} H(R) x."""

    def __init__(self, h, k):
        if not h.is_hermitian:
            raise ValueError(
                "H is not Hermitian: kernel polynomials need its Hermitian part; method='exact' takes its bands"
            )
        real = h.is_real and np.abs(2 * k - np.rint(2 * k)).max() < 1e-12
        self._terms = []
        for shift, block in zip(h.cell_shifts, h.blocks):
            phase = np.exp(2j * np.pi * (k @ shift))
            self._terms.append((phase.real if real else phase, block))
        self.shape = (h.n_orbitals, h.n_orbitals)
        self.dtype = np.dtype(float if real else complex)

    def __matmul__(self, x):
        return sum(phase * (block @ x) for phase, block in self._terms)


def density_of_states(
    h,
    energies=None,
    *,
    kpts=None,
    weights=None,
    width=0.05,
    method="auto",
    project=None,
    n_vectors=16,
    seed=0,
    **options,
):
    """Density of states in states per eV and cell, both spins.

    Parameters
    ----------
    h : WannierHamiltonian
    energies : array_like, optional
        Evenly spaced grid in eV; by default 1001 points over the whole spectrum.
    kpts, weights : array_like, optional
        By default the grid of `filling.default_grid`.
    width : float
        Standard deviation in eV of the Gaussian (exact) or of the Jackson kernel at mid-spectrum (kpm).
    method : {"auto", "exact", "kpm"}
        Automatic: exact up to 1,000 orbitals.
    project : {None, "layer", "species", "atom", "shell"} or dict
        Also the parts on groups of orbitals; a dict maps names to index arrays of orbitals.
    n_vectors : int
        Random vectors of the stochastic trace (kpm).
    **options
        For the exact method, see `kpoints.solve_kpoints`.

    Returns
    -------
    ase.spectrum.dosdata.GridDOSData, or GridDOSCollection with `project`
        Members of a collection are labelled in ``info["label"]``. From kpm it has an array ``error``, (n_E,) or
        (n_parts, n_E): the standard error of the stochastic trace.
    """
    finite(width, "width", above=0)
    if method not in ("auto", "exact", "kpm"):
        raise ValueError(f"method is {method!r}; it must be 'auto', 'exact' or 'kpm'")
    kpts, weights = filling.normalised_points(h, kpts, weights)
    groups = orbital_groups(h, project)
    if method == "auto":
        method = "exact" if h.n_orbitals <= EXACT_LIMIT else "kpm"
    if method == "exact":
        grid, rows = _exact(h, energies, kpts, weights, width, groups, options)
        errors = None
    else:
        grid, rows, errors = _kernel(h, energies, kpts, weights, width, groups, n_vectors, seed)
    data = [
        GridDOSData(grid, h.spin_degeneracy * row, info={"label": name, "method": method})
        for name, row in zip(groups, rows)
    ]
    dos = data[0] if project is None else GridDOSCollection(data)
    if errors is not None:
        dos.error = h.spin_degeneracy * (errors[0] if project is None else errors)
    return dos


def orbital_indices(h, orbitals):
    """Orbitals as an index array (n,); ValueError naming one that does not exist."""
    index = np.asarray(orbitals)
    if index.ndim != 1 or not (np.issubdtype(index.dtype, np.integer) or not len(index)):
        raise ValueError(f"orbitals must be a list of integers, got an array of shape {index.shape} of {index.dtype}")
    index = index.astype(int)
    wrong = index[(index < 0) | (index >= h.n_orbitals)]
    if len(wrong):
        raise ValueError(f"orbital {wrong[0]}: they are 0 to {h.n_orbitals - 1}")
    return index


def orbital_groups(h, project):
    """Names -> orbital indices (None: all orbitals) of a `project` argument."""
    if project is None:
        return {"total": None}
    if isinstance(project, dict) and not project:
        raise ValueError("project is an empty dict; it must name at least one group of orbitals")
    if isinstance(project, dict):
        return {str(name): orbital_indices(h, index) for name, index in project.items()}
    symbols = np.asarray(h.require_sites("a projected density of states").symbols)[h.orbitals["atom"]]
    if project == "layer":
        names = np.array([f"layer {x}" for x in layer_of_orbitals(h)])
    elif project == "species":
        names = symbols
    elif project == "atom":
        names = np.array([f"{s}{a}" for s, a in zip(symbols, h.orbitals["atom"])])
    elif project == "shell":
        names = np.array([f"{s} {'spdf'[x] if x >= 0 else 'w'}" for s, x in zip(symbols, h.orbitals["l"])])
    else:
        raise ValueError(f"project is {project!r}; it must be 'layer', 'species', 'atom', 'shell' or a dict")
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _exact(h, energies, kpts, weights, width, groups, options):
    """sum_k w_k sum_n p_nk Gauss(E - E_nk)"""
    need_states = any(index is not None for index in groups.values())
    levels, shares = [], []
    for k in kpts:
        if need_states:
            e, states = h.eigenstates(k[None], **options)
            weight = np.abs(states[0]) ** 2
            shares.append([np.ones(len(e[0])) if i is None else weight[i].sum(axis=0) for i in groups.values()])
        else:
            e = h.eigenvalues(k[None], **options)
            shares.append([np.ones(len(e[0]))])
        levels.append(e[0])
    levels, shares = np.array(levels), np.array(shares)
    grid = _grid(energies, levels.min() - 5 * width, levels.max() + 5 * width)
    rows = np.zeros((len(groups), len(grid)))
    for e, share, weight in zip(levels, shares, weights):
        gauss = np.exp(-(((grid - e[:, None]) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        rows += weight * share @ gauss
    return grid, rows


def _kernel(h, energies, kpts, weights, width, groups, n_vectors, seed):
    """Stochastic traces of delta(E - H), Weisse et al., Rev. Mod. Phys. 78, 275, section II.B.3."""
    if n_vectors < 2:
        raise ValueError("n_vectors must be at least 2: their scatter gives the error")
    operators = [BlochOperator(h, k) for k in kpts]
    bounds = np.array([chebyshev.spectral_bounds(operator) for operator in operators])
    low, high = bounds[:, 0].min(), bounds[:, 1].max()
    centre, half = (high + low) / 2, (high - low) / 2
    # The Jackson kernel's standard deviation at mid-spectrum is pi / N (Eq. 76).
    n_moments = max(16, int(np.ceil(np.pi * half / width)))
    grid = _grid(energies, low, high)
    rows, errors = np.zeros((2, len(groups), len(grid)))
    for number, (operator, weight) in enumerate(zip(operators, weights)):
        for g, index in enumerate(groups.values()):
            samples = []
            for start in range(0, n_vectors, 4):
                count = min(4, n_vectors - start)
                vectors = _random_vectors(h.n_orbitals, count, index, (seed, number, start), operator.dtype)
                moments = chebyshev.chebyshev_moments(operator, vectors, n_moments, centre, half)
                samples.append(chebyshev.density(moments, (grid - centre) / half) / half)
            samples = np.concatenate(samples, axis=1)
            rows[g] += weight * samples.mean(axis=1)
            errors[g] += weight**2 * samples.var(axis=1, ddof=1) / samples.shape[1]
    return grid, rows, np.sqrt(errors)


def _random_vectors(n, count, index, seed, dtype):
    """Unit-modulus random columns, zero outside the group."""
    if index is None:
        return chebyshev.random_phases(n, count, seed, real=dtype.kind != "c")
    vectors = np.zeros((n, count), dtype)
    vectors[index] = chebyshev.random_phases(len(index), count, seed, real=dtype.kind != "c")
    return vectors


def _grid(energies, low, high):
    if energies is None:
        return np.linspace(low, high, 1001)
    grid = np.asarray(energies, float)
    if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all():
        raise ValueError("energies must be a one-dimensional grid of finite values (eV)")
    if not np.allclose(np.diff(grid), grid[1] - grid[0]):
        raise ValueError("energies must be evenly spaced (as ASE's DOS grids are)")
    return grid


def local_density_of_states(h, orbitals, energies, k=(0, 0, 0), width=0.05):
    """<i|delta(E - H(k))|i> of chosen orbitals by kernel polynomials, no random vectors: shape (n_orbitals, n_E).

    In states per eV and spin.
    """
    index = orbital_indices(h, orbitals)
    finite(width, "width", above=0)
    operator = BlochOperator(h, as_kpoint(h.kpoints(k)[0] if isinstance(k, str) else k))
    low, high = chebyshev.spectral_bounds(operator)
    centre, half = (high + low) / 2, (high - low) / 2
    n_moments = max(16, int(np.ceil(np.pi * half / width)))
    grid = _grid(energies, low, high)
    rows = []
    for start in range(0, len(index), 16):
        chosen = index[start : start + 16]
        vectors = np.zeros((h.n_orbitals, len(chosen)), operator.dtype)
        vectors[chosen, np.arange(len(chosen))] = 1
        moments = chebyshev.chebyshev_moments(operator, vectors, n_moments, centre, half)
        rows.append(chebyshev.density(moments, (grid - centre) / half).T / half)
    return np.concatenate(rows)
