"""Sparse matrices out of pair blocks, element by element."""

import numpy as np
import pytest

from ase_wander.electronic import assembly
from ase_wander.electronic.assembly import blocks_to_csr

COUNTS = np.array([5, 1, 3, 3])


def random_pairs(seed, dtype=float):
    """A random choice of pairs of four atoms with 5, 1, 3 and 3 orbitals in cells -1, 0, 1, in random order."""
    generator = np.random.default_rng(seed)
    every = np.stack(np.meshgrid(range(4), range(4), range(-1, 2), [0], [0, 2], indexing="ij"), -1).reshape(-1, 5)
    chosen = generator.permutation(every)[:60]
    i, j, shift = chosen[:, 0], chosen[:, 1], chosen[:, 2:]
    blocks = [generator.normal(size=(COUNTS[a], COUNTS[b])).astype(dtype) for a, b in zip(i, j)]
    if dtype is complex:
        blocks = [b + 1j * generator.normal(size=b.shape) for b in blocks]
    return i, j, shift, blocks


def raveled(blocks):
    return np.concatenate([b.ravel() for b in blocks]), np.cumsum([0] + [b.size for b in blocks])


def dense(i, j, shift, blocks):
    """{shift: matrix} by putting every block in its place."""
    first, out = np.cumsum(COUNTS) - COUNTS, {}
    for a, b, s, block in zip(i, j, shift, blocks):
        h = out.setdefault(tuple(s), np.zeros((12, 12), block.dtype))
        h[first[a] : first[a] + COUNTS[a], first[b] : first[b] + COUNTS[b]] = block
    return out


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("elements", [1, 2_000_000])
def test_every_element_finds_its_place(dtype, elements, monkeypatch):
    monkeypatch.setattr(assembly, "ELEMENTS_PER_PASS", elements)
    i, j, shift, blocks = random_pairs(1, dtype)
    expected = dense(i, j, shift, blocks)
    cells, matrices = blocks_to_csr(COUNTS, i, j, shift, *raveled(blocks))
    assert [tuple(c) for c in cells] == sorted(expected)
    for cell, matrix in zip(cells, matrices):
        np.testing.assert_array_equal(matrix.toarray(), expected[tuple(cell)])
        assert matrix.nnz == np.count_nonzero(expected[tuple(cell)])
        again = matrix.copy()
        again.has_sorted_indices = again.has_canonical_format = False
        again.sum_duplicates()
        np.testing.assert_array_equal(again.indices, matrix.indices)  # sorted, each column once


def test_zeros_are_left_out():
    i, j, shift, blocks = random_pairs(2)
    blocks[7][:] = 0
    blocks[11][0, 0] = 0
    _, matrices = blocks_to_csr(COUNTS, i, j, shift, *raveled(blocks))
    assert sum(m.nnz for m in matrices) == sum(b.size for b in blocks) - blocks[7].size - 1


def test_a_pair_given_twice_is_named():
    i, j, shift, blocks = random_pairs(3)
    i, j, shift = (np.concatenate([x, x[5:6]]) for x in (i, j, shift))
    with pytest.raises(ValueError, match=rf"atoms {i[5]}, {j[5]}, cell .* appears twice"):
        blocks_to_csr(COUNTS, i, j, shift, *raveled([*blocks, blocks[5]]))
