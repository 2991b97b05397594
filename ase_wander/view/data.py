"""What the page shows, as plain numbers: structure, maps of the layer distance, bands, densities of a few states."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from ..electronic.properties.analysis import atomic_density
from ..moire.interlayer import PeriodicSurface, flat_slab, midplane_sites
from ..moire.lattice import is_metal
from ..structure import BOND_SCALE, find_layers, neighbour_pairs, standing_positions

#: Points of a distance map along each lattice vector.
GRID = 60

#: Bytes of all densities together; a page stays below 5 MB with them.
DENSITY_BYTES = 2_500_000

#: States closer than this (eV) at one k-point share their density: only the sum over a degenerate group has a meaning.
DEGENERATE = 1e-3

#: Above so many atoms bonds are left out.
BONDED_ATOMS = 6000


def view_data(atoms: Atoms, bands=None, hamiltonian=None, n_states: int = 8, title: str = "", rows=()) -> dict:
    """Everything that the page holds, JSON-able.

    Parameters
    ----------
    atoms : ase.Atoms
        Layers in the xy plane.
    bands : ase.spectrum.band_structure.BandStructure, optional
    hamiltonian : WannierHamiltonian, optional
        Of the same structure; for the numbers of bands, and for densities where `bands` are given too.
    n_states : int
        Bands nearest the gap whose densities are kept, at every special point of the path; fewer where they would take
        more than `DENSITY_BYTES`. 0: none.
    title : str
    rows : iterable of (str, str)
        A table of names and values.

    Returns
    -------
    dict
        `title`, `rows`, `structure` and `maps`; `bands` and `states`, None and empty where they are not known.
    """
    layers = find_layers(atoms)
    page = {"title": title, "rows": [list(map(str, row)) for row in rows], "structure": structure_data(atoms, layers)}
    page |= {"maps": distance_maps(atoms, layers), "bands": None, "states": []}
    if bands is not None:
        page["bands"] = band_data(bands, hamiltonian)
        if hamiltonian is not None and n_states:
            page["states"] = state_data(hamiltonian, page["bands"], n_states)
    return page


def structure_data(atoms: Atoms, layers) -> dict:
    """Positions (Å), cell, layers, radii, colours and bonds (pairs of atoms in the same image of the cell)."""
    positions = standing_positions(atoms)
    kinds = sorted(set(atoms.numbers.tolist()))
    bonds = []
    if len(atoms) <= BONDED_ATOMS:
        pairs = neighbour_pairs(atoms, 2 * BOND_SCALE * max(covalent_radii[z] for z in kinds))
        reach = BOND_SCALE * (covalent_radii[atoms.numbers[pairs.i]] + covalent_radii[atoms.numbers[pairs.j]])
        inside = np.linalg.norm(positions[pairs.j] - positions[pairs.i], axis=1) < reach
        metal = is_metal(atoms.numbers)  # whose neighbours in a dichalcogenide are no bonds for the eye
        keep = (pairs.i < pairs.j) & inside & (layers[pairs.i] == layers[pairs.j]) & ~(metal[pairs.i] & metal[pairs.j])
        bonds = np.unique(np.stack([pairs.i[keep], pairs.j[keep]], axis=1), axis=0).tolist()
    return {
        "formula": atoms.get_chemical_formula("metal"),
        "symbols": [Atoms(numbers=[z]).symbols[0] for z in kinds],
        "radii": [round(float(covalent_radii[z]), 3) for z in kinds],
        "colours": ["#" + "".join(f"{round(255 * c):02x}" for c in jmol_colors[z]) for z in kinds],
        "kind": [kinds.index(z) for z in atoms.numbers.tolist()],
        "layer": np.asarray(layers).tolist(),
        "positions": positions.round(3).tolist(),
        "cell": atoms.cell.array.round(5).tolist(),
        "bonds": bonds,
    }


def distance_maps(atoms: Atoms, layers) -> list[dict]:
    """Distance of the mid-planes of neighbouring layers on a grid of the cell, one map for each gap.

    Returns
    -------
    list of dict
        `lower` (layer), `low`, `high` (Å) and `values`: (GRID, GRID) bytes in base 64, 0 at `low` and 255 at `high`.
    """
    atoms, maps = flat_slab(atoms), []
    fractions = np.stack(np.meshgrid(*[np.arange(GRID) / GRID] * 2, indexing="ij"), axis=-1)
    points = (fractions @ atoms.cell.array[:2, :2]).reshape(-1, 2)
    heights = []
    for layer in range(max(layers) + 1):
        sites, height = midplane_sites(atoms, layer, layers)
        heights.append(PeriodicSurface(atoms, atoms.positions[sites, :2], height)(points))
    for lower, (below, above) in enumerate(pairwise(heights)):
        distance = above - below
        maps.append({"lower": lower, "size": GRID, **_as_bytes(distance)})
    return maps


def band_data(bands, hamiltonian=None) -> dict:
    """Energies (eV, relative to vacuum) of every band along the path, their absolute indices, special points, zero."""
    x, ticks, letters = bands.get_labels()
    energies = bands.energies[0]
    first, occupied = 0, None
    if hamiltonian is not None:
        first, occupied = hamiltonian.band_window(energies.shape[1]).start, hamiltonian.n_occupied
    below = energies[energies <= bands.reference]
    return {
        "x": np.round(x, 6).tolist(),
        "kpts": bands.path.kpts.round(6).tolist(),
        "ticks": np.round(ticks, 6).tolist(),
        "letters": ["Γ" if letter == "G" else letter for letter in letters],
        "energies": energies.T.round(5).tolist(),
        "first": int(first),
        "occupied": occupied,
        "reference": float(bands.reference),
        "zero": float(below.max()) if len(below) else float(bands.reference),
    }


def state_data(hamiltonian, bands: dict, n_states: int) -> list[dict]:
    """Densities |psi|^2 of atoms, for the bands nearest the gap at the special points of the path.

    Returns
    -------
    list of dict
        `k` (index on the path), `band` (absolute index), `energy` (eV), `degenerate` (states that share the density),
        `high` (largest weight of an atom) and `values`, (n_atoms,) bytes in base 64, 255 at `high`.
    """
    x, kpts = np.array(bands["x"]), np.array(bands["kpts"])
    places = {}
    for letter, tick in zip(bands["letters"], bands["ticks"]):
        places.setdefault(letter, int(abs(x - tick).argmin()))  # Γ at both ends of the path is the same point
    room = DENSITY_BYTES // (len(hamiltonian.atoms) * 4 // 3) // max(len(places), 1)
    n_states = min(n_states, len(bands["energies"]), room)
    if n_states < 1:
        return []
    first = hamiltonian.band_window(n_states).start
    states = []
    for k in places.values():
        energies, vectors = (a[0] for a in hamiltonian.eigenstates(kpts[k], n_states))
        density = atomic_density(hamiltonian, vectors)
        for n, energy in enumerate(energies):
            group = np.flatnonzero(abs(energies - energy) < DEGENERATE)
            weights = density[:, group].mean(axis=1)
            record = {"k": k, "band": first + n, "energy": round(float(energy), 5), "degenerate": len(group)}
            states.append({**record, **_as_bytes(weights, low=0.0)})
    return states


def _as_bytes(values, low=None) -> dict:
    """`low`, `high` and the values between them as bytes in base 64."""
    low = float(values.min()) if low is None else low
    high = float(values.max())
    steps = np.round(255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8)
    return {"low": low, "high": high, "values": b64encode(steps.tobytes()).decode()}
