"""Inter-layer blocks from either end's own layer: symmetries, and what a relative rotation of the layers may change."""

import numpy as np
import pytest
import torch

from ase_wander.electronic.blocks import PairBlocks
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.additive import AdditiveHopping
from ase_wander.nn.angular import wigner_d
from ase_wander.nn.bond_frame import BondFrames
from tests.helpers import displaced, random_orthogonal

TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-11}


def model_of(inter_input="additive"):
    """An untrained model whose force field and dressings see 4.5 Å far."""
    torch.manual_seed(3)
    heads = {"cutoff": 7.0, "taper": 6.0, "n_channels": 8, "n_scalars": 8, "hidden": 16, "n_gated": 8, "smearing": 0}
    config = {
        "species": ["Mo", "S"],
        "shells": {"Mo": [2], "S": [1]},
        "electrons": {"Mo": 6, "S": 4},
        "force_field": {"cutoff": 4.5, "n_radial": 6, "n_channels": 8, "n_raer": 8, "hidden": 16},
        "heads": {**heads, "inter_input": inter_input},
    }
    return WanderModel(config).double().eval()


def hopping(l1, l2, dtype, n_own=3, n_other=2, n_scalars=4):
    torch.manual_seed(l1 + 3 * l2)
    return AdditiveHopping(l1, l2, l1 == l2, n_own, n_other, n_scalars, 9.0, 8.0, n_gated=4, hidden=12).to(dtype)


def ends(dtype, p=6, n_channels=5, n_scalars=4):
    """Bonds (p, 3), node tensors and scalars at both ends."""
    generator = torch.Generator().manual_seed(7)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)
    return 3 * draw(p, 3), draw(p, 25, n_channels), draw(p, 25, n_channels), draw(p, n_scalars), draw(p, n_scalars)


