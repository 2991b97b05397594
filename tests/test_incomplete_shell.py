"""One p_z orbital per atom along the local normal: normals, covariance, derivatives, bands of a model of graphene."""

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from ase_wander.moire import twisted_bilayer
from ase_wander.structure import local_normals, plane_normal
from tests.helpers import displaced


def bilayer(amplitude=0.1, seed=0, cells=(2, 2, 1)):
    """2 x 2 cells of bilayer graphene with random displacements."""
    atoms = twisted_bilayer("graphene", angle=0.0, shift=(1 / 3, 2 / 3)) * cells
    return displaced(atoms, amplitude, seed)


# ---------------------------------------------------------------- local normals
def test_normal_of_a_flat_layer_is_that_of_the_plane():
    atoms = bilayer(0.0)
    atoms.positions[:, :2] += np.random.default_rng(0).normal(scale=0.1, size=(len(atoms), 2))
    assert np.abs(local_normals(atoms, atoms.arrays["layer"]) - plane_normal(atoms)).max() < 1e-12


def test_normal_follows_the_bonds():
    """A neighbour lifted by h at x = d, two more at x = -d/2: the plane through the three has the slope h / (1.5 d)."""
    atoms = Atoms("C4", [[0, 0, 0], [1.42, 0, 0.1], [-0.71, 1.23, 0], [-0.71, -1.23, 0]], cell=[20, 20, 20], pbc=(1, 1, 0))
    n = local_normals(atoms, np.zeros(4, int))[0]
    assert -n[0] / n[2] == pytest.approx(0.1 / (1.5 * 1.42), rel=0.02) and abs(n[1]) < 1e-4


def test_normals_turn_with_the_atoms():
    atoms = bilayer()
    n = local_normals(atoms, atoms.arrays["layer"])
    assert (n @ plane_normal(atoms) > 0.9).all() and np.allclose(np.linalg.norm(n, axis=1), 1)
    assert np.abs(n - plane_normal(atoms)).max() > 0.05
    q = Rotation.from_rotvec([0.3, -2.0, 1.1]).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    assert np.abs(local_normals(turned, atoms.arrays["layer"]) - n @ q.T).max() < 1e-12
    mirrored = atoms.copy()
    mirrored.positions[:, 2] *= -1
    assert np.abs(local_normals(mirrored, atoms.arrays["layer"]) + n * [1, 1, -1]).max() < 1e-12
