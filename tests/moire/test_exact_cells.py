"""Exact twists against closed forms, published cells and geometry."""

import numpy as np
import pytest
from ase.build import graphene, mx2
from ase.io import read, write
from ase.neighborlist import neighbor_list

from ase_wander.moire import monolayer, twisted_bilayer
from ase_wander.structure import find_layers

REFERENCE = [  # (m, r), angle, cells per layer, atoms of graphene, of MoS2
    ((1, 1), 21.786789, 7, 28, 42),
    ((1, 2), 32.204228, 13, 52, 78),
    ((1, 3), 38.213211, 7, 28, 42),
    ((2, 1), 13.173551, 19, 76, 114),
    ((2, 3), 27.795772, 13, 52, 78),
    ((4, 1), 7.340993, 61, 244, 366),
    ((6, 1), 5.085848, 127, 508, 762),
    ((9, 1), 3.481006, 271, 1084, 1626),
    ((30, 1), 1.084549, 2791, 11164, 16746),
    ((31, 1), 1.050121, 2977, 11908, 17862),
]


def measured_angle(atoms):
    """Twist in degrees from the bonds metal-chalcogen (or C-C), modulo 120 (60)."""
    modulus = 60 if set(atoms.numbers) == {6} else 120
    i, j, _d, v = neighbor_list("ijdD", atoms, 2.6 if modulus == 120 else 1.6)
    phases = []
    for layer in (0, 1):
        own = (atoms.arrays["layer"][i] == layer) & (atoms.arrays["layer"][j] == layer)
        own &= (atoms.numbers[i] >= atoms.numbers[j]) if modulus == 60 else (atoms.numbers[i] > atoms.numbers[j])
        turn = np.exp(1j * np.arctan2(v[own, 1], v[own, 0]) * 360 / modulus)
        assert abs(abs(turn.mean()) - 1) < 1e-9
        phases.append(turn.mean())
    return np.degrees(np.angle(phases[1] / phases[0])) * modulus / 360 % modulus


