"""Sampling of configurations: determinism, geometry, coverage, and what a plan refuses."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms

from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.sampling.configurations import configuration, order, sample
from ase_wander.data.sampling.displacements import commensurate_vectors, waves
from ase_wander.data.sampling.plan import Kind, Plan, gap_at, quantile, read_plan
from ase_wander.moire.materials import equilibrium
from ase_wander.structure import find_layers

ROOT = Path(__file__).resolve().parents[2]
FULL = Kind(
    "p2",
    9,
    cell="2x2",
    stackings=("R", "H"),
    gap=[6.0, 6.6],
    strain=0.03,
    shear=0.01,
    thickness=0.02,
    sigma=(0.0, 0.03),
    waves={"in_plane": 0.05, "flexural": 0.1, "optical": 0.02},
)


def plan_of(*kinds, material="MoS2", **keywords):
    return Plan(material, kinds, **keywords)


def test_a_longer_plan_continues_a_shorter_one():
    short, long = (
        plan_of(Kind(**{**FULL.__dict__, "count": n}), Kind("ml", 3, monolayer=True, sigma=(0.1,))) for n in (3, 20)
    )
    by_name = {a.info["config_id"]: a for a in sample(long)}
    for atoms in sample(short):
        twin = by_name[atoms.info["config_id"]]
        assert np.array_equal(atoms.positions, twin.positions) and np.array_equal(atoms.cell, twin.cell)


def test_seed_and_number_change_everything():
    one, two = configuration(plan_of(FULL), FULL, 0), configuration(plan_of(FULL, seed=2), FULL, 0)
    three = configuration(plan_of(FULL), FULL, 1)
    assert abs(one.info["gap"] - two.info["gap"]) > 1e-6 and abs(one.info["gap"] - three.info["gap"]) > 1e-6


@pytest.mark.parametrize(
    "material, cell, atoms_per_cell, cells",
    [
        ("MoS2", "1x1", 6, 1),
        ("MoS2", "4x1", 6, 4),
        ("graphene", "1xsqrt3", 4, 2),
        ("graphene", "sqrt3xsqrt3", 4, 3),
        ("hBN", [[2, 1], [0, 2]], 4, 4),
    ],
)
def test_undisplaced_cell(material, cell, atoms_per_cell, cells):
    """Number of atoms, area, gap, vacuum; and every layer is the monolayer's lattice: all its atoms have equal
    surroundings.
    """
    kind = Kind("x", 1, cell=cell, gap=[6.4, 6.5])
    atoms = configuration(plan_of(kind, material=material, lattice_constant=3.0), kind, 0)
    assert len(atoms) == atoms_per_cell * cells
    area = np.linalg.det(atoms.cell[:2, :2])
    assert area == pytest.approx(cells * np.sqrt(0.75) * 9.0)
    assert tuple(atoms.pbc) == (True, True, False)
    assert atoms.cell[2, 2] - np.ptp(atoms.positions[:, 2]) == pytest.approx(12.0)
    layers = find_layers(atoms)
    assert layers.max() == 1
    middle = [np.ptp(atoms.positions[layers == k, 2]) / 2 + atoms.positions[layers == k, 2].min() for k in (0, 1)]
    assert middle[1] - middle[0] == pytest.approx(atoms.info["gap"])
    distances = atoms[layers == 0].get_all_distances(mic=True)
    np.fill_diagonal(distances, 9)
    nearest = distances.min(axis=1)
    assert np.ptp(nearest) < 1e-9


def test_stackings_of_a_dichalcogenide():
    """Without a shift R puts like atoms on top of each other, H turns the layer about its metal: metal over metal,
    chalcogens apart.
    """
    for stacking, same in (("R", True), ("H", False)):
        kind = Kind("p1", 1, stackings=(stacking,), shifts=[[0, 0]], gap=6.3)
        atoms = configuration(plan_of(kind), kind, 0)
        s = atoms.get_scaled_positions()[:, :2]
        metal, other = atoms.numbers == 42, atoms.numbers == 16
        delta = np.ptp(s[metal], axis=0)
        assert np.allclose(delta, 0)
        assert (np.ptp(s[other], axis=0).max() < 1e-9) == same
    # H, moved by (1/3, 2/3): chalcogen over chalcogen
    kind = Kind("p1", 1, stackings=("H",), shifts=[[1 / 3, 2 / 3]], gap=6.3)
    atoms = configuration(plan_of(kind), kind, 0)
    assert np.ptp(atoms.get_scaled_positions()[atoms.numbers == 16, :2], axis=0).max() < 1e-9


def test_exact_stackings_of_graphene():
    """AA, AB, BA: lateral distances of the upper layer's atoms from the lower one's.

    SP lies half-way between AB and BA.
    """
    kind = Kind("p1", 4, shifts=[[0, 0], [1 / 3, 2 / 3], [2 / 3, 1 / 3], [0.5, 0]], gap=3.4)
    on_top = []
    for i in range(4):
        atoms = configuration(plan_of(kind, material="graphene", lattice_constant=2.46), kind, i)
        lower, upper = atoms.positions[:2, :2], atoms.positions[2:, :2]
        frac = (upper[:, None] - lower) @ np.linalg.inv(atoms.cell[:2, :2])
        lateral = np.linalg.norm((frac - np.round(frac)) @ atoms.cell[:2, :2], axis=-1)
        on_top.append(int((lateral < 1e-9).sum()))
    assert on_top == [2, 1, 1, 0]


def test_strain_is_what_info_says():
    kind = Kind("p1", 6, gap=6.3, strain=0.03, shear=0.01)
    for i in range(6):
        atoms = configuration(plan_of(kind, lattice_constant=3.2), kind, i)
        ideal = 3.2 * np.array([[1, 0], [-0.5, np.sqrt(0.75)]])
        deformation = np.linalg.solve(ideal, atoms.cell[:2, :2])
        biaxial, uniaxial, shear = atoms.info["strain"]
        assert deformation == pytest.approx((1 + biaxial) * np.array([[1 + uniaxial, shear], [shear, 1 - uniaxial]]))
        assert (
            atoms.info["a"] == pytest.approx(3.2 * (1 + biaxial))
            and max(abs(biaxial) / 3, abs(uniaxial), abs(shear)) <= 0.01
        )


def test_random_displacements_have_the_named_size():
    kind = Kind("p2", 40, cell="2x2", gap=6.5, sigma=(0.05,))
    plain = Kind(**{**kind.__dict__, "sigma": (0.0,)})
    difference = [
        configuration(plan_of(kind), kind, i).positions - configuration(plan_of(plain), plain, i).positions
        for i in range(40)
    ]
    assert np.std(difference) == pytest.approx(0.05, rel=0.05)


def test_shifts_fill_the_cell_evenly():
    """A low-discrepancy set: every sixteenth of the cell holds its share of 64 shifts within one or two."""
    kind = Kind("p1", 64, gap=3.4)
    shifts = np.array([a.info["shift"] for a in sample(plan_of(kind, material="graphene"))])
    histogram = np.histogram2d(*shifts.T, bins=4, range=[[0, 1]] * 2)[0]
    assert histogram.min() >= 3 and histogram.max() <= 5


def test_every_prefix_holds_all_kinds_in_proportion():
    kinds = [Kind("a", 60, gap=1.0), Kind("b", 12, gap=1.0), Kind("c", 6, gap=1.0)]
    sequence = np.array([k for k, _ in order(kinds)])
    for n in (13, 26, 39, 78):
        assert np.bincount(sequence[:n], minlength=3) == pytest.approx(np.array([60, 12, 6]) * n / 78, abs=1)


def test_waves_are_commensurate_and_move_no_layer_as_a_whole():
    """Each wave sums to zero over the cell; a flexural one moves only z.

    The sublattices of an optical one move along one line.
    """
    matrix = np.diag([4, 1])
    atoms = Atoms(
        "C8",
        positions=np.column_stack([np.repeat(np.arange(4), 2) + 0.5 * np.tile([0, 1], 4), np.zeros((8, 2))]),
        cell=[4, 1, 9],
    )
    layers, sub = np.zeros(8, int), np.tile([0, 1], 4)
    for sort, still in (("flexural", [0, 1]), ("in_plane", [2])):
        u = waves(atoms, layers, sub, matrix, {sort: 0.1}, np.random.default_rng(0))
        assert abs(u.sum(axis=0)).max() < 1e-12 and abs(u[:, still]).max() == 0 and abs(u).max() > 1e-3
    optical = waves(atoms, layers, sub, matrix, {"optical": 0.1}, np.random.default_rng(0))
    assert np.linalg.matrix_rank(optical, tol=1e-9) == 1 and 1e-3 < np.linalg.norm(optical, axis=1).max() <= 0.1
    assert {tuple(v) for v in commensurate_vectors(atoms.cell.array[:2, :2], matrix)} == {(1, 0), (1, 1), (1, -1)}
    assert len(commensurate_vectors(np.eye(2), np.eye(2, dtype=int))) == 0


def test_gap_that_follows_the_registry():
    spec = {"top": 3.6, "hollow": 3.3, "spread": 0.1}
    assert gap_at(spec, 0.5, (0, 0), "R") == pytest.approx(3.6)
    assert gap_at(spec, 0.5, (1 / 3, 2 / 3), "R") == pytest.approx(3.3)
    assert gap_at(spec, 1.0, (2 / 3, 1 / 3), "R") == pytest.approx(3.4)
    assert gap_at({**spec, "origin": {"H": [1 / 3, 2 / 3]}}, 0.5, (1 / 3, 2 / 3), "H") == pytest.approx(3.6)
    assert quantile([[3.0, 0], [3.2, 0.5], [4.0, 1]], 0.75) == pytest.approx(3.6)


def test_twisted_cell_on_request():
    kind = Kind("t7", 1, twist=(1, 1), gap=3.4, strain=0.01, sigma=(0.02,))
    atoms = configuration(plan_of(kind, material="graphene"), kind, 0)
    assert len(atoms) == 28 and atoms.info["supercell"] == "twist 1,1" and find_layers(atoms).max() == 1
    assert atoms.info["twist_angle"] == pytest.approx(21.7868, abs=1e-4)


def test_any_monolayer_as_atoms(tmp_path):
    """A monolayer from a file, with its cell turned and in vacuum, gives the same set as the known name."""
    from ase.io import write

    from ase_wander.moire.materials import monolayer

    layer = monolayer("graphene", 2.46)
    layer.cell[2] = [0, 0, 20]
    layer.rotate(30, "z", rotate_cell=True)
    write(tmp_path / "layer.xyz", layer, format="extxyz")
    raw = {"material": "layer.xyz", "kinds": [{"prefix": "p1", "count": 2, "gap": [3.2, 3.6]}]}
    ours = sample(read_plan(raw, tmp_path))
    known = sample(read_plan({**raw, "material": "graphene", "lattice_constant": 2.46}))
    for a, b in zip(ours, known):
        assert a.cell.array == pytest.approx(b.cell.array, abs=1e-6)
        assert np.sort(a.get_all_distances(mic=True), axis=None) == pytest.approx(
            np.sort(b.get_all_distances(mic=True), axis=None), abs=1e-5
        )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kinds": []}, "sampling.kinds"),
        ({"matrial": "MoS2"}, "sampling.matrial: unknown"),
        ({"material": "unobtainium"}, "sampling.material: unobtainium"),
        ({"seed": 1.5}, "sampling.seed"),
        ({"vacuum": 0}, "sampling.vacuum"),
    ],
)
def test_plan_names_the_wrong_key(change, message):
    raw = {"material": "graphene", "kinds": [{"prefix": "p1", "count": 1, "gap": 3.4}], **change}
    with pytest.raises(ValueError, match=message):
        read_plan(raw)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": 0}, "count"),
        ({"prefix": "p_1"}, "prefix"),
        ({"gap": [4.0, 3.0]}, "gap"),
        ({"gap": None}, "gap: missing"),
        ({"gap": {"top": 3.6}}, "gap"),
        ({"cell": "2by2"}, "cell"),
        ({"cell": [[0, 1], [1, 0]]}, "cell"),
        ({"shifts": [[0, 0, 0]]}, "shifts"),
        ({"stackings": "RS"}, "stackings"),
        ({"sigma": -0.1}, "sigma"),
        ({"waves": {"sideways": 1}}, "waves"),
        ({"twist": [2]}, "twist"),
        ({"shear": 0.7}, "shear"),
        ({"strian": 0.1}, "strian: unknown"),
    ],
)
def test_kind_names_the_wrong_key(change, message):
    kind = {"prefix": "p1", "count": 1, "gap": 3.4, **change}
    with pytest.raises(ValueError, match=r"sampling.kinds\[0\]." + message):
        read_plan({"material": "graphene", "kinds": [kind]})


def test_clashing_names_and_impossible_configurations():
    kinds = [{"prefix": "p1", "count": 5, "gap": 3.4}, {"prefix": "p1", "first": 4, "count": 1, "gap": 3.4}]
    with pytest.raises(ValueError, match=r"kinds\[1\]: names from p1_0004"):
        read_plan({"material": "graphene", "kinds": kinds})
    with pytest.raises(ValueError, match="p1_0000: .*gap"):
        sample(plan_of(Kind("p1", 1, gap=2.0)))
    with pytest.raises(ValueError, match="p1_0000: no flexural wave fits"):
        sample(plan_of(Kind("p1", 1, gap=6.0, waves={"flexural": 0.1})))


@pytest.mark.parametrize("model", ["graphene-bilayer", "mos2-bilayer"])
def test_shipped_plans(model):
    """The plans beside the models are read, and their first configurations are sound bilayers or monolayers."""
    plan = read_plan(yaml.safe_load((ROOT / "models" / model / "data.yaml").read_text(encoding="utf-8"))["sampling"])
    assert sum(k.count for k in plan.kinds) >= 150
    for atoms in sample(plan, 12):
        assert find_layers(atoms).max() == ("gap" in atoms.info)


def test_layers_of_a_heterobilayer_share_one_lattice():
    """Both layers keep their atoms and heights; `layer_strain` says what the common lattice asks of each."""
    kinds = [{"prefix": "h", "count": 3, "stackings": ["R", "H"], "gap": 6.4, "strain": 0.01}]
    plan = read_plan({"material": "MoS2/WSe2", "lattice_constant": 3.22, "kinds": kinds})
    for atoms in sample(plan):
        layers = find_layers(atoms)
        assert [str(atoms[layers == k].symbols.formula.reduce()[0].format("metal")) for k in (0, 1)] == ["MoS2", "WSe2"]
        own = np.array([equilibrium(name).a for name in ("MoS2", "WSe2")])
        assert np.allclose(own * (1 + atoms.info["layer_strain"]), atoms.info["a"], atol=1e-12)
        assert np.isclose(np.linalg.norm(atoms.cell[0]), atoms.info["a"], atol=1e-9)
        metals = atoms.positions[np.isin(atoms.numbers, (42, 74)), 2]
        assert np.isclose(np.ptp(metals), 6.4, atol=1e-9)
    middle = read_plan({"material": "MoS2/WSe2", "kinds": [{**kinds[0], "strain": 0.0}]})
    strain = sample(middle)[0].info["layer_strain"]
    assert strain[0] > 0 > strain[1] and abs(strain.sum()) < 2e-3  # shared


@pytest.mark.parametrize(
    ("material", "change", "message"),
    [
        ("MoS2/WSe2/MoS2", {}, "3 layers; a heterobilayer has a lower and an upper one"),
        ("MoS2/XY2", {}, "unknown material 'XY2'"),
        ("MoS2/WSe2", {"twist": [2, 1]}, "twisted cells are for two equal layers"),
    ],
)
def test_heterobilayers_that_cannot_be_are_refused(material, change, message):
    with pytest.raises(ValueError, match=message):
        sample(read_plan({"material": material, "kinds": [{"prefix": "h", "count": 1, "gap": 6.4, **change}]}))


def test_plans_of_the_dichalcogenides_can_be_built():
    """Every plan of models/tmd: names that no other plan has, and as many configurations as it says."""
    names = []
    for file in sorted((ROOT / "models" / "tmd").glob("*.yaml")):
        found = load_campaign(file, limit=3).configurations
        names += [atoms.info["config_id"] for atoms in found]
        assert all(len(atoms) in (3, 6) for atoms in found)
    assert len(names) >= 24 and len(set(names)) == len(names)
