"""Bond frames by compiled loops are those of torch, and leave derivatives to torch."""

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from ase_wander import kernels, load_model
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.angular import l_slice, spherical_harmonics
from ase_wander.nn.bond_frame import BondFrames
from ase_wander.structure import find_layers
from tests.helpers import displaced

CLOSE = {torch.float64: 1e-13, torch.float32: 1e-5}

pytestmark = pytest.mark.usefixtures("compiled")


def bonds(n, dtype, seed=0):
    """Random ones, after those along the axes, where the rotation onto z takes a half turn first or is the identity."""
    axes = np.concatenate([np.eye(3), -np.eye(3)]) * 2.5
    random = np.random.default_rng(seed).normal(size=(max(n - 6, 0), 3))
    return torch.from_numpy(np.concatenate([axes, random])[:n]).to(dtype)


def by_torch(monkeypatch, function):
    with monkeypatch.context() as off:
        off.setenv(kernels.SWITCH, "0")
        return function()


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("n, l_max", [(1, 4), (7, 2), (8, 4), (29, 3), (40, 4)])
def test_matrices_of_bonds(dtype, n, l_max, monkeypatch):
    vector = bonds(n, dtype)
    loops, reference = BondFrames(vector, l_max), by_torch(monkeypatch, lambda: BondFrames(vector.double(), l_max))
    assert torch.allclose(loops.r.double(), reference.r, rtol=CLOSE[dtype], atol=0)
    for a, b in zip(loops.d, reference.d):
        assert a.dtype == dtype and (a.double() - b).abs().max() < CLOSE[dtype]


def test_bonds_are_turned_onto_z():
    """Y_l(z) has the one component m = 0, which is 1."""
    vector = bonds(30, torch.float64)
    frames = BondFrames(vector, 4)
    harmonics = spherical_harmonics(vector / frames.r[:, None], 4)
    for l, d in enumerate(frames.d):
        turned = (d @ harmonics[:, l_slice(l), None]).squeeze(-1)
        assert torch.allclose(turned, torch.eye(2 * l + 1, dtype=torch.float64)[l].expand_as(turned), atol=1e-13)


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("channels", [1, 8, 12, 16])
@pytest.mark.parametrize("mirrored", [False, True])
def test_tensors_by_order(dtype, channels, mirrored, monkeypatch):
    frames = BondFrames(bonds(21, dtype), 4)
    tensors = torch.randn(21, channels, 25, generator=torch.Generator().manual_seed(0)).to(dtype).transpose(1, 2)
    loops = frames.by_order(tensors, mirrored)
    reference = by_torch(monkeypatch, lambda: frames.by_order(tensors, mirrored))
    for a, b in zip(loops, reference):
        assert a.shape == b.shape and (a - b).abs().max() < 10 * CLOSE[dtype]


@pytest.mark.parametrize("l1, l2", [(0, 1), (1, 2), (2, 2), (4, 3)])
def test_blocks_back_in_crystal_axes(l1, l2, monkeypatch):
    frames = BondFrames(bonds(21, torch.float64), 4)[torch.arange(20, -1, -1)]
    block = torch.randn(21, 2 * l2 + 1, 2 * l1 + 1, dtype=torch.float64).transpose(1, 2)
    before = block.clone()
    loops = frames.to_crystal(block, l1, l2)
    assert torch.equal(block, before)
    assert torch.allclose(loops, by_torch(monkeypatch, lambda: frames.to_crystal(block, l1, l2)), atol=1e-13)


def test_derivatives_are_left_to_torch():
    vector = bonds(9, torch.float64)
    assert BondFrames(vector.clone().requires_grad_(True), 2).d[2].requires_grad
    with torch.no_grad(), forward_ad.dual_level():
        frames = BondFrames(forward_ad.make_dual(vector, torch.ones_like(vector)), 2)
        assert forward_ad.unpack_dual(frames.d[2]).tangent is not None


@pytest.mark.parametrize("name, material", [("mos2-bilayer", "MoS2"), ("graphene-bilayer", "graphene")])
@pytest.mark.parametrize("dtype, close", [("float64", 1e-12), ("float32", 2e-5)])
def test_hamiltonians_agree(name, material, dtype, close, monkeypatch):
    model = load_model(name, dtype=dtype)
    atoms = displaced(twisted_bilayer(material, m=2, r=1), 0.03, 1)
    run = lambda: model.hamiltonian(atoms, find_layers(atoms))
    loops, reference = run(), by_torch(monkeypatch, run)
    assert np.array_equal(loops.pair_shift, reference.pair_shift)
    assert np.abs(loops.block - reference.block).max() < close