@pytest.mark.parametrize("pair, angle, cells, n_graphene, n_mos2", REFERENCE)
def test_reference_cells(pair, angle, cells, n_graphene, n_mos2):
    for name, n_atoms in (("graphene", n_graphene), ("MoS2", n_mos2)):
        atoms = twisted_bilayer(name, *pair)
        assert len(atoms) == n_atoms
        assert np.bincount(atoms.arrays["layer"]).tolist() == [n_atoms // 2] * 2
        assert atoms.info["twist_angle"] == pytest.approx(angle, abs=5e-7)
        if n_atoms < 2000:
            assert measured_angle(atoms) == pytest.approx(angle, abs=5e-7)


def test_conventions():
    atoms = twisted_bilayer("MoS2", 2, 1, gap=6.3, vacuum=17.0, lattice_constant=3.2)
    assert atoms.pbc.tolist() == [True, True, False]
    a, b, c, _alpha, _beta, gamma = atoms.cell.cellpar()
    assert (a, b, gamma) == pytest.approx((3.2 * np.sqrt(19), 3.2 * np.sqrt(19), 120))
    assert atoms.cell[0, 1] == atoms.cell[0, 2] == 0 and atoms.cell[2, :2].tolist() == [0, 0]
    z, layer = atoms.positions[:, 2], atoms.arrays["layer"]
    mo = atoms.numbers == 42
    assert np.ptp(z[mo & (layer == 1)]) == 0
    assert z[mo & (layer == 1)].mean() - z[mo & (layer == 0)].mean() == pytest.approx(6.3)
    assert c - np.ptp(z) == pytest.approx(17.0)
    assert z.max() + z.min() == pytest.approx(c)
    assert find_layers(atoms).tolist() == layer.tolist() == sorted(layer)
    assert atoms.symbols[:3].get_chemical_formula() == "MoS2" and str(atoms[:6].symbols) == "MoS2MoS2"


def lateral_neighbours(atoms, z_bottom, z_top):
    """Whether every bottom atom z_bottom has a top atom z_top straight above."""
    top, bottom = (atoms[(atoms.arrays["layer"] == k) & (atoms.numbers == z)] for k, z in ((1, z_top), (0, z_bottom)))
    delta = top.get_scaled_positions()[:, None, :2] - bottom.get_scaled_positions()[None, :, :2]
    return bool(np.any(np.all(abs(delta - np.round(delta)) < 1e-6, axis=2), axis=0).all())


def test_untwisted_stackings():
    mo, s = 42, 16
    aa = twisted_bilayer("MoS2", 1, 0, stacking="R")
    assert lateral_neighbours(aa, mo, mo) and lateral_neighbours(aa, s, s)
    two_h = twisted_bilayer("MoS2", 1, 0, stacking="H")
    assert lateral_neighbours(two_h, mo, s) and lateral_neighbours(two_h, s, mo)
    over_metal = twisted_bilayer("MoS2", 1, 0, stacking="H", centre="atom")
    assert lateral_neighbours(over_metal, mo, mo) and not lateral_neighbours(over_metal, s, s)
    mx = twisted_bilayer("MoS2", 1, 0, stacking="R", shift=(2 / 3, 1 / 3))
    assert lateral_neighbours(mx, s, mo) and not lateral_neighbours(mx, mo, s)
    # R at 60 degrees is H at 0: a turn by 180 is a turn by 60 for a three-fold layer
    r60 = twisted_bilayer("MoS2", 0, 1, stacking="R")
    assert lateral_neighbours(r60, mo, s) and lateral_neighbours(r60, s, mo)


def test_h_is_r_turned_by_180():
    r, h = (twisted_bilayer("MoS2", 2, 1, stacking=s) for s in "RH")
    assert measured_angle(r) == pytest.approx(13.173551, abs=1e-6)
    assert measured_angle(h) == pytest.approx((13.173551 + 180) % 120, abs=1e-6)
    assert r[:57] == h[:57]


def test_negative_angle_is_the_mirror_image():
    plus, minus = twisted_bilayer("MoS2", angle=21.787), twisted_bilayer("MoS2", angle=-21.787)
    assert measured_angle(minus) == pytest.approx(120 - measured_angle(plus), abs=1e-9)
    assert len(plus) == len(minus) and minus.info["twist_angle"] == -plus.info["twist_angle"]


def test_origin_is_the_rotation_axis():
    """Both layers carry the axis' site symmetry at the origin: an atom there for 'atom', a three-fold void for
    'hexagon'.
    """
    atoms = twisted_bilayer("MoS2", 2, 1, centre="atom")
    at_origin = np.linalg.norm(atoms.positions[:, :2], axis=1) < 1e-9
    assert atoms.symbols[at_origin].get_chemical_formula() == "Mo2"
    hollow = twisted_bilayer(monolayer("graphene", 2.46), 2, 1, gap=3.4)
    distance = np.sort(
        np.linalg.norm(
            (hollow.get_scaled_positions()[:, :2] + 0.5) % 1 @ hollow.cell[:2, :2]
            - 0.5 * hollow.cell[:2, :2].sum(axis=0),
            axis=1,
        )
    )
    assert distance[:12] == pytest.approx(np.full(12, 2.46 / np.sqrt(3)), abs=1e-9)


def test_a_rounded_whole_turn_is_one():
    """twist_angle(0, 1) is 60.00000000000001 degrees."""
    for sign in (1, -1):
        atoms = twisted_bilayer("MoS2", angle=sign * 60.00000000000001, tolerance=1e-7)
        assert len(atoms) == 6 and abs(atoms.info["twist_angle"]) == pytest.approx(60)
    with pytest.raises(ValueError, match="outside"):
        twisted_bilayer("MoS2", angle=60.001)


def test_input_cells_of_any_setting_give_the_same_bilayer():
    wanted = np.sort(twisted_bilayer(monolayer("MoS2", 3.16, 3.13), 1, 1).get_all_distances(mic=True).ravel())
    unit = mx2("MoS2", a=3.16, thickness=3.13, vacuum=8)
    tilted = unit.copy()
    tilted.rotate(37, (1, 2, 0.3), rotate_cell=True)
    acute = unit.copy()
    acute.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ unit.cell[:])
    left_handed = unit.copy()
    left_handed.set_cell(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]) @ unit.cell[:])
    for layer in (unit, tilted, acute, left_handed):
        atoms = twisted_bilayer(layer, 1, 1)
        assert np.sort(atoms.get_all_distances(mic=True).ravel()) == pytest.approx(wanted, abs=1e-6)


def test_square_lattice():
    """Sigma 5 of the square lattice: tan(theta/2) = 1/3."""
    from ase import Atoms

    layer = Atoms("FeSe", positions=[(0, 0, 0), (1.9, 1.9, 1.4)], cell=[3.8, 3.8, 0], pbc=(True, True, False))
    atoms = twisted_bilayer(layer, 1, 1, gap=5.5)
    assert len(atoms) == 20 and atoms.info["twist_angle"] == pytest.approx(36.869898, abs=1e-6)
    assert atoms.cell.cellpar()[[0, 1, 5]] == pytest.approx((3.8 * 5**0.5, 3.8 * 5**0.5, 90))


