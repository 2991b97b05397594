"""Layer-attached orbitals of the published example against their definition as functions."""

import numpy as np
import pytest

from ase_wander.published.orbitals import CHALCOGEN_AXES, METAL_AXES, METAL_X_AXIS, chalcogen_orbitals, metal_orbitals

# Quadrupoles Q of the real d functions f(r) = r.Q.r in the order (xy, yz, z2, xz, x2-y2), all of one norm.
D = np.zeros((5, 3, 3))
D[0, 0, 1] = D[0, 1, 0] = D[1, 1, 2] = D[1, 2, 1] = D[3, 0, 2] = D[3, 2, 0] = D[4, 0, 0] = 1
D[4, 1, 1] = -1
D[2] = np.diag([-1, -1, 2]) / np.sqrt(3)


def axis(degrees):
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0])


def loewdin(rows):
    """Orthonormal set closest to the normalised rows."""
    u, _, v = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return u @ v


def test_metal_orbitals_are_the_orthonormalised_projections():
    """d_z2 along three in-plane axes, d_xz and d_yz about a rotated x axis."""
    z, x = axis(0) * 0 + [0, 0, 1], axis(METAL_X_AXIS)
    y = np.cross(z, x)
    functions = [3 * np.outer(axis(a), axis(a)) - np.eye(3) for a in METAL_AXES]
    functions += [np.outer(v, z) + np.outer(z, v) for v in (x, y)]
    rows = np.einsum("pij,gij->pg", functions, D)
    np.testing.assert_allclose(metal_orbitals(0.0), loewdin(rows), atol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_chalcogen_orbitals_are_the_orthonormalised_projections(side):
    """p_z along axes half way between the plane and its normal."""
    rows = np.array([axis(a) + [0, 0, side] for a in CHALCOGEN_AXES])[:, [1, 2, 0]]
    np.testing.assert_allclose(chalcogen_orbitals(0.0, side), loewdin(rows), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi])
def test_orbitals_turn_with_the_layer(angle):
    """f'(r) = f(R^-1 r): the rows turn as vectors and quadrupoles do, and stay orthonormal."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    quadrupoles = np.einsum("pg,gij->pij", metal_orbitals(0.0), D)
    np.testing.assert_allclose(
        np.einsum("pg,gij->pij", metal_orbitals(angle), D), turn @ quadrupoles @ turn.T, atol=1e-12
    )
    xyz = [2, 0, 1]
    np.testing.assert_allclose(
        chalcogen_orbitals(angle, 1)[:, xyz], chalcogen_orbitals(0.0, 1)[:, xyz] @ turn.T, atol=1e-12
    )
    for u in (metal_orbitals(angle), chalcogen_orbitals(angle, -1)):
        np.testing.assert_allclose(u @ u.T, np.eye(len(u)), atol=1e-12)
