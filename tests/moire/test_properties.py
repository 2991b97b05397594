"""What every built cell must obey, on randomly drawn requests."""

import numpy as np
from ase import Atoms
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ase_wander.moire import coincidence_cells, commensurate_cells, heterobilayer, twisted_bilayer, twisted_multilayer
from ase_wander.moire.coincidence import as_monolayer
from ase_wander.structure import find_layers, neighbour_pairs

NAMES = ["MoS2", "WSe2", "graphene", "hBN"]
EXACT = commensurate_cells(300, (0, 60), atoms_per_cell=3, lattice_constant=1.0)
CUTOFF = 4.2

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def shells(atoms):
    """Sorted neighbour distances of every atom within the cutoff, per species: {number: array (n_atoms,
    n_neighbours)}.
    """
    pairs = neighbour_pairs(atoms, CUTOFF)
    found = {}
    for number in np.unique(atoms.numbers):
        rows = [np.sort(pairs.distance[pairs.i == k]) for k in np.flatnonzero(atoms.numbers == number)]
        assert len({len(row) for row in rows}) == 1, "equivalent atoms differ in their number of neighbours"
        found[int(number)] = np.array(rows)
    return found


def strained_monolayer(layer, strain, turn):
    """One primitive cell of a monolayer, turned by `turn` (degrees) and strained, as Atoms."""
    t = np.radians(turn)
    rotation = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    cell = np.zeros((3, 3))
    cell[:2, :2] = layer.cell @ rotation @ (np.eye(2) + strain)
    cell[2, 2] = 30.0
    positions = np.column_stack([layer.fractional @ cell[:2, :2], layer.heights])
    return Atoms(layer.numbers, positions=positions, cell=cell, pbc=(True, True, False))


def check(atoms, layers, strains=None):
    """Density, distances, bonds, periodicity and layers of a stack."""
    index = atoms.arrays["layer"]
    assert find_layers(atoms).tolist() == index.tolist()
    area = abs(np.linalg.det(atoms.cell[:2, :2]))
    assert not (atoms.positions[:, 2] < 0).any() and (atoms.positions[:, 2] < atoms.cell[2, 2]).all()
    fractional = atoms.get_scaled_positions(wrap=False)[:, :2]
    assert fractional.min() > -1e-12 and fractional.max() < 1
    for k, (layer, matrix) in enumerate(zip(layers, atoms.info["supercells"])):
        own = atoms[index == k]
        own_cell = np.linalg.inv(matrix) @ atoms.cell[:2, :2]
        strain = np.zeros((2, 2)) if strains is None else np.array(strains[k])
        # F = R (1 + strain) of the layer's lattice inside the cell
        gradient = np.linalg.solve(layer.cell, own_cell)
        rotation = gradient @ np.linalg.inv(np.eye(2) + strain)
        assert np.allclose(rotation @ rotation.T, np.eye(2), atol=1e-9)
        reference = strained_monolayer(layer, strain, np.degrees(np.arctan2(rotation[0, 1], rotation[0, 0])))
        expected, found = shells(reference), shells(own)
        assert np.isclose(len(own) / area, len(layer) / abs(np.linalg.det(own_cell)), rtol=1e-12)
        for number, rows in found.items():
            kinds = np.unique(np.round(expected[number], 7), axis=0)
            assert np.allclose(np.unique(np.round(rows, 7), axis=0), kinds, atol=2e-6)
        assert neighbour_pairs(own, CUTOFF).distance.min() >= neighbour_pairs(reference, CUTOFF).distance.min() - 1e-9


@few
@given(
    cell=st.sampled_from(EXACT),
    name=st.sampled_from(NAMES),
    stacking=st.sampled_from("RH"),
    mirrored=st.booleans(),
    centre=st.sampled_from(["hexagon", "atom", "bond", (0.1, 0.7)]),
    shift=st.tuples(*[st.floats(-2, 2)] * 2),
    gap=st.floats(6.2, 9),
    vacuum=st.floats(0.5, 40),
    gamma=st.sampled_from([60, 120]),
)
def test_exact_bilayers(cell, name, stacking, mirrored, centre, shift, gap, vacuum, gamma):
    angle = dict(m=cell.m, r=cell.r) if not mirrored else dict(angle=-cell.angle, tolerance=1e-7)
    atoms = twisted_bilayer(
        name, **angle, stacking=stacking, centre=centre, shift=shift, gap=gap, vacuum=vacuum, gamma=gamma
    )
    layer = as_monolayer(name)
    assert len(atoms) == 2 * len(layer) * cell.cells_per_layer
    check(atoms, [layer, layer])


@few
@given(
    pair=st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    low=st.floats(0, 55),
    weight=st.floats(0, 1),
    isotropic=st.booleans(),
    pick=st.integers(0, 10),
    stacking=st.sampled_from("RH"),
)
def test_strained_bilayers(pair, low, weight, isotropic, pick, stacking):
    layers = [as_monolayer(name) for name in pair]
    cells = coincidence_cells(*layers, 200, (low, low + 5), 0.03, isotropic=isotropic)
    assume(len(cells) > pick)
    atoms = heterobilayer(*pair, cells[pick], weight=weight, stacking=stacking, gap=6.5)
    check(atoms, layers, [atoms.info["strain_bottom"], atoms.info["strain_top"]])


@few
@given(a=st.floats(2.8, 4.5), b=st.floats(2.8, 4.5), gamma=st.floats(75, 105), pick=st.integers(0, 5))
def test_layers_of_any_lattice(a, b, gamma, pick):
    """An oblique lattice of one atom over graphene."""
    cosine, sine = np.cos(np.radians(gamma)), np.sin(np.radians(gamma))
    layer = Atoms("Au", cell=[[a, 0, 0], [b * cosine, b * sine, 0], [0, 0, 0]], pbc=(True, True, False))
    cells = coincidence_cells("graphene", layer, 150, (10, 14), 0.03, isotropic=False)
    assume(len(cells) > pick)
    atoms = heterobilayer("graphene", layer, cells[pick], gap=4.5)
    own = as_monolayer(layer)
    index = atoms.arrays["layer"]
    assert np.bincount(index).tolist() == [2 * cells[pick].n_cells[0], cells[pick].n_cells[1]]
    gradient = np.linalg.solve(own.cell, np.linalg.inv(atoms.info["supercells"][1]) @ atoms.cell[:2, :2])
    strains = np.linalg.svd(gradient)[1] - 1
    assert np.allclose(np.sort(strains), np.linalg.eigvalsh(atoms.info["strain_top"]), atol=1e-9)


@few
@given(
    cell=st.sampled_from([c for c in EXACT if c.cells_per_layer <= 37]),
    name=st.sampled_from(NAMES),
    signs=st.lists(st.sampled_from([0, 1]), min_size=1, max_size=3),
    stacking=st.sampled_from("RH"),
)
def test_stacks(cell, name, signs, stacking):
    """Layers that alternate between two orientations have the bilayer's cell."""
    angles = [0.0] + [cell.angle * s for s in signs]
    atoms = twisted_multilayer(name, angles, tolerance=1e-6, stackings=["R"] + [stacking] * len(signs), gaps=6.6)
    layer = as_monolayer(name)
    assert len(atoms) == len(angles) * len(layer) * (cell.cells_per_layer if any(signs) and cell.angle % 60 else 1)
    check(atoms, [layer] * len(angles))
