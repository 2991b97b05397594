"""Stacks of any number of layers, each with its own twist.

A supercell vector of the whole stack is an integer vector in every layer.  On hexagonal (square) lattices it decides
the cell alone, its second vector being the first turned by 120 (90) degrees, so a common cell is one integer vector
z_k per layer with a_k |z_k| equal for all, and the twist of layer k is arg z_0 - arg z_k.  All such sets are gone
through by size; nothing is searched on a grid of angles.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .build import (
    VACUUM,
    PlacedLayer,
    assemble,
    check_positive,
    check_shift,
    check_stacking,
    resolve_material,
)
from .cell_search import MAX_ATOMS
from .coincidence import lattice_vectors
from .lattice import describe, rotation_centre

#: Relative difference of lengths that counts as none.
_EXACT = 1e-9


def twisted_multilayer(
    materials,
    angles,
    *,
    tolerance: float = 0.02,
    max_strain: float = 0.0,
    stackings="R",
    gaps=None,
    vacuum: float = VACUUM,
    lattice_constant: float | None = None,
    centre="hexagon",
    shifts=None,
    max_atoms: int = MAX_ATOMS,
) -> Atoms:
    """Smallest common cell of n twisted layers.

    Parameters
    ----------
    materials : str, ase.Atoms, or list of them
        One material for all layers, or one per layer from bottom to top; all hexagonal or all square.
    angles : sequence of float
        Twist of each layer in degrees, counter-clockwise.  (0, t, 0) is the mirror-symmetric trilayer, (0, t, 2 t)
        the helical one.
    tolerance : float
        Largest deviation of each layer's twist against the bottom layer, degrees.
    max_strain : float
        Largest difference of lengths between two layers; 0 asks for an exact cell.  The strain is isotropic
        and shared equally.
    stackings : str or list of str
        "R" or "H" against the bottom layer, for all or for each layer.
    gaps : float or list of float, optional
        Distance of neighbouring mid-planes, Å; by default the mean of the two materials' equilibrium gaps.
    shifts : list of (float, float), optional
        Lateral displacement of each layer after its twist, in lattice vectors of the bottom layer.
    vacuum, lattice_constant, centre, max_atoms
        As in `twisted_bilayer`.

    Returns
    -------
    ase.Atoms
        As of `twisted_bilayer`; `info` has twist_angles, stackings, gaps, supercells and strains, one entry per layer.

    Raises
    ------
    ValueError
        When there is no common cell within the bounds; the message names the nearest one.
    """
    angles = np.asarray(angles, dtype=float)
    n = len(angles) if angles.ndim == 1 else 0
    if n < 1 or not np.isfinite(angles).all():
        raise ValueError(f"angles takes one number (degrees) per layer, not {angles.tolist()}")
    layers, gaps = _layers_and_gaps(materials, n, lattice_constant, gaps)
    stackings = [check_stacking(s) for s in _per_layer(stackings, n, "stackings")]
    shifts = np.zeros((n, 2)) if shifts is None else np.array([check_shift(s) for s in _per_layer(shifts, n, "shifts")])
    kind = layers[0].kind
    vectors = _common_vectors(layers, angles - angles[0], tolerance, max_strain, max_atoms)
    lengths = np.array([np.linalg.norm(z @ layer.cell) for z, layer in zip(vectors, layers)])
    length = np.exp(np.log(lengths).mean())
    plane = length * (np.array([[1, 0], [-0.5, np.sqrt(0.75)]]) if kind == "hexagonal" else np.eye(2))
    turn = _second_vector(kind)
    matrices = [np.array([z, z @ turn]) for z in vectors]
    displacement = shifts @ np.linalg.inv(matrices[0])
    heights = np.concatenate([[0.0], np.cumsum(gaps)])
    signs = [-1 if s == "H" else 1 for s in stackings]
    matrices = [m * sign for m, sign in zip(matrices, signs)]
    atoms = assemble(
        [
            PlacedLayer(layer, matrix, rotation_centre(layer, centre), z, d)
            for layer, matrix, z, d in zip(layers, matrices, heights, displacement)
        ],
        plane,
        vacuum,
    )
    assert len(atoms) == _n_atoms(layers, vectors)
    twists = [_twist(layers, vectors, k, angles - angles[0]) for k in range(n)]
    atoms.info.update(
        twist_angles=twists,
        stackings=list(stackings),
        gaps=gaps,
        supercells=[m.tolist() for m in matrices],
        strains=(length / lengths - 1).tolist(),
        centre=centre if isinstance(centre, str) else list(map(float, centre)),
    )
    return atoms


def _layers_and_gaps(materials, n, lattice_constant, gaps):
    """Monolayers of n layers, all hexagonal or all square, and the gaps (Å) between them."""
    materials = _per_layer(materials, n, "materials")
    resolved = [resolve_material(x, lattice_constant, 1.0 if gaps is not None else None) for x in materials]
    layers = [layer for layer, _ in resolved]
    if gaps is None:
        own = np.array([gap for _, gap in resolved])
        gaps = (own[:-1] + own[1:]) / 2
    gaps = [float(g) for g in _per_layer(list(gaps) if np.ndim(gaps) else gaps, n - 1, "gaps")]
    check_positive(**{f"gap {k}": gap for k, gap in enumerate(gaps)})
    for layer in layers:
        if layer.kind != layers[0].kind or layer.kind not in ("hexagonal", "square"):
            raise ValueError(f"{describe(layer)}: all layers must be hexagonal, or all square")
    return layers, gaps


def _per_layer(value, n, name):
    """A list of n entries; a single value is repeated."""
    if isinstance(value, (str, Atoms, float, int)):
        return [value] * n
    value = list(value)
    if len(value) != n:
        raise ValueError(f"{name}: {len(value)} given, {n} needed")
    return value


def _second_vector(kind):
    """Turn of integer row vectors by 120 (hexagonal) or 90 degrees."""
    return np.array([[0, 1], [-1, -1]] if kind == "hexagonal" else [[0, 1], [-1, 0]])


def _n_atoms(layers, vectors):
    turn = _second_vector(layers[0].kind)
    return sum(len(layer) * abs(round(np.linalg.det(np.array([z, z @ turn])))) for layer, z in zip(layers, vectors))


def _twist(layers, vectors, k, wanted):
    """Twist of layer k in degrees, in the branch of the wanted angle."""
    (x0, y0), (x, y) = vectors[0] @ layers[0].cell, vectors[k] @ layers[k].cell
    twist = np.degrees(np.arctan2(y0, x0) - np.arctan2(y, x))
    return float((twist - wanted[k] + 180) % 360 - 180 + wanted[k])


def _common_vectors(layers, wanted, tolerance, max_strain, max_atoms):
    """One integer vector per layer: the smallest common cell within the bounds."""
    if not (tolerance >= 0 and 0 <= max_strain < 0.5):
        raise ValueError(
            f"the tolerance ({tolerance}) must not be negative, max_strain ({max_strain}) lie between 0 and 0.5"
        )
    density = sum(len(layer) / np.linalg.det(layer.cell) for layer in layers)
    sine = np.sqrt(0.75) if layers[0].kind == "hexagonal" else 1.0
    radius = np.sqrt(max_atoms / density / sine) * (1 + max_strain + _EXACT)
    tables = []
    for layer in layers:
        integers = lattice_vectors(layer.cell, radius * (1 + max_strain))
        vectors = integers @ layer.cell
        tables.append((integers, np.linalg.norm(vectors, axis=1), np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0]))))
    sector = 60 if layers[0].kind == "hexagonal" else 90
    direction = tables[0][2] % 360
    best, nearest = None, None
    for i in np.flatnonzero((direction < sector - 1e-7) | (direction > 360 - 1e-7)):
        if best is not None and tables[0][1][i] > best[2] * (1 + 2 * max_strain + _EXACT):
            break  # lengths ascend: only larger cells follow
        chosen, off, strain = _matching(tables, i, wanted, max_strain)
        if chosen is None:
            continue
        n_atoms = _n_atoms(layers, chosen)
        if n_atoms > max_atoms:
            continue
        if off <= tolerance + 1e-9:
            if best is None or (n_atoms, strain) < best[:2]:
                best = (n_atoms, strain, tables[0][1][i], chosen)
        elif nearest is None or (round(off, 6), n_atoms) < nearest[:2]:
            nearest = (round(off, 6), n_atoms, chosen)
    if best is not None:
        return best[3]
    message = (
        f"no common cell of up to {max_atoms} atoms with twists {wanted.tolist()} within {tolerance:g} degrees "
        f"and a strain of {100 * max_strain:g} %"
    )
    if nearest is not None:
        twists = [round(_twist(layers, nearest[2], k, wanted), 4) for k in range(len(layers))]
        message += f"; the nearest has twists {twists} and {nearest[1]} atoms"
    raise ValueError(message)


def _matching(tables, i, wanted, max_strain):
    """Vectors of all layers as long as vector i of the bottom one and nearest in angle.

    Returns the vectors (None where a layer has none), the largest deviation of a twist (degrees), the largest strain.
    """
    length, chosen, worst = tables[0][1][i], [tables[0][0][i]], 0.0
    lengths = [length]
    for (integers, norms, angles), target in zip(tables[1:], wanted[1:]):
        # any two layers differ by max_strain at most
        start = np.searchsorted(norms, max(lengths) * (1 - max_strain - _EXACT))
        stop = np.searchsorted(norms, min(lengths) * (1 + max_strain + _EXACT))
        if start == stop:
            return None, None, None
        off = abs((tables[0][2][i] - angles[start:stop] - target + 180) % 360 - 180)
        k = start + np.lexsort((abs(norms[start:stop] - length), np.round(off, 6)))[0]
        chosen.append(integers[k])
        lengths.append(norms[k])
        worst = max(worst, off[k - start])
    return chosen, worst, max(lengths) / min(lengths) - 1
