"""Blocks of atom pairs: choosing, finding and opposing them agrees with what H says as a whole."""

import numpy as np
import pytest

from ase_wander.electronic.blocks import PairBlocks
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.structure import neighbour_pairs
from tests.mos2_small import DATA

FILE = sorted((DATA / "hamiltonians").glob("ml_*.npz"))[0]
SHELLS = {"Mo": (2,), "S": (1,)}


@pytest.fixture(scope="module")
def whole():
    """H of the reference file and its blocks."""
    h = WannierHamiltonian.from_dataset_file(FILE)
    with np.load(FILE) as data:
        return h, PairBlocks.from_arrays(data, h.n_electrons)


def test_a_file_and_its_blocks_are_the_same_hamiltonian(whole):
    h, blocks = whole
    same = WannierHamiltonian.from_pairs(h.atoms, SHELLS, blocks)
    unpacked = WannierHamiltonian.from_blocks(h.atoms, SHELLS, *blocks)
    k = (0.21, 0.37, 0.0)
    assert abs(h.at_k(k) - same.at_k(k)).max() == abs(h.at_k(k) - unpacked.at_k(k)).max() == 0
    assert same.n_electrons == unpacked.n_electrons == blocks.n_electrons == blocks[5]


def test_opposite_blocks_are_transposes(whole):
    """H(-R) = H(R)^T of the reference, which is complete: no pair lacks its opposite."""
    _, blocks = whole
    opposite = blocks.opposite()
    assert (opposite >= 0).all() and (opposite[opposite] == np.arange(blocks.n_pairs)).all()
    counts = np.sqrt(blocks.sizes[blocks.onsite]).astype(int)[np.argsort(blocks.pair_i[blocks.onsite])]
    for p in range(0, blocks.n_pairs, 7):
        shape = counts[blocks.pair_i[p]], counts[blocks.pair_j[p]]
        assert blocks.of_pair(p).reshape(shape) == pytest.approx(
            blocks.of_pair(opposite[p]).reshape(shape[::-1]).T, abs=1e-5
        )


def test_pairs_taken_keep_their_elements_and_lengths(whole):
    h, blocks = whole
    distance = np.linalg.norm(blocks.vectors(h.atoms), axis=1)
    order = np.argsort(distance, kind="stable")
    turned = blocks.take(order)
    assert all((turned.of_pair(q) == blocks.of_pair(p)).all() for q, p in enumerate(order))
    near = turned.take(np.sort(distance) < 4.0)
    assert near.onsite.sum() == len(h.atoms) and near.n_pairs == len(h.atoms) + len(neighbour_pairs(h.atoms, 4.0))
    place = near.find(blocks.pair_i, blocks.pair_j, blocks.pair_shift)
    assert ((place >= 0) == (distance < 4.0)).all()
    assert (near.take(place[place >= 0]).block == blocks.take(distance < 4.0).block).all()


def test_empty_selections():
    none = PairBlocks(*np.zeros((2, 0), int), np.zeros((0, 3), int), np.zeros(0), np.zeros(1, int))
    assert none.take([]).n_pairs == 0 and none.find([1], [2], [[0, 0, 1]]).tolist() == [-1]
    assert none.find([], [], np.zeros((0, 3))).size == 0 and none.n_electrons is None


def test_groups_of_pairs_come_one_after_the_other():
    parts = [([0, 1], [0, 1], np.zeros((2, 3), int), np.arange(8.0).reshape(2, 2, 2))]
    parts += [([0], [1], [[0, 0, 1]], np.full((1, 2, 1), 9.0)), ([], [], np.zeros((0, 3), int), np.zeros((0, 1, 2)))]
    blocks = PairBlocks.from_parts(parts, 3.0)
    assert blocks.block_ptr.tolist() == [0, 4, 8, 10] and blocks.of_pair(2).tolist() == [9.0, 9.0]
    assert blocks.stacked(np.array([1]), 2, 2).tolist() == [[[4.0, 5.0], [6.0, 7.0]]]
