"""The search for exact cells: complete tables, wanted angles, what is refused."""

import numpy as np
import pytest

from ase_wander.moire import cells_near, commensurate_cells, trade_offs, twisted_bilayer
from ase_wander.moire.commensurate import lattice_points, supercell_matrices


def test_table_is_complete():
    """Every (m, r) of the closed forms up to 600 atoms of graphene, against an independent brute-force count."""
    table = commensurate_cells(600, (0, 60), material="graphene")
    basis = np.array([1, np.exp(2j * np.pi / 3)])
    of_length = {}
    for x in range(-15, 16):
        for y in range(-15, 16):
            n = x * x - x * y + y * y
            if 0 < n <= 150:
                of_length.setdefault(n, []).append(np.array([x, y]) @ basis)
    expected = {}
    for n in sorted(of_length):  # two lattice vectors of equal length coincide after a turn by the angle between them
        for turn in np.angle(np.divide.outer(of_length[n], of_length[n])).ravel():
            expected.setdefault(round(float(np.degrees(turn)) % 60, 6) % 60, n)
    found = {round(c.angle, 6) % 60: c.cells_per_layer for c in table}
    assert found == expected
    assert len(table) == len(found) + 1  # 0 and 60 are both listed
    assert [c.angle for c in table] == sorted(c.angle for c in table)


def test_wanted_angles():
    assert next((c.m, c.r) for c in cells_near(1.05, 0.02)) == (31, 1)
    assert twisted_bilayer("MoS2", angle=5.1, tolerance=0.1).info["m"] == 6
    assert len(twisted_bilayer("graphene", angle=0)) == 4 and len(twisted_bilayer("graphene", angle=60)) == 4
    near = cells_near(13.2, 1.5, max_atoms=3000)
    assert [c.n_atoms for c in near] == sorted(c.n_atoms for c in near) and len(near) > 3
    assert all(abs(c.angle - 13.2) <= 1.5 for c in near)


@pytest.mark.parametrize(
    "request_, words",
    [
        (
            dict(angle=12.0, tolerance=0.01, max_atoms=300),
            ["nearest", "(2, 1)", "within the tolerance the smallest is"],
        ),
        (dict(m=2, r=2), ["(1, 1)"]),
        (dict(m=-1, r=2), ["non-negative"]),
        (dict(m=1.5, r=2), ["m must be an integer"]),
        (dict(m="a", r=2), ["m must be an integer"]),
        (dict(m=10**12, r=1), ["max_atoms"]),
        (dict(angle=0.1), ["nearest is (m, r) = (52, 1)", "(276, 1)"]),
        (dict(m=1), ["both m and r"]),
        (dict(m=1, r=1, angle=3), ["either"]),
        (dict(angle=75), ["-45"]),
        (dict(angle=float("nan")), ["nan"]),
        (dict(m=200, r=1), ["max_atoms"]),
        (dict(m=1, r=1, stacking="AB"), ["'R'"]),
        (dict(m=1, r=1, gap=-1), ["gap"]),
        (dict(m=1, r=1, gap=2.5), ["leaves -0.6"]),
        (dict(m=1, r=1, vacuum=0), ["vacuum"]),
        (dict(m=1, r=1, centre="void"), ["centre"]),
        (dict(m=1, r=1, shift=(1, 2, 3)), ["shift"]),
        (dict(m=1, r=1, shift="x"), ["shift"]),
        (dict(m=1, r=1, lattice_constant=0), ["lattice constant"]),
        (dict(m=1, r=1, gamma=90), ["gamma"]),
    ],
)
def test_impossible_requests_say_what_is_possible(request_, words):
    with pytest.raises(ValueError) as error:
        twisted_bilayer("MoS2", **request_)
    assert all(w in str(error.value) for w in words), str(error.value)
    assert "\n" not in str(error.value)


def test_lattice_points_are_one_per_coset():
    for matrix in ([[3, 1], [-2, 5]], [[-4, 7], [3, 3]], [[0, 1], [-1, 1]], [[6, 0], [0, 4]], [[2, 4], [6, -2]]):
        points, inverse = lattice_points(np.array(matrix)), np.linalg.inv(matrix)
        n = abs(round(np.linalg.det(matrix)))
        fractions = np.round(points @ inverse * n).astype(int)
        assert len(points) == n == len({tuple(f) for f in fractions})
        assert fractions.min() >= 0 and fractions.max() < n


def test_supercell_vectors_coincide():
    """The rows of both matrices are the same vectors once the top layer is turned by the twist angle."""
    basis = np.array([[1, 0], [-0.5, np.sqrt(0.75)]])
    for c in commensurate_cells(3000):
        bottom, top = supercell_matrices(c.m, c.r)
        t = np.radians(c.angle)
        turned = basis @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
        assert abs(bottom @ basis - top @ turned).max() < 1e-10


@pytest.mark.parametrize(
    "angle, pair, n_atoms", [(5.0, (6, 1), 762), (22.0, (1, 1), 42), (13.2, (2, 1), 114), (1.05, (31, 1), 17862)]
)
def test_a_round_angle_takes_a_sensible_cell(angle, pair, n_atoms):
    """Not the one of tens of thousands of atoms that is nearest to it."""
    cell = cells_near(angle)[0]
    assert (cell.m, cell.r, cell.n_atoms) == (*pair, n_atoms)
    assert abs(cell.angle - angle) <= 0.02 * angle


def test_what_more_atoms_buy():
    cells = trade_offs(5.0)
    atoms, off = [c.n_atoms for c in cells], [abs(c.angle - 5.0) for c in cells]
    assert (cells[0].m, cells[0].r) == (6, 1) and len(cells) < 10
    assert atoms == sorted(atoms) and off == sorted(off, reverse=True)
    for cell in commensurate_cells(5000, (4.5, 5.5)):  # none is as small and as near as one of these
        assert any(c.n_atoms <= cell.n_atoms and abs(c.angle - 5) <= 1.5 * abs(cell.angle - 5) + 1e-9 for c in cells)
