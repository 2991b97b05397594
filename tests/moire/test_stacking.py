"""Local stacking, distances and domains against geometry put in by hand."""

import numpy as np
import pytest
from ase import Atoms

from ase_wander.moire import (
    displacements,
    domains,
    equilibrium,
    interlayer_distance,
    local_registry,
    moire_vectors,
    strain_field,
    twisted_bilayer,
)
from tests.moire_helpers import relaxed_by_hand


def ripple(atoms, positions, amplitude):
    """A wave with the period of the cell, Å."""
    phase = 2 * np.pi * (positions @ np.linalg.inv(atoms.cell[:2, :2]))
    return amplitude * (np.cos(phase[:, 0]) + np.sin(phase[:, 1]))


@pytest.mark.parametrize("name, gap", [("MoS2", 6.31), ("graphene", 3.4)])
def test_distance_of_a_rigid_bilayer_is_its_gap(name, gap):
    for pair in ((1, 0), (2, 1), (1, 3)):
        atoms = twisted_bilayer(name, *pair, gap=gap)
        positions, distance = interlayer_distance(atoms)
        assert (
            len(positions) == len(distance) == (1 if name == "MoS2" else 2) * len(atoms) // (6 if name == "MoS2" else 4)
        )
        assert distance == pytest.approx(np.full(len(distance), gap), abs=1e-9)


def test_distance_follows_a_ripple():
    atoms = twisted_bilayer("MoS2", 6, 1, gap=6.3)
    top = atoms.arrays["layer"] == 1
    atoms.positions[top, 2] += ripple(atoms, atoms.positions[top, :2], 0.2)
    positions, distance = interlayer_distance(atoms)
    assert distance == pytest.approx(6.3 + ripple(atoms, positions, 0.2), abs=5e-4)
    for change in ("wrapped", "permuted"):
        other = atoms.copy()
        if change == "wrapped":  # cut by the cell's top, periodic in all directions
            other.pbc = True
            other.positions += (11.0, 3.0, 0.6 * other.cell[2, 2])
            other.wrap()
        else:
            other = other[np.random.default_rng(0).permutation(len(other))]
        assert np.sort(interlayer_distance(other)[1]) == pytest.approx(
            np.sort(distance), abs=2e-4
        )  # triangles may differ


def test_distance_of_thick_layers_without_metal_is_between_midplanes():
    a = 4.0
    gase = Atoms(
        "Ga2Se2",
        positions=[(0, 0, 1.2), (0, 0, -1.2), (0, a / 3**0.5, 2.4), (0, a / 3**0.5, -2.4)],
        cell=[[a, 0, 0], [-a / 2, a * 0.75**0.5, 0], [0, 0, 0]],
        pbc=(True, True, False),
    )
    atoms = twisted_bilayer(gase, 2, 1, gap=8.0)
    assert interlayer_distance(atoms)[1] == pytest.approx(np.full(19, 8.0), abs=1e-9)


def test_distance_needs_two_layers_in_the_xy_plane():
    atoms = twisted_bilayer("MoS2", 1, 1)
    with pytest.raises(ValueError, match="1 layer"):
        interlayer_distance(atoms[atoms.arrays["layer"] == 0])
    with pytest.raises(ValueError, match="layers 1 and 2"):
        interlayer_distance(atoms, lower=1)
    atoms.rotate(90, "x", rotate_cell=True)
    with pytest.raises(ValueError, match="xy plane"):
        interlayer_distance(atoms)


STACKINGS = [  # name, stacking, shift of metal against metal in lattice vectors, expected name
    ("MoS2", "R", (0, 0), "MM"),
    ("MoS2", "R", (2 / 3, 1 / 3), "MX"),
    ("MoS2", "R", (1 / 3, 2 / 3), "XM"),
    ("MoS2", "H", (0, 0), "MM"),
    ("MoS2", "H", (2 / 3, 1 / 3), "2H"),
    ("MoS2", "H", (1 / 3, 2 / 3), "XX"),
    ("graphene", "R", (0, 0), "AA"),
    ("hBN", "R", (0, 0), "AA"),
]


