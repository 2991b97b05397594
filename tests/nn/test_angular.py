"""Harmonics, rotations and couplings: orthogonality, group law, sum rules, the bond frame."""

import numpy as np
import pytest
import torch

from ase_wander.nn.angular import clebsch_gordan, l_slice, spherical_harmonics, wigner_d
from ase_wander.nn.bond_frame import BondFrames, block_basis, bond_rotation
from tests.helpers import random_orthogonal


@pytest.fixture
def directions():
    v = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)))
    return v / v.norm(dim=1, keepdim=True)


def test_orbital_order_is_that_of_the_interface(directions):
    x, y, z = directions.T
    h = spherical_harmonics(directions, 2)
    assert torch.allclose(h[:, 1:4], torch.stack([y, z, x], 1))
    expected = torch.stack([x * y, y * z, (3 * z * z - 1) / (2 * 3**0.5), x * z, (x * x - y * y) / 2], 1) * 3**0.5
    assert torch.allclose(h[:, 4:9], expected)


@pytest.mark.parametrize("l", range(5))
def test_addition_theorem(directions, l):
    """sum_m Y_lm(a) Y_lm(b) = P_l(a.b)."""
    h = spherical_harmonics(directions, 4)[:, l_slice(l)]
    legendre = np.polynomial.legendre.Legendre.basis(l)((directions @ directions.T).numpy())
    assert np.allclose(h @ h.T, legendre, atol=1e-13)


@pytest.mark.parametrize("l", range(5))
@pytest.mark.parametrize("determinant", [1, -1])
def test_wigner_matrices_rotate_harmonics_and_compose(directions, l, determinant):
    q, p = random_orthogonal(1, determinant), random_orthogonal(2, determinant)
    d = wigner_d(q, l)
    h, rotated = (spherical_harmonics(v, 4)[:, l_slice(l)] for v in (directions, directions @ q.T))
    assert torch.allclose(rotated, h @ d.T, atol=1e-13)
    assert torch.allclose(wigner_d(p @ q, l), wigner_d(p, l) @ d, atol=1e-12)
    assert torch.allclose(d @ d.T, torch.eye(2 * l + 1, dtype=d.dtype), atol=1e-12)


@pytest.mark.parametrize("l1, l2, l3", [(1, 1, 0), (1, 1, 1), (1, 2, 3), (2, 2, 4), (2, 2, 2), (4, 4, 0), (3, 4, 1)])
def test_couplings_are_invariant_and_normalised(l1, l2, l3):
    c = clebsch_gordan(l1, l2, l3)
    d1, d2, d3 = (wigner_d(random_orthogonal(5, 1), l) for l in (l1, l2, l3))
    assert torch.allclose(torch.einsum("abc,ia,jb,kc->ijk", c, d1, d2, d3), c, atol=1e-11)
    assert torch.allclose(torch.einsum("abc,abd->cd", c, c), torch.eye(2 * l3 + 1, dtype=c.dtype), atol=1e-11)


def test_forbidden_coupling_is_refused():
    with pytest.raises(ValueError, match="triangle"):
        clebsch_gordan(1, 1, 3)


def test_bond_rotation_is_proper_and_turns_every_bond_onto_z(directions):
    axes = torch.tensor([[0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0], [0, -1.0, 0]], dtype=torch.float64)
    bonds = torch.cat([directions, axes])
    q = bond_rotation(bonds)
    z = torch.tensor([0, 0, 1.0], dtype=torch.float64).expand(len(bonds), 3)
    assert torch.allclose((q @ bonds.unsqueeze(2)).squeeze(2), z, atol=1e-14)
    assert torch.allclose(torch.linalg.det(q), torch.ones(len(bonds), dtype=q.dtype), atol=1e-13)


@pytest.mark.parametrize("l1, l2", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_block_basis_is_complete_and_splits_by_angular_momentum(l1, l2):
    counts, basis = block_basis(l1, l2)
    n = (2 * l1 + 1) * (2 * l2 + 1)
    assert sum(counts[:2]) + 2 * sum(counts[2:]) == n
    assert torch.allclose(basis @ basis.T, torch.eye(n, dtype=basis.dtype), atol=1e-14)
    angle = 0.7  # a turn about z leaves the scalars alone
    turn = torch.tensor([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    d1, d2 = wigner_d(turn, l1), wigner_d(turn, l2)
    scalars = basis[: sum(counts[:2])].reshape(-1, 2 * l1 + 1, 2 * l2 + 1)
    assert torch.allclose(d1 @ scalars @ d2.T, scalars, atol=1e-13)
    first = sum(counts[:2])
    for m, count in enumerate(counts[2:], start=1):  # and turns cos, sin of order m by m times the angle
        cos, sin = basis[first : first + count], basis[first + count : first + 2 * count]
        turned = (d1 @ cos.reshape(-1, 2 * l1 + 1, 2 * l2 + 1) @ d2.T).flatten(1)
        assert torch.allclose(turned, np.cos(m * angle) * cos + np.sin(m * angle) * sin, atol=1e-13)
        first += 2 * count


def test_frame_and_back_is_the_identity(directions):
    frames = BondFrames(3 * directions, 2)
    block = torch.from_numpy(np.random.default_rng(1).normal(size=(len(directions), 5, 3)))
    aligned = frames.d[2] @ block @ frames.d[1].transpose(1, 2)
    assert torch.allclose(frames.to_crystal(aligned, 2, 1), block, atol=1e-13)
