"""The compiled loops give what torch gives, for every kind of structure and force field that they take."""

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_wander import load_model
from ase_wander.model.forces import ForcePass, by_loops, by_torch
from ase_wander.model.wander import WanderModel
from ase_wander.moire import twisted_bilayer, twisted_multilayer
from ase_wander.structure import find_layers
from tests.helpers import displaced

#: Relative agreement by precision.
CLOSE = {"float64": 1e-12, "float32": 1e-5}

pytestmark = pytest.mark.usefixtures("compiled")


def toy(dtype="float64", **force_field):
    """Random weights, with everything switched on: walls, repulsion, charges, offsets of the invariants."""
    torch.manual_seed(1)
    options = {
        "cutoff": 5.0,
        "tail_cutoff": 8.0,
        "n_radial": 4,
        "n_channels": 3,
        "n_raer": 5,
        "hidden": 7,
    } | force_field
    config = {"species": ["Mo", "S"], "shells": {"Mo": [2], "S": [1]}, "electrons": {"Mo": 6, "S": 4}}
    heads = {"cutoff": 5.0, "taper": 4.0, "n_channels": 2, "n_scalars": 3, "hidden": 4, "n_gated": 3}
    model = WanderModel(config | {"force_field": options, "heads": heads})
    ff = model.force_field
    with torch.no_grad():
        ff.repulsion_range.fill_(2.9)
        ff.contact.fill_(2.6)
        ff.linear.normal_()
        ff.mean.normal_(), ff.inverse_std.uniform_(0.5, 1.5), ff.reference_energy.normal_(), ff.energy_scale.fill_(0.7)
        ff.dispersion.normal_()
        if ff.smearing:
            ff.charge.weight.normal_()
    return model.to(getattr(torch, dtype)).eval()


def bilayer(seed=3, sigma=0.05, **options):
    return displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1), **options), sigma, seed)


def monolayer():
    atoms = bilayer()
    return atoms[atoms.arrays["layer"] == 0]


def periodic_upwards():
    atoms = bilayer()
    atoms.set_pbc(True)
    return atoms


STRUCTURES = {
    "smaller than the cutoff": bilayer,
    "monolayer": monolayer,
    "trilayer": lambda: displaced(twisted_multilayer("MoS2", (0, 21.786789, 0)), 0.05, 4),
    "twisted": lambda: displaced(twisted_bilayer("MoS2", m=2, r=1), 0.03, 1),
    "periodic upwards": periodic_upwards,
}


def both(model, atoms):
    layers = find_layers(atoms)
    return by_loops(model, atoms, layers), by_torch(model, atoms, layers)


def assert_same(loops, reference, close):
    for name in ("energies", "forces", "virial"):
        a, b = getattr(loops, name), getattr(reference, name)
        assert np.abs(a - b).max() <= close * max(1.0, np.abs(b).max()), name
    if reference.outside is not None:
        assert np.array_equal(loops.outside, reference.outside)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", STRUCTURES)
def test_shipped_model_by_both_ways(name, dtype):
    """In float32 against float64: the loops sum in float64, torch in float32."""
    atoms = STRUCTURES[name]()
    layers = find_layers(atoms)
    loops = by_loops(load_model("mos2-bilayer", dtype=dtype), atoms, layers)
    reference = by_torch(load_model("mos2-bilayer"), atoms, layers)
    assert_same(loops, reference, 10 * CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE)
def test_graphene_by_both_ways(dtype):
    atoms = displaced(twisted_bilayer("graphene", m=2, r=1), 0.03, 2)
    loops = by_loops(load_model("graphene-bilayer", dtype=dtype), atoms, find_layers(atoms))
    assert_same(loops, by_torch(load_model("graphene-bilayer"), atoms, find_layers(atoms)), 10 * CLOSE[dtype])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smearing": 1.5},
        {"smearing": 1.5, "neutral": "layer"},
        {"l_max": 1},
        {"l_max": 2},
        {"l_max": 3, "n_radial": 7},
        {"n_channels": 8, "n_radial": 10},
        {"n_channels": 11, "cutoff": 8.0, "tail_cutoff": 5.0},
    ],
    ids=str,
)
def test_any_size_of_force_field(options):
    model = toy(**options)
    for atoms in (bilayer(sigma=0.15), monolayer()):
        assert_same(*both(model, atoms), CLOSE["float64"])


def test_walls_and_nuclei_act_and_agree():
    model = toy()
    near, far = (bilayer(sigma=0.0, gap=gap) for gap in (4.4, 7.0))
    assert_same(*both(model, near), CLOSE["float64"])
    walls = [float(by_loops(model, a, find_layers(a)).energies.sum()) for a in (near, far)]
    model.force_field.contact.fill_(0.0)
    model.force_field.repulsion_range.fill_(0.0)
    without = [float(by_loops(model, a, find_layers(a)).energies.sum()) for a in (near, far)]
    assert walls[0] - without[0] > walls[1] - without[1] + 1.0


def test_atoms_without_neighbours_feel_nothing():
    """Two atoms 30 Å apart: energies of the species alone, no force; the same by torch."""
    model = toy()
    atoms = Atoms("MoS", [[0, 0, 5], [20, 20, 25.0]], cell=[60, 60, 60], pbc=(True, True, False))
    layers = np.array([0, 1])
    loops, reference = by_loops(model, atoms, layers), by_torch(model, atoms, layers)
    assert_same(loops, reference, CLOSE["float64"])
    assert not loops.forces.any() and not loops.virial.any()


@pytest.mark.parametrize("options", [{}, {"smearing": 1.5}], ids=str)
def test_forces_and_virial_are_slopes_of_the_energy(options):
    model, atoms = toy(**options), bilayer(sigma=0.1)
    layers, find, h = find_layers(atoms), ForcePass(), 1e-4

    def energy(strain=None, moved=None):
        work = atoms.copy()
        if moved is not None:
            work.positions[moved[0], moved[1]] += moved[2]
        if strain is not None:
            work.set_cell(work.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return find(model, work, layers).energies.sum()

    found = find(model, atoms, layers)
    for atom, axis in ((0, 0), (3, 1), (5, 2)):
        slope = (energy(moved=(atom, axis, h)) - energy(moved=(atom, axis, -h))) / (2 * h)
        assert found.forces[atom, axis] == pytest.approx(-slope, abs=1e-5)
    for a, b in ((0, 0), (0, 1), (2, 2), (1, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        slope = (energy(strain) - energy(-strain)) / (2 * h)
        assert found.virial[a, b] == pytest.approx(slope, abs=2e-5)
    assert np.abs(found.forces.sum(0)).max() < 1e-10