@pytest.mark.parametrize("name, stacking, shift, expected", STACKINGS)
def test_untwisted_cells_are_one_domain(name, stacking, shift, expected):
    atoms = twisted_bilayer(name, 1, 0, stacking=stacking, centre="atom", shift=shift)
    _, registry = local_registry(atoms)
    assert (registry - shift) % 1 == pytest.approx(np.zeros((1, 2)), abs=1e-6)
    assert domains(atoms).areas[expected] == 1


def test_name_says_what_lies_above_what():
    """MX: a metal of the upper layer straight above a chalcogen of the lower one, seen in the positions."""
    for k, shift in enumerate([(2 / 3, 1 / 3), (1 / 3, 2 / 3)]):
        atoms = twisted_bilayer("MoS2", 1, 0, shift=shift)
        upper, lower = ((42, 16), (16, 42))[k]
        a = atoms.positions[(atoms.arrays["layer"] == 1) & (atoms.numbers == upper), :2][0]
        b = atoms.positions[(atoms.arrays["layer"] == 0) & (atoms.numbers == lower), :2][0]
        difference = (a - b) @ np.linalg.inv(atoms.cell[:2, :2])
        assert abs(difference - np.round(difference)).max() < 1e-6
        assert domains(atoms).areas[("MX", "XM")[k]] == 1


@pytest.mark.parametrize(
    "name, stacking, angle", [("MoS2", "R", 3.48), ("MoS2", "H", 3.48), ("graphene", "R", 3.48), ("MoS2", "R", -3.48)]
)
def test_a_rigid_twist_has_three_equal_domains(name, stacking, angle):
    atoms = twisted_bilayer(name, angle=angle)
    found = domains(atoms, layers=atoms.arrays["layer"])
    assert list(found.areas.values()) == pytest.approx([1 / 3] * 3, abs=0.01)
    narrow = domains(atoms, radius=0.1, layers=atoms.arrays["layer"]).areas
    # a disc of radius 0.1 a around each of three points of a cell of area sqrt(3)/2 a^2
    assert narrow["wall"] == pytest.approx(1 - 3 * np.pi * 0.01 / np.sqrt(0.75), abs=0.02)


def test_moire_period():
    """L = a / (2 sin(theta/2)); a cell (m, r) with 3 not dividing r holds r^2 of them, with r = 3 it holds 3."""
    for m, r, count in ((6, 1, 1), (7, 2, 4), (13, 3, 3), (31, 1, 1)):
        atoms = twisted_bilayer("graphene", m, r)
        vectors = moire_vectors(atoms)
        length = equilibrium("graphene").a / (2 * np.sin(np.radians(atoms.info["twist_angle"]) / 2))
        assert np.linalg.norm(vectors, axis=1) == pytest.approx([length] * 2)
        assert np.linalg.det(atoms.cell[:2, :2]) / np.linalg.det(vectors) == pytest.approx(count)
    with pytest.raises(ValueError, match="no moiré"):
        moire_vectors(twisted_bilayer("graphene", 1, 0))


def test_relaxation_shrinks_the_metal_on_metal_domains():
    relaxed, rigid, *_ = relaxed_by_hand()
    before, after = (domains(x, layers=rigid.arrays["layer"]).areas for x in (rigid, relaxed))
    assert after["MM"] < before["MM"] - 0.1
    assert after["MX"] == pytest.approx(after["XM"], abs=0.02)


