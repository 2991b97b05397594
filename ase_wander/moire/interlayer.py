"""What a moiré cell looks like locally: mid-planes and the distance between them, stacking, domains.

Everything is measured from positions alone, so that cells of other programs can be read too.
The plane of the layers is the xy plane. Layers count from the bottom, in the direction of z, for either order of the
first two lattice vectors. A slab that is periodic along z may be cut by the cell boundary.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..structure import find_layers, slab_heights, standing_positions
from .lattice import is_metal

#: Heights of a metal-free layer further apart than this (Å) are different atomic planes.
PLANE_SEPARATION = 0.5


def layer_index(atoms: Atoms, layers=None) -> np.ndarray:
    """Layer of every atom: `layers` if given (checked), else `find_layers`; shape (n_atoms,)."""
    if layers is None:
        return find_layers(atoms)
    layers = np.asarray(layers)
    if layers.shape != (len(atoms),) or not np.issubdtype(layers.dtype, np.integer):
        raise ValueError(
            f"layers must be one integer for each of {len(atoms)} atoms, got shape {layers.shape} of {layers.dtype}"
        )
    return layers


def midplane_sites(atoms: Atoms, layer: int, layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites of a layer and the height of its mid-plane there.

    The sites are the transition metals, else all atoms of a flat layer, else the atoms of the uppermost atomic
    plane, where the mid-plane is the middle between that plane and the lowest one.

    Returns
    -------
    index : ndarray of int, shape (n_sites,)
        Atoms.
    height : ndarray, shape (n_sites,)
        Å.
    """
    atoms = flat_slab(atoms)
    index = np.flatnonzero(layers == layer)
    if len(index) == 0:
        raise ValueError(f"there is no layer {layer}: the structure has {layers.max() + 1}")
    z = atoms.positions[:, 2]
    metal = is_metal(atoms.numbers[index])
    if metal.any():
        index = index[metal]
        return index, z[index]
    order = index[np.argsort(z[index])]
    breaks = np.flatnonzero(np.diff(z[order]) > PLANE_SEPARATION)
    if len(breaks) == 0:
        return index, z[index]
    lowest, highest = np.sort(order[: breaks[0] + 1]), np.sort(order[breaks[-1] + 1 :])
    below = PeriodicSurface(atoms, atoms.positions[lowest, :2], z[lowest])
    return highest, (z[highest] + below(atoms.positions[highest, :2])) / 2


def interlayer_distance(atoms: Atoms, lower: int = 0, layers=None) -> tuple[np.ndarray, np.ndarray]:
    """Local distance of the mid-planes of two neighbouring layers.

    Parameters
    ----------
    atoms : ase.Atoms
        At least two layers in the xy plane, relaxed or not.
    lower : int
        The lower layer of the pair, counted from the bottom.
    layers : ndarray of int, shape (n_atoms,), optional
        Layer of every atom; found from the bonds by default.

    Returns
    -------
    positions : ndarray, shape (n_sites, 2)
        Sites of the lower layer (transition metals where it has any, else its atoms), x and y in Å.
    distance : ndarray, shape (n_sites,)
        Height of the upper layer's mid-plane, interpolated smoothly between its own sites, above the lower layer's, Å.

    Raises
    ------
    ValueError
        Without such a pair of layers, or when they do not lie in the xy plane.
    """
    atoms = flat_slab(atoms)
    layers = layer_index(atoms, layers)
    if not 0 <= lower < layers.max():
        raise ValueError(f"no pair of layers {lower} and {lower + 1}: the structure has {layers.max() + 1} layer(s)")
    sites, height = midplane_sites(atoms, lower, layers)
    above, height_above = midplane_sites(atoms, lower + 1, layers)
    surface = PeriodicSurface(atoms, atoms.positions[above, :2], height_above)
    positions = atoms.positions[sites, :2]
    return positions, surface(positions) - height


class PeriodicSurface:
    """Periodic smooth interpolation over the plane (piecewise cubic, Clough and Tocher).

    Parameters
    ----------
    atoms : ase.Atoms
        For its first two cell vectors.
    points : ndarray, shape (n, 2)
        Å.
    values : ndarray, shape (n,) or (n, k)
    """

    def __init__(self, atoms, points, values):
        from scipy.interpolate import CloughTocher2DInterpolator

        self.cell = np.array(atoms.cell[:2, :2])
        fractional = (points @ np.linalg.inv(self.cell)) % 1.0
        # What the edge of the patch does to slopes falls by a factor of about 5 from site to site: twelve sites away
        # nothing is left of it, in whatever order the atoms stand.
        margin = 12.0 / np.sqrt(len(points))
        reach = int(np.ceil(margin))
        shifts = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
        images = fractional[:, None] + shifts
        keep = np.all((images > -margin) & (images < 1 + margin), axis=2)
        source = np.nonzero(keep)[0]
        # slopes are found by sweeps over the points: to the end, or they would depend on the order of the atoms
        self._interpolate = CloughTocher2DInterpolator(
            images[keep] @ self.cell, np.asarray(values, float)[source], tol=1e-13
        )

    def __call__(self, points):
        """Values at `points` (m, 2), shape (m,) or (m, k)."""
        fractional = (np.asarray(points, float) @ np.linalg.inv(self.cell)) % 1.0
        return self._interpolate(fractional @ self.cell)


def unwrapped_heights(atoms: Atoms, layers: np.ndarray) -> np.ndarray:
    """z of every atom, Å, with a stack that is cut by a periodic third direction put together again."""
    check_plane(atoms)
    return slab_heights(atoms)


def flat_slab(atoms: Atoms) -> Atoms:
    """The structure itself, or a copy with its slab in one piece where it is periodic along z.

    ValueError as `check_plane`.
    """
    check_plane(atoms)
    if not atoms.pbc[2]:
        return atoms
    whole = atoms.copy()
    whole.set_positions(standing_positions(atoms), apply_constraint=False)
    return whole


def check_plane(atoms: Atoms) -> None:
    """ValueError unless the first two cell vectors span the xy plane."""
    if abs(atoms.cell[:2, 2]).max() > 1e-6 or abs(np.linalg.det(atoms.cell[:2, :2])) < 1e-6:
        raise ValueError(
            f"the layers must lie in the xy plane, the first two cell vectors are {atoms.cell[:2].tolist()}: "
            "ase_wander.structure.in_xy_plane(atoms) turns them there"
        )
