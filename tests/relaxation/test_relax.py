"""Relaxation: the true minimum in few steps, layers at their distance, the same bits after a kill."""

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from ase.optimize import LBFGS

from ase_wander import WanderCalculator, load_model, relax
from ase_wander.moire import FixLayerSymmetry, interlayer_distance, symmetry, twisted_bilayer
from ase_wander.relaxation import LayerLBFGS, Springs
from ase_wander.relaxation.recording import readable_frames
from ase_wander.relaxation.springs import FLOOR, NORMAL, spring_hessian
from tests.helpers import displaced


@pytest.fixture(scope="module")
def model():
    return load_model("mos2-bilayer")


@pytest.fixture
def atoms(model):
    """Aligned layers, 6 atoms, displaced."""
    atoms = displaced(twisted_bilayer("MoS2", angle=0.0, shift=(1 / 3, 2 / 3)), 0.03, 1)
    atoms.calc = WanderCalculator(model)
    return atoms


# ---------------------------------------------------------------- the spring model
@pytest.mark.parametrize("material", ["MoS2", "graphene"])
def test_springs_are_a_stable_crystal(material):
    """Symmetric, positive, and blind to a shift of the whole."""
    atoms = twisted_bilayer(material, 1, 1)
    hessian = spring_hessian(atoms, atoms.arrays["layer"]).toarray()
    assert np.abs(hessian - hessian.T).max() < 1e-10
    assert np.linalg.eigvalsh(hessian)[0] >= 0.99 * FLOOR
    for axis in range(3):
        shift = np.tile(np.eye(3)[axis], len(atoms))
        np.testing.assert_allclose(hessian @ shift, FLOOR * shift, atol=1e-9)


@pytest.mark.parametrize("material", ["MoS2", "graphene"])
def test_layers_apart_feel_the_stiffness_of_the_gap(material):
    atoms = twisted_bilayer(material, 2, 1)
    layers = atoms.arrays["layer"]
    up = np.zeros((len(atoms), 3))
    up[layers == 1, 2] = 1.0
    area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
    energy = up.ravel() @ spring_hessian(atoms, layers) @ up.ravel()
    assert energy == pytest.approx(NORMAL * area, rel=0.05)
    # and a force that separates them moves each as a whole
    moved = Springs(atoms, layers).displacement(1e-3 * (2 * up - [0, 0, 1]))
    assert np.ptp(moved[layers == 1, 2]) < 0.2 * moved[layers == 1, 2].mean()


def test_a_flat_layer_bends_softly_and_stretches_hard():
    """Bending energy falls as q^4: a ripple twice as long costs a sixteenth."""
    layer = twisted_bilayer("graphene", 1, 0)
    layer = layer[layer.arrays["layer"] == 0]
    energies = []
    for n in (12, 24):
        strip = layer.repeat((n, 1, 1))
        phase = 2 * np.pi * strip.get_scaled_positions(wrap=False)[:, 0]
        hessian = spring_hessian(strip, np.zeros(len(strip), int)) - FLOOR * np.eye(3 * len(strip))
        u = np.zeros((len(strip), 3))
        u[:, 2] = np.cos(phase)
        energies.append(u.ravel() @ np.asarray(hessian) @ u.ravel() / len(strip))
    assert energies[0] / energies[1] == pytest.approx(16, rel=0.15)


# ---------------------------------------------------------------- the minimum
def test_the_true_minimum_in_half_the_steps(model):
    """Against L-BFGS of ASE to a hundredth of the usual force: the same distance, in a fraction of the steps."""
    reference = twisted_bilayer("MoS2", 1, 1)
    reference.calc = WanderCalculator(model)
    with LBFGS(reference, logfile=None) as optimizer:
        assert optimizer.run(fmax=1e-4, steps=300)
        steps = optimizer.nsteps
    atoms = twisted_bilayer("MoS2", 1, 1)
    atoms.calc = WanderCalculator(model)
    report = relax(atoms)
    assert report.converged and report.steps < 0.5 * steps
    gaps = [interlayer_distance(a)[1].mean() for a in (atoms, reference)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-3)
    assert report.fmax <= 0.01 and report.displacement_left <= 0.0005
    assert np.abs(report.layer_forces).max() < 2e-4
    assert report.outside["atoms"] == 0 and 0 < report.outside["farthest"] < 1
    assert "all atoms inside" in str(report)


@pytest.mark.parametrize("optimizer", ["FIRE", "LBFGS", "BFGS", "layers"])
def test_every_optimizer_stops_at_the_same_distance(atoms, optimizer):
    report = relax(atoms, optimizer=optimizer)
    assert report.converged and report.optimizer == optimizer
    before, distance = atoms.get_potential_energy(), interlayer_distance(atoms)[1].mean()
    relax(atoms, 1e-4, 1e-5)
    assert before - atoms.get_potential_energy() < 1e-4
    assert interlayer_distance(atoms)[1].mean() == pytest.approx(distance, abs=1e-3)


def test_the_optimizer_alone_is_one_of_ases(atoms):
    with LayerLBFGS(atoms, logfile=None) as optimizer:
        assert optimizer.run(fmax=1e-3, steps=40)