def test_displacements_of_a_known_field():
    relaxed, rigid, _waves, _amplitude = relaxed_by_hand()
    expected = relaxed.positions - rigid.positions
    drifted = relaxed.copy()
    drifted.positions += (4.3, -2.2, 0.7)
    drifted.wrap()
    for atoms in (relaxed, drifted):
        assert displacements(atoms, rigid) == pytest.approx(expected - expected.mean(axis=0), abs=1e-3)
    stretched = rigid.copy()
    stretched.set_cell(rigid.cell[:] @ np.diag([1.01, 0.98, 1]), scale_atoms=True)
    assert displacements(stretched, rigid) == pytest.approx(np.zeros((len(rigid), 3)), abs=1e-9)


def test_strain_field_of_a_known_field():
    """Displacement u of small amplitude: rotation = curl u / 2, dilation = div u."""
    relaxed, rigid, waves, amplitude = relaxed_by_hand(16)
    for layer, sign in ((0, -1), (1, 1)):
        field = strain_field(relaxed, rigid, layer, layers=rigid.arrays["layer"])
        phase = field.positions @ waves.T
        curl = sign * amplitude * (np.cos(phase) * np.linalg.norm(waves, axis=1)).sum(axis=1)
        assert field.rotation == pytest.approx(np.degrees(curl / 2), abs=0.02)
        assert abs(field.dilation).max() < 1e-3  # transverse waves


def test_strain_field_of_a_homogeneous_deformation():
    rigid = twisted_bilayer("MoS2", 2, 1)
    strained, e = rigid.copy(), np.array([[0.010, 0.004], [0.004, -0.006]])
    cell = rigid.cell[:].copy()
    cell[:2, :2] = cell[:2, :2] @ (np.eye(2) + e)
    strained.set_cell(cell, scale_atoms=True)
    for layer in (0, 1):
        field = strain_field(strained, rigid, layer)
        assert field.strain == pytest.approx(np.tile(e, (19, 1, 1)), abs=1e-9)
        assert field.rotation == pytest.approx(np.zeros(19), abs=1e-7)
        assert field.shear == pytest.approx(np.full(19, np.hypot(0.016, 0.008)), abs=1e-9)


def test_requests_that_make_no_sense_are_named():
    atoms = twisted_bilayer("MoS2", 1, 1)
    other = atoms.copy()
    other.numbers[4] = 34
    with pytest.raises(ValueError, match="atom 4 is Se"):
        displacements(other, atoms)
    with pytest.raises(ValueError, match="42"):
        displacements(atoms[:20], atoms)
    del other.info["supercells"]
    with pytest.raises(ValueError, match="no pair of layers 1 and 2"):
        local_registry(atoms, lower=1)
    with pytest.raises(ValueError, match="no layer 2"):
        strain_field(atoms, atoms, 2)
    with pytest.raises(ValueError, match="must be one integer"):
        interlayer_distance(atoms, layers=[0, 1])


def test_figures_show_what_they_are_given(tmp_path):
    """Every figure is drawn and written; the colour bar spans the values."""
    from ase_wander.moire import plots as moire_plots
    from ase_wander.plotting import save_figure

    relaxed, rigid, *_ = relaxed_by_hand(2)
    positions, _distance = interlayer_distance(relaxed)
    drawn = [
        moire_plots.plot_cell(relaxed, moire=moire_vectors(relaxed)),
        moire_plots.plot_domains(relaxed, domains(relaxed)),
        moire_plots.plot_registry(relaxed, *local_registry(relaxed)),
        moire_plots.plot_displacements(relaxed, rigid.positions, displacements(relaxed, rigid)),
        moire_plots.plot_map(relaxed, positions, 10 * positions[:, 0], label="ten x (Å)"),
    ]
    low, high = drawn[-1].images[0].get_clim()
    assert (low, high) == pytest.approx((10 * positions[:, 0].min(), 10 * positions[:, 0].max()))
    assert [t.get_text() for t in drawn[1].get_legend().get_texts()] == [
        f"{n} {100 * x:.1f} %" for n, x in domains(relaxed).areas.items()
    ]
    for k, ax in enumerate(drawn):
        save_figure(ax, tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 5000
