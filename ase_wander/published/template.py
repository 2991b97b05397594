"""An ideal template of our own: the same shells as the published walks, generated from the MoS2 lattice."""

from __future__ import annotations

import numpy as np

from .environment import CHALCOGEN, METAL, Template


def ideal_template(a=3.16, half_thickness=1.56):
    """Template walks over a perfect 2H layer, shell by shell along its bonds.

    Around a metal atom 6 X, 6 M, 18 X; around a chalcogen the X across the layer, 3 M, 12 X, 9 M: the shells
    of the published walks, ordered inside a shell by azimuth, then height.

    Parameters
    ----------
    a : float
        Lattice constant in Å.
    half_thickness : float
        Height of the chalcogens above the metal plane in Å.

    Returns
    -------
    Template
    """
    positions, _element = _patch(a, half_thickness)
    bond = np.hypot(a / np.sqrt(3), half_thickness)
    bonded = np.abs(np.linalg.norm(positions[:, None] - positions[None], axis=-1) - bond) < 1e-6

    def find(point):
        return int(np.argmin(np.linalg.norm(positions - point, axis=1)))

    metal = _shells(positions, bonded, find([0, 0, 0]), None, 3)
    # The inner side of the bottom layer is the upper one.
    upper, lower = (find([0, a / np.sqrt(3), z]) for z in (half_thickness, -half_thickness))
    inner = _shells(positions, bonded, upper, lower, 3)
    parents = {"metal": metal[0], "chalcogen": inner[0]}
    # The outer chalcogen is the mirror image of the inner one.
    return Template.from_steps(metal[1], inner[1], inner[1] * [1, 1, -1], parents)


def _patch(a, half_thickness):
    """Positions and elements of a patch of a 2H layer.

    Bonds from a metal atom point along +y and +-120 degrees from it.
    """
    a1, a2 = a * np.array([1, 0, 0]), a * np.array([-0.5, np.sqrt(3) / 2, 0])
    n = np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-5, 6), indexing="ij"), -1).reshape(-1, 2)
    metal = n @ np.stack([a1, a2])
    bonds = np.array([[0, a / np.sqrt(3), s * half_thickness] for s in (1, -1)])
    positions = np.concatenate([metal] + [metal + b for b in bonds])
    return positions, np.repeat([METAL, CHALCOGEN, CHALCOGEN], len(metal))


def _shells(positions, bonded, centre, across, n_shells):
    """Parents and steps of the walk from `centre` over `n_shells` shells of bonds (`across` first, where given)."""
    nodes, parents = [centre], []
    if across is not None:
        nodes.append(across)
        parents.append(0)
    shell = [centre]
    for _ in range(n_shells):
        new = [k for k in np.flatnonzero(bonded[shell].any(axis=0)) if k not in nodes]
        away = positions[new] - positions[centre]
        azimuth = np.round(np.arctan2(away[:, 1], away[:, 0]) % (2 * np.pi), 6)
        new = [new[k] for k in np.lexsort((-away[:, 2], azimuth))]
        parents += [next(p for p, node in enumerate(nodes) if bonded[node, k]) for k in new]
        nodes += new
        shell = new
    steps = positions[nodes[1:]] - positions[[nodes[p] for p in parents]]
    return tuple(parents), steps
