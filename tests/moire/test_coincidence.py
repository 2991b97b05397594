"""Coincidence cells and multilayers against published cells, brute force and linear algebra."""

import numpy as np
import pytest
from ase import Atoms

from ase_wander.moire import (
    coincidence_cells,
    commensurate_cells,
    heterobilayer,
    monolayer,
    twisted_bilayer,
    twisted_multilayer,
)
from ase_wander.moire.coincidence import as_monolayer, common_cell, stretch


def test_graphene_on_boron_nitride():
    """56 x 56 on 55 x 55: 12,322 atoms at 0 degrees."""
    layers = [monolayer("graphene", 2.46), monolayer("hBN", 2.504)]
    cell = coincidence_cells(*layers, 13000, (0, 0), 5e-4)[0]
    assert (cell.n_atoms, cell.n_cells, cell.angle) == (12322, (56**2, 55**2), 0)
    assert cell.strain == pytest.approx(56 * 2.46 / (55 * 2.504) - 1, rel=1e-9)
    assert len(heterobilayer(*layers, cell, gap=3.4)) == 12322


def test_mos2_on_mose2():
    layers = [monolayer("MoS2", 3.164), monolayer("MoSe2", 3.301)]
    cell = next(c for c in coincidence_cells(*layers, 1300, (3.1, 3.11), 0.002) if c.n_atoms == 1248)
    assert cell.angle == pytest.approx(3.10565, abs=5e-6)
    assert cell.strain == pytest.approx(abs(3.164 * 217**0.5 / (3.301 * 199**0.5) - 1), rel=1e-9)


@pytest.mark.parametrize(
    "n_atoms, n_cells, angle, strain", [(201, (36, 31), 8.948, 0.0776), (1308, (225, 211), 3.418, 0.0326)]
)
def test_strained_homobilayers_of_the_wander_paper(n_atoms, n_cells, angle, strain):
    """arXiv:2403.13675: (6,0)/(5,1), 8.95 degrees, 201 atoms; (15,0)/(14,1), 3.42 degrees, 1308 atoms."""
    layer = monolayer("MoS2", 3.16)
    found = coincidence_cells(layer, layer, n_atoms, (angle - 0.1, angle + 0.1), 0.08)
    cell = next(c for c in found if c.n_cells == n_cells)
    assert cell.n_atoms == n_atoms and cell.angle == pytest.approx(angle, abs=1e-3)
    assert cell.strain == pytest.approx(strain, abs=1e-4)
    # the paper's cell: the bottom layer unstrained, (6, 0) along x
    atoms = heterobilayer(layer, layer, cell, weight=0)
    assert atoms.cell.lengths()[0] == pytest.approx(3.16 * n_cells[0] ** 0.5)


def test_exact_cells_are_the_strainless_coincidences():
    exact = {(c.cells_per_layer, round(c.angle, 5)) for c in commensurate_cells(1000, (0, 30))}
    for isotropic in (True, False):
        found = coincidence_cells("MoS2", "MoS2", 1000, (0, 30), 1e-6, isotropic=isotropic)
        assert {(c.n_cells[0], round(c.angle, 5)) for c in found} == exact
        assert all(c.n_cells[0] == c.n_cells[1] for c in found)


def brute_force(bottom, top, max_atoms, low, high, max_strain, size):
    """Invariants (twist, principal strains) and atoms of every common cell with small matrices, by trying all of
    them.
    """
    grid = np.array([(x, y) for x in range(-size, size + 1) for y in range(-size, size + 1)])
    a, b = grid @ bottom.cell, grid @ top.cell
    i, j = np.nonzero(
        abs(np.linalg.norm(a, axis=1)[:, None] - np.linalg.norm(b, axis=1)) <= max_strain * np.linalg.norm(b, axis=1)
    )
    k, m = (x.ravel() for x in np.indices((len(i), len(i))))
    m1, m2 = np.stack([grid[i[k]], grid[i[m]]], axis=1), np.stack([grid[j[k]], grid[j[m]]], axis=1)
    n1, n2 = (np.round(np.linalg.det(x)).astype(int) for x in (m1, m2))
    n_atoms = n1 * len(bottom) + n2 * len(top)
    keep = (n1 > 0) & (n2 > 0) & (n_atoms <= max_atoms)
    f = np.linalg.solve(m2[keep] @ top.cell, m1[keep] @ bottom.cell)
    u, s, vt = np.linalg.svd(f)
    rotation = u @ vt
    twist = np.degrees(np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0]))
    inside = (abs(s - 1).max(axis=1) <= max_strain) & (twist >= low - 1e-9) & (twist <= high + 1e-9)
    rows = zip(
        n_atoms[keep][inside].tolist(), np.round(twist[inside], 4).tolist(), np.round(s[inside, ::-1] - 1, 6).tolist()
    )
    return {(n, t, *strains) for n, t, strains in rows}