# ---------------------------------------------------------------- symmetries
@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("determinant", [1, -1])
@pytest.mark.parametrize("l1, l2", [(2, 2), (2, 1), (1, 1), (0, 0), (0, 1)])
def test_blocks_turn_with_bonds_and_tensors(l1, l2, determinant, dtype):
    """H(Q ...) = D H D^T for rotations and reflections Q; tensors of natural parity turn with D_l(Q)."""
    head, (bonds, t_i, t_j, s_i, s_j) = hopping(l1, l2, dtype), ends(dtype)
    q = random_orthogonal(5, determinant).to(dtype)
    d = [wigner_d(q[None], l)[0] for l in range(5)]
    turned = lambda t: torch.cat([m @ x for m, x in zip(d, t.split([1, 3, 5, 7, 9], 1))], 1)
    block = head(BondFrames(bonds, 4), t_i, t_j, s_i, s_j)
    other = head(BondFrames(bonds @ q.T, 4), turned(t_i), turned(t_j), s_i, s_j)
    assert torch.allclose(other, d[l1] @ block @ d[l2].T, atol=TOLERANCE[dtype] * float(block.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("l", [0, 1, 2])
def test_a_bond_seen_from_its_other_end_has_the_transposed_block(l, dtype):
    head, (bonds, t_i, t_j, s_i, s_j) = hopping(l, l, dtype), ends(dtype)
    block = head(BondFrames(bonds, 4), t_i, t_j, s_i, s_j)
    back = head(BondFrames(-bonds, 4), t_j, t_i, s_j, s_i)
    assert torch.allclose(back, block.transpose(1, 2), atol=TOLERANCE[dtype] * float(block.abs().max()))


@pytest.mark.parametrize("determinant", [1, -1])
def test_the_hamiltonian_of_a_model_is_covariant(determinant):
    """Bands do not see how the cell lies in space, and H(R) is Hermitian."""
    model, atoms = model_of(), displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.05, 1)
    q = random_orthogonal(4, determinant).numpy()
    turned = atoms.copy()
    turned.positions, turned.cell = atoms.positions @ q.T, atoms.cell.array @ q.T
    levels = []
    for a in (atoms, turned):
        h = gamma(model, a)
        assert np.abs(h - h.T).max() < 1e-12 * np.abs(h).max()
        levels.append(np.linalg.eigvalsh(h))
    assert np.abs(levels[0] - levels[1]).max() < 1e-9 * np.abs(levels[0]).max()


def gamma(model, atoms):
    """Sum over R of H(R), eV."""
    found: PairBlocks = model.hamiltonian(atoms, atoms.arrays["layer"])
    i, j, _, block, ptr, *_ = found
    sizes = np.array([{"Mo": 5, "S": 3}[s] for s in atoms.symbols])
    first = np.concatenate([[0], np.cumsum(sizes)])
    h = np.zeros((first[-1], first[-1]))
    for a, b, start, stop in zip(i, j, ptr, ptr[1:]):
        h[first[a] : first[a + 1], first[b] : first[b + 1]] += block[start:stop].reshape(sizes[a], sizes[b])
    return h


# ---------------------------------------------------------------- a relative rotation of the layers
def facing(angle, radius=8.0):
    """Two flakes of MoS2 about an axis through an S atom of either, the upper one turned by `angle` (degrees)."""
    layer = twisted_bilayer("MoS2", angle=0.0)
    layer = layer[layer.arrays["layer"] == 0].repeat((9, 9, 1))
    top = int(np.argmax(layer.positions[:, 2]))
    inner = np.flatnonzero(np.abs(layer.positions[:, 2] - layer.positions[top, 2]) < 0.1)
    middle = layer.positions[inner, :2].mean(0)
    centre = layer.positions[inner[np.argmin(np.linalg.norm(layer.positions[inner, :2] - middle, axis=1))]]
    layer.positions -= centre
    layer = layer[np.linalg.norm(layer.positions[:, :2], axis=1) < radius]
    upper = layer.copy()
    upper.positions[:, 2] = 3.1 - upper.positions[:, 2]
    upper.rotate(angle, "z")
    both = layer + upper
    both.arrays["layer"] = np.repeat([0, 1], len(layer))
    both.set_cell([60.0, 60.0, 40.0])
    both.pbc = (True, True, False)
    both.center()
    return both


def facing_element(model, angle):
    """p_z-p_z element (eV) of the two S atoms on the axis."""
    atoms = facing(angle)
    a, b = (int(np.argmin(np.linalg.norm(atoms.positions - p, axis=1))) for p in axis_atoms(atoms))
    graph, pairs = model.pair_graph(atoms, atoms.arrays["layer"])
    found = np.flatnonzero(((pairs.i == a) & (pairs.j == b)) | ((pairs.i == b) & (pairs.j == a)))
    chosen = torch.from_numpy(found[np.argmin(pairs.distance[found])][None])
    with torch.no_grad():
        environment, _ = model.force_field.environment(graph)
        tensors, scalars = model.heads.dress(graph, environment)
        return float(model.heads.hopping_blocks(graph, tensors, scalars, "11_inter", chosen)[0, 1, 1])


def axis_atoms(atoms):
    """Where the S atoms on the axis are."""
    lower, upper = (atoms[atoms.arrays["layer"] == k].positions for k in (0, 1))
    axis = np.array([*lower[:, :2].mean(0), 0.0])
    return axis + [0, 0, lower[:, 2].max()], axis + [0, 0, upper[:, 2].min()]


def test_the_twist_enters_a_facing_pair_by_its_lowest_harmonic_alone():
    """Flakes of threefold symmetry: the element is a + b cos 3 angle, which 0 and 60 degrees determine; a head that
    mixes all is not."""
    angles = np.array([0.0, 60.0, 10.0, 21.79, 30.0, 47.0])
    errors = {}
    for kind in ("additive", "tensors"):
        model = model_of(kind)
        values = np.array([facing_element(model, angle) for angle in angles])
        a, b = (values[0] + values[1]) / 2, (values[0] - values[1]) / 2
        errors[kind] = np.abs(values - a - b * np.cos(3 * np.radians(angles))).max() / np.abs(values).max()
    assert errors["additive"] < 1e-11
    assert errors["tensors"] > 1e-7


def test_own_tensors_know_nothing_of_the_other_layer():
    """Turned, or taken away: only the densities of the other layer change."""
    model, found = model_of(), []
    for atoms in (facing(0.0), facing(25.0)):
        graph, environment = model.environment(atoms, atoms.arrays["layer"])
        heads = model.heads.layer_dressing
        tensors, scalars = heads(graph, environment)
        lower = torch.from_numpy(atoms.arrays["layer"] == 0)
        found.append((tensors[lower], scalars[lower, : -heads.n_other]))
    (t, s), (turned_t, turned_s) = found
    assert torch.allclose(s, turned_s, atol=1e-12)
    assert torch.allclose(t[:, : heads.n_own], turned_t[:, : heads.n_own], atol=1e-12)
    assert (t - turned_t)[:, heads.n_own :].abs().max() > 1e-3


def test_without_bilinear_terms_the_ends_add_up():
    """f(n, m) - f(n', m) - f(n, m') + f(n', m') = 0 for any surroundings n, n' of one and m, m' of the other end."""
    head, (bonds, t_i, t_j, s_i, s_j) = hopping(2, 1, torch.float64), ends(torch.float64)
    frames = BondFrames(bonds, 4)
    mixed = lambda: (
        head(frames, t_i, t_j, s_i, s_j)
        - head(frames, t_j, t_j, s_j, s_j)
        - head(frames, t_i, t_i, s_i, s_i)
        + head(frames, t_j, t_i, s_j, s_i)
    )
    assert mixed().abs().max() > 1e-3
    for drop in head.both.drop:
        torch.nn.init.zeros_(drop.weight)
    assert mixed().abs().max() < 1e-13