def test_a_cell_finds_its_lattice_constant(atoms):
    """Stretched by 1 %, it comes back to where a symmetric pull and push cost the same."""
    atoms.set_cell(atoms.cell * [[1.01], [1.01], [1.0]], scale_atoms=True)
    report = relax(atoms, cell=True)
    assert report.converged and report.strain_left <= 5e-5
    assert atoms.cell.lengths()[0] == pytest.approx(atoms.calc.model.config["equilibrium"]["a"], rel=2e-3)
    energies = []
    for strain in (-2e-3, 0.0, 2e-3):
        strained = atoms.copy()
        strained.set_cell(atoms.cell * [[1 + strain], [1 + strain], [1.0]], scale_atoms=True)
        energies.append(atoms.calc.get_potential_energy(strained))
    assert min(energies) == energies[1]


def test_constraints_hold(atoms):
    atoms.set_constraint(FixAtoms([0, 1]))
    start = atoms.positions.copy()
    assert relax(atoms).converged
    assert np.array_equal(atoms.positions[:2], start[:2]) and np.abs(atoms.positions[2:] - start[2:]).max() > 1e-3
    assert len(atoms.constraints) == 1


def test_symmetry_is_kept(model):
    atoms = twisted_bilayer("MoS2", 1, 1)
    atoms.set_constraint(FixLayerSymmetry(atoms))
    atoms.calc = WanderCalculator(model)
    assert relax(atoms).converged
    assert symmetry(atoms, 1e-5).point_group == "D3"


def test_layers_recognised_anew(model):
    """Layers that start so near that they count as one: the end has the energy of a fresh calculator."""
    atoms = twisted_bilayer("MoS2", angle=0.0, gap=5.3)
    atoms.calc = WanderCalculator(model)
    with pytest.warns(UserWarning, match="outside the training data"):
        report = relax(atoms, steps=300)
    assert report.converged and report.changes == ["recognised anew in the relaxed structure: 2 instead of 1"]
    fresh = WanderCalculator(model)
    assert atoms.get_potential_energy() == pytest.approx(fresh.get_potential_energy(atoms), abs=1e-9)
    assert interlayer_distance(atoms)[1].mean() > 6.0


# ---------------------------------------------------------------- killed and started again
@pytest.mark.parametrize(
    "optimizer, cell", [("layers", False), ("layers", True), ("FIRE", False), ("LBFGS", False), ("BFGS", True)]
)
def test_the_same_bits_after_a_kill(atoms, optimizer, cell, tmp_path):
    start = atoms.copy()
    wanted = dict(fmax=0.005, dmax=2e-4, optimizer=optimizer, cell=cell)
    relax(atoms, trajectory=tmp_path / "whole.traj", **wanted)
    frames, _ = readable_frames(tmp_path / "whole.traj")
    content = (tmp_path / "whole.traj").read_bytes()
    for share in (0.3, 0.8):
        part = tmp_path / f"part-{share}.traj"
        part.write_bytes(content[: int(share * len(content))])
        again = start.copy()
        again.calc = WanderCalculator(atoms.calc.model)
        relax(again, trajectory=part, **wanted)
        assert np.array_equal(again.positions, atoms.positions) and np.array_equal(again.cell.array, atoms.cell.array)
        repeated, _ = readable_frames(part)
        assert len(repeated) == len(frames)
        assert all(np.array_equal(a.positions, b.positions) for a, b in zip(repeated, frames))


def test_a_stopped_relaxation_goes_on_in_the_same_bits(model, tmp_path):
    ends = []
    for pieces in ([300], [1, 1, 300]):
        atoms = twisted_bilayer("MoS2", angle=0.0, gap=5.3)  # layers recognised anew on the way
        for k, steps in enumerate(pieces):
            again = atoms.copy()
            again.calc = WanderCalculator(model)
            report = relax(again, steps=steps, trajectory=tmp_path / f"{len(pieces)}.traj")
            assert report.converged == (k == len(pieces) - 1)
        ends.append((again.positions, report.energy, report.steps))
    assert np.array_equal(ends[0][0], ends[1][0]) and ends[0][1:] == ends[1][1:]


def test_a_trajectory_of_another_start_is_refused(atoms, tmp_path):
    relax(atoms, trajectory=tmp_path / "a.traj", steps=1)
    atoms.positions[0, 0] += 0.1
    with pytest.raises(ValueError, match="a.traj: the trajectory starts from other atoms"):
        relax(atoms, trajectory=tmp_path / "a.traj")


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    "options, message",
    [
        ({"fmax": 0.0}, "fmax is 0.0"),
        ({"fmax": "0.01"}, "fmax is '0.01'"),
        ({"dmax": float("nan")}, "dmax is nan"),
        ({"optimizer": "newton"}, "known: layers"),
        ({"steps": 0}, "steps is 0"),
        ({"callback": 3}, "callback is 3"),
    ],
)
def test_bad_options(atoms, options, message):
    with pytest.raises(ValueError, match=message):
        relax(atoms, **options)


def test_atoms_without_a_calculator():
    with pytest.raises(ValueError, match="no calculator"):
        relax(Atoms("C"))
    with pytest.raises(ValueError, match="atoms are None"):
        relax(None)