def test_search_misses_nothing():
    """All shapes, two lattices without common symmetry, against all integer matrices with small entries."""
    rectangular = Atoms("P2", positions=[(0, 0, 0), (1.6, 2.2, 0.5)], cell=[3.0, 4.1, 0], pbc=(True, True, False))
    layers = as_monolayer("graphene"), as_monolayer(rectangular)
    found = coincidence_cells(*layers, 60, (0, 59), 0.04, isotropic=False, max_aspect=4.0)
    smallest = {}
    for entry in sorted(brute_force(*layers, 60, 0, 59, 0.04, 5)):
        smallest.setdefault(entry[1:], entry[0])  # the primitive cell of each coincidence
    assert len(found) > 5
    mine = {(round(c.angle, 4), *np.round(c.principal_strains, 6).tolist()): c for c in found}
    assert {key: cell.n_atoms for key, cell in mine.items() if key in smallest} == smallest
    # beyond those only cells that need larger entries than were tried
    assert all(np.abs([c.bottom, c.top]).max() > 5 for key, c in mine.items() if key not in smallest)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_strain_is_shared_and_free_of_rotation(weight):
    bottom, top = as_monolayer("MoS2"), as_monolayer("WSe2")
    for cell in coincidence_cells(bottom, top, 400, (0, 60), 0.03, isotropic=False)[:20]:
        plane, matrices, strains = common_cell(bottom, top, cell, weight)
        twist, _u = stretch(bottom, top, cell)
        assert twist == pytest.approx(cell.angle, abs=1e-6)
        for layer, matrix, strain in zip((bottom, top), matrices, strains):
            # lattice of the layer in the built cell = turned lattice times a symmetric stretch
            gradient = np.linalg.solve(layer.cell, np.linalg.inv(matrix) @ plane)
            stretch_2 = (np.eye(2) + strain) @ (np.eye(2) + strain)
            assert gradient.T @ gradient == pytest.approx(stretch_2, abs=1e-9)
            assert strain == pytest.approx(strain.T, abs=1e-12)
        low, high = (np.sort(np.linalg.eigvalsh(s + np.eye(2))) for s in strains)
        assert np.log(high) + np.log(1 / low[::-1]) == pytest.approx(np.log1p(cell.principal_strains), abs=1e-9)
        if weight in (0.0, 1.0):
            assert abs(strains[int(weight == 1.0)] if weight else strains[0]).max() < 1e-12


def test_results_are_sorted_unique_and_within_bounds():
    cells = coincidence_cells("MoS2", "WSe2", 500, (5, 25), 0.02, isotropic=False)
    assert [(c.n_atoms, round(c.strain, 9)) for c in cells] == sorted((c.n_atoms, round(c.strain, 9)) for c in cells)
    assert all(c.n_atoms <= 500 and 5 <= c.angle <= 25 and c.strain <= 0.02 for c in cells)
    assert len(
        {(round(c.angle, 6), round(c.principal_strains[0], 8), round(c.principal_strains[1], 8)) for c in cells}
    ) == len(cells)
    isotropic = coincidence_cells("MoS2", "WSe2", 500, (5, 25), 0.02)
    assert all(abs(np.subtract(*c.principal_strains)) < 1e-9 for c in isotropic)
    assert {(c.n_atoms, round(c.angle, 5)) for c in isotropic} <= {(c.n_atoms, round(c.angle, 5)) for c in cells}


