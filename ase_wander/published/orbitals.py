"""Layer-attached Wannier orbitals of the published example, in real spherical harmonics.

The projections of the example's Wannier90 input are, per Mo, d_z2 along three in-plane axes n at 120 degrees and
d_xz, d_yz about a rotated x axis; per S, p_z along three axes (n, +-1)/sqrt 2. Neither set is orthogonal, the
Wannier functions are; the orthonormal set closest to the projections (Loewdin, as in the projection of Wannier90) is

    d(n) = -sqrt(1/3) d_z2 + sqrt(2/3) (cos 2phi d_x2-y2 + sin 2phi d_xy),      n = (cos phi, sin phi, 0)
    p(n) = sqrt(2/3) (cos phi p_x + sin phi p_y) +- sqrt(1/3) p_z.
"""

from __future__ import annotations

import numpy as np

from .environment import METAL

#: Azimuth (degrees) of the axes of the projections in the bottom layer.
METAL_AXES = (-30.0, 210.0, 90.0)
METAL_X_AXIS = 150.0
CHALCOGEN_AXES = (30.0, 150.0, -90.0)


def metal_orbitals(angle):
    """Rows: published orbitals of a metal atom in (xy, yz, z2, xz, x2-y2), axes turned by `angle` (rad).

    Shape (5, 5).
    """
    phi = np.radians(METAL_AXES) + angle
    x = np.radians(METAL_X_AXIS) + angle
    out = np.zeros((5, 5))
    out[:3, 2] = -np.sqrt(1 / 3)
    out[:3, 4] = np.sqrt(2 / 3) * np.cos(2 * phi)
    out[:3, 0] = np.sqrt(2 / 3) * np.sin(2 * phi)
    # d_x'z along x' = (cos x, sin x), d_y'z along y' = z x x'.
    out[3, 3], out[3, 1] = np.cos(x), np.sin(x)
    out[4, 3], out[4, 1] = -np.sin(x), np.cos(x)
    return out


def chalcogen_orbitals(angle, side):
    """Rows: published orbitals of a chalcogen in (y, z, x); `side` +1 above the metal plane, -1 below; shape (3, 3)."""
    phi = np.radians(CHALCOGEN_AXES) + angle
    return np.stack(
        [np.sqrt(2 / 3) * np.sin(phi), np.full(3, side * np.sqrt(1 / 3)), np.sqrt(2 / 3) * np.cos(phi)], axis=1
    )


def orbital_rotations(frame):
    """Orthogonal matrices U of every atom: |published_p> = sum_g U_pg |g>, g the harmonics of the simulation.

    The axes follow the layer: turned with it, and by 180 degrees about the chalcogens of an antiparallel layer.

    Returns
    -------
    list of ndarray
        (5, 5) for a metal atom, (3, 3) for a chalcogen.
    """
    bilayer = frame.bilayer
    metal, chalcogen = {}, {}
    for layer in (0, 1):
        angle = frame.axes_angle(layer)
        metal[layer] = metal_orbitals(angle)
        turned = angle + (np.pi if bilayer.orientation[layer] < 0 else 0.0)
        for upper in (True, False):
            chalcogen[layer, upper] = chalcogen_orbitals(turned, 1 if upper else -1)
    # The inner side is the upper one of the bottom layer and the lower one of the top layer.
    upper = bilayer.inner == (bilayer.layer == 0)
    return [metal[n] if e == METAL else chalcogen[n, bool(u)] for n, e, u in zip(bilayer.layer, bilayer.element, upper)]