def test_unknown_materials():
    with pytest.raises(ValueError, match="known are.*MoS2"):
        twisted_bilayer("Unobtainium", 1, 1)
    with pytest.raises(ValueError, match="rectangular.*coincidence_cells"):
        layer = graphene(vacuum=5)
        layer.set_cell(layer.cell[:] * [[1], [1.02], [1]], scale_atoms=True)
        layer.set_cell([2.4, 3.1, 10], scale_atoms=True)
        twisted_bilayer(layer, 1, 1, gap=3.4)
    with pytest.raises(ValueError, match="gap="):
        twisted_bilayer(mx2("TaS2", a=3.3, thickness=3.1, vacuum=8), 1, 1)


def test_files_keep_the_cell(tmp_path):
    atoms = twisted_bilayer("MoS2", 2, 1)
    write(tmp_path / "cell.extxyz", atoms)
    again = read(tmp_path / "cell.extxyz")
    assert again.arrays["layer"].tolist() == atoms.arrays["layer"].tolist()
    assert np.array_equal(again.info["supercells"], atoms.info["supercells"])
    assert again.info["twist_angle"] == pytest.approx(atoms.info["twist_angle"])


def test_gamma_60_is_the_same_crystal():
    obtuse, acute = (twisted_bilayer("MoS2", 2, 1, gamma=g, shift=(0.2, 0.1)) for g in (120, 60))
    assert acute.cell.cellpar()[5] == pytest.approx(60)
    for atoms in (obtuse, acute):
        assert measured_angle(atoms) == pytest.approx(13.173551, abs=1e-6)
    assert np.sort(obtuse.get_all_distances(mic=True).ravel()) == pytest.approx(
        np.sort(acute.get_all_distances(mic=True).ravel()), abs=1e-8
    )


def test_monolayers_have_their_bond_lengths():
    mos2 = monolayer("mos2", 3.16, 3.13)
    assert mos2.get_all_distances(mic=True)[0, 1] == pytest.approx(np.hypot(3.16 / 3**0.5, 3.13 / 2))
    assert monolayer("graphene", 2.46).get_all_distances(mic=True)[0, 1] == pytest.approx(2.46 / 3**0.5)


def test_supercells_of_the_layer_are_reduced():
    """A rectangular or doubled cell of MoS2 gives the bilayer of the primitive one."""
    unit = mx2("MoS2", a=3.16, thickness=3.13, vacuum=8)
    rectangular = unit.copy() * (1, 2, 1)
    rectangular.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ rectangular.cell[:])  # (1,0), (1,2): 90 degrees
    assert rectangular.cell.cellpar()[5] == pytest.approx(90)
    wanted = np.sort(twisted_bilayer(unit, 1, 1).get_all_distances(mic=True).ravel())
    for layer in (rectangular, unit * (3, 2, 1), unit * (2, 2, 1)):
        atoms = twisted_bilayer(layer, 1, 1)
        assert len(atoms) == 42
        assert np.sort(atoms.get_all_distances(mic=True).ravel()) == pytest.approx(wanted, abs=1e-6)


def test_a_stack_is_no_monolayer():
    from ase.build import bulk

    with pytest.raises(ValueError, match="bulk crystal"):
        twisted_bilayer(bulk("Cu"), 1, 1, gap=3)
    with pytest.raises(ValueError, match="single layer is needed, the structure has 2"):
        twisted_bilayer(twisted_bilayer("MoS2", 1, 0), 1, 1)


def test_equilibrium_comes_from_a_model_card(tmp_path, monkeypatch):
    """The folder that ASE_WANDER_MODELS names is searched first; a broken card is named."""
    import json

    from ase_wander.moire import equilibrium

    monkeypatch.setenv("ASE_WANDER_MODELS", str(tmp_path))
    card = tmp_path / "alpha" / "config.json"
    card.parent.mkdir()
    card.write_text(json.dumps({"material": "WSe2", "equilibrium": {"a": 3.3, "gap": 6.6, "thickness": 3.35}}))
    assert (equilibrium("WSe2").a, equilibrium("wse2").source) == (3.3, "model alpha")
    assert equilibrium("MoSe2").a == 3.289
    atoms = twisted_bilayer("WSe2", 1, 1)
    assert atoms.cell.lengths()[0] == pytest.approx(3.3 * 7**0.5) and atoms.info["gap"] == 6.6
    card.write_text(json.dumps({"material": "WSe2", "equilibrium": {"a": "x"}}))
    with pytest.raises(ValueError, match="config.json.*equilibrium"):
        equilibrium("WSe2")