def test_exact_twist_of_the_coincidence_builder_is_the_exact_builder():
    """The same distances from both constructions, R and H."""
    cell = coincidence_cells("MoS2", "MoS2", 114, (13, 14), 1e-9)[0]
    for stacking in "RH":
        a = heterobilayer("MoS2", "MoS2", cell, stacking=stacking)
        b = twisted_bilayer("MoS2", 2, 1, stacking=stacking)
        assert np.sort(a.get_all_distances(mic=True).ravel()) == pytest.approx(
            np.sort(b.get_all_distances(mic=True).ravel()), abs=1e-7
        )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(angle=5, max_strain=1e-3, max_atoms=300), ["within 0.02 degrees of 5", "nearest in angle"]),
        (dict(angle=5, max_strain=1e-3, tolerance=0.5, max_atoms=600), ["least strained is"]),
        (dict(max_strain=0), ["max_strain"]),
        (dict(weight=1.5), ["share"]),
        (dict(tolerance=-1, angle=3), ["tolerance"]),
    ],
)
def test_impossible_requests_say_what_is_possible(arguments, words):
    with pytest.raises(ValueError) as error:
        heterobilayer("MoS2", "WSe2", **arguments)
    assert all(w in str(error.value) for w in words), str(error.value)


def test_lattices_without_common_symmetry_are_named():
    rectangular = Atoms("P2", positions=[(0, 0, 0), (1.6, 2.2, 0.5)], cell=[3.3, 4.4, 0], pbc=(True, True, False))
    with pytest.raises(ValueError, match="hexagonal and rectangular"):
        coincidence_cells("graphene", rectangular, isotropic=True)
    with pytest.raises(ValueError, match="gap="):
        heterobilayer("graphene", rectangular)


def test_trilayers():
    mirror = twisted_multilayer("MoS2", (0, 13.17, 0))
    assert len(mirror) == 3 * 57 and mirror.info["twist_angles"] == pytest.approx([0, 13.173551, 0], abs=1e-6)
    flipped = mirror.positions[:57] * [1, 1, -1] + [0, 0, mirror.cell[2, 2]]  # z -> -z swaps the outer layers
    assert np.sort(flipped, axis=0) == pytest.approx(np.sort(mirror.positions[114:], axis=0), abs=1e-9)
    # the helical trilayer needs the square of the bilayer's cell: rho^2 = (alpha / conj alpha)^2
    helical = twisted_multilayer("graphene", (0, 21.787, 2 * 21.787))
    assert len(helical) == 3 * 2 * 49
    assert helical.info["twist_angles"] == pytest.approx([0, 21.786789, 43.573579], abs=1e-6)
    assert max(abs(x) for x in helical.info["strains"]) < 1e-12


def test_a_stack_of_two_is_the_bilayer():
    for stacking in "RH":
        two = twisted_multilayer("MoS2", (0, 13.173551), stackings=["R", stacking], gaps=6.4)
        pair = twisted_bilayer("MoS2", 2, 1, stacking=stacking, gap=6.4)
        assert two.get_chemical_symbols() == pair.get_chemical_symbols()
        assert np.sort(two.get_all_distances(mic=True).ravel()) == pytest.approx(
            np.sort(pair.get_all_distances(mic=True).ravel()), abs=1e-8
        )


def test_multilayer_errors():
    with pytest.raises(ValueError, match="the nearest has twists"):
        twisted_multilayer("graphene", (0, 5, 10), tolerance=0.1, max_atoms=5000)
    with pytest.raises(ValueError, match="gaps: 1 given, 2 needed"):
        twisted_multilayer("graphene", (0, 5, 10), gaps=[3.4])
    with pytest.raises(ValueError, match="one number"):
        twisted_multilayer("graphene", [])


def test_a_cell_of_other_layers_is_refused():
    cell = coincidence_cells("MoS2", "WSe2", 100, (16, 17), isotropic=True)[0]
    with pytest.raises(ValueError, match="belongs to other layers"):
        heterobilayer("MoS2", "hBN", cell)
