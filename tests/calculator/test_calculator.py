"""The contract with ASE: results, files, filters, optimizers, copies, refusals."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import InputError, PropertyNotImplementedError
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.calculators.test import gradient_test
from ase.filters import FrechetCellFilter
from ase.io import Trajectory, read, write
from ase.optimize import BFGS, FIRE, LBFGS
from ase.spectrum.band_structure import BandStructure

from ase_wander import WanderCalculator, WannierHamiltonian, list_models, load_model
from ase_wander.moire import twisted_bilayer


# ---------------------------------------------------------------- results
def test_one_pass_gives_everything(atoms, calculator, monkeypatch):
    calls = []
    compute = calculator.model.compute
    monkeypatch.setattr(calculator.model, "compute", lambda *a: calls.append(1) or compute(*a), raising=False)
    energy = atoms.get_potential_energy()
    assert type(energy) is float
    assert atoms.get_potential_energy(force_consistent=True) == energy
    assert atoms.get_potential_energies().sum() == pytest.approx(energy)
    assert atoms.get_forces().shape == (6, 3) and atoms.get_stress().shape == (6,)
    assert len(calls) == 1
    assert set(calculator.results) == {"energy", "free_energy", "energies", "forces", "stress"}
    atoms.positions[0, 0] += 0.01
    assert atoms.get_potential_energy() != energy and len(calls) == 2


def test_no_stress_without_a_full_cell(atoms):
    flat = Atoms(
        atoms.numbers, atoms.positions, cell=[atoms.cell[0], atoms.cell[1], [0, 0, 0]], pbc=(True, True, False)
    )
    flat.calc = atoms.calc
    assert flat.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    with pytest.raises(PropertyNotImplementedError):
        flat.get_stress()


def test_no_stress_of_a_cell_without_volume(atoms):
    energy = atoms.get_potential_energy()
    atoms.cell[2] = atoms.cell[0]
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-12) and "stress" not in atoms.calc.results


def test_vacuum_cell_periodic_in_three_directions_is_the_same(atoms):
    periodic = atoms.copy()
    periodic.pbc = True
    periodic.calc = atoms.calc
    assert periodic.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


def test_float32_follows_float64(atoms):
    single = WanderCalculator("mos2-bilayer", dtype="float32")
    f32, f64 = single.get_forces(atoms), atoms.get_forces()
    assert np.abs(f32 - f64).max() < 1e-3
    h32, h64 = (c.get_wannier_hamiltonian(atoms).at_k([0.1, 0.2, 0]).toarray() for c in (single, atoms.calc))
    assert np.abs(h32 - h64).max() < 1e-4


# ---------------------------------------------------------------- files and copies
def test_trajectory_and_database_round_trip(atoms, tmp_path):
    atoms.get_forces()
    with Trajectory(tmp_path / "a.traj", "w") as trajectory:
        trajectory.write(atoms)
    back = read(tmp_path / "a.traj")
    assert back.get_potential_energy() == atoms.get_potential_energy()
    assert np.array_equal(back.get_forces(), atoms.get_forces())
    write(tmp_path / "a.json", atoms)
    assert read(tmp_path / "a.json").get_potential_energy() == pytest.approx(atoms.get_potential_energy())


def test_todict_is_json_and_names_the_model(calculator):
    record = json.loads(json.dumps(calculator.todict()))
    assert record["model"] == "mos2-bilayer" and len(record["sha256"]) == 64


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_agree(atoms, duplicate):
    assert duplicate(atoms.calc).get_potential_energy(atoms) == pytest.approx(atoms.get_potential_energy(), abs=1e-12)


# ---------------------------------------------------------------- inside ASE
def test_cell_filter_gradient(atoms):
    gradient, numeric = gradient_test(FrechetCellFilter(atoms))[:2]
    assert np.abs(gradient - numeric).max() < 1e-5


@pytest.mark.parametrize("optimizer", [BFGS, LBFGS, FIRE])
def test_optimizers_reach_the_same_minimum(atoms, optimizer):
    assert optimizer(atoms, logfile=None).run(fmax=0.005, steps=400)
    reference = atoms.copy()
    reference.calc = atoms.calc
    BFGS(reference, logfile=None).run(fmax=0.001, steps=400)
    assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy(), abs=1e-3)


def test_sum_with_another_calculator(atoms, calculator):
    weak = LennardJones(sigma=2.0, epsilon=1e-3, rc=4.0)
    expected = calculator.get_potential_energy(atoms) + weak.get_potential_energy(atoms)
    atoms.calc = SumCalculator([WanderCalculator(calculator.model), weak])
    assert atoms.get_potential_energy() == pytest.approx(expected)


def test_molecular_dynamics_conserves_energy(atoms):
    from ase import units
    from ase.md.verlet import VelocityVerlet

    BFGS(atoms, logfile=None).run(fmax=0.01, steps=200)
    atoms.set_momenta(
        np.random.default_rng(0).normal(size=(6, 3)) * np.sqrt(300 * units.kB * atoms.get_masses())[:, None]
    )
    start = atoms.get_total_energy()
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(100)
    assert np.abs(np.array(energies) - start).max() / len(atoms) < 2e-3


def test_layers_are_kept_while_atoms_move_and_found_anew_for_another_structure(atoms, calculator):
    layers = calculator.layers(atoms)
    close = atoms.copy()
    for _ in range(20):  # push the layers together, far inside bonding distance of their sulphur atoms
        close.positions[layers == 1, 2] -= 0.1
        assert np.array_equal(calculator.layers(close), layers)
    swapped = atoms[[3, 4, 5, 0, 1, 2]]
    assert np.array_equal(calculator.layers(swapped), layers[[3, 4, 5, 0, 1, 2]])


def test_layers_do_not_depend_on_what_was_asked_before(atoms, calculator):
    """A cell stretched without its atoms is another structure; a strained or wrapped one is the same."""
    calculator.get_potential_energy(atoms)
    torn = atoms.copy()
    torn.set_cell(2 * atoms.cell)
    with pytest.raises(InputError, match="molecule"):
        calculator.get_potential_energy(torn)
    calculator.get_potential_energy(atoms)
    kept = calculator.layers(atoms)
    strained = atoms.copy()
    strained.set_cell(1.05 * atoms.cell, scale_atoms=True)
    strained.wrap()
    assert calculator.layers(strained) is kept


def test_refused_atoms_have_no_results(atoms, calculator):
    calculator.get_potential_energy(atoms)
    bad = atoms.copy()
    bad.positions[0] = np.nan
    for _ in range(2):
        with pytest.raises(InputError, match="not finite"):
            calculator.get_potential_energy(bad)
        assert not calculator.results


def test_forces_inside_no_grad(atoms, calculator):
    import torch

    expected = atoms.get_forces()
    calculator.reset()
    with torch.no_grad():
        assert np.array_equal(calculator.get_forces(atoms), expected)
    calculator.reset()
    with torch.inference_mode():
        assert np.array_equal(calculator.get_forces(atoms), expected)


# ---------------------------------------------------------------- electrons
def test_hamiltonian_and_bands(atoms, calculator):
    h = calculator.get_wannier_hamiltonian(atoms)
    assert isinstance(h, WannierHamiltonian)
    assert h.n_orbitals == 22 and h.n_electrons == 28
    assert "hamiltonian" not in calculator.results
    bs = calculator.get_band_structure(atoms, path="GMKG", npoints=12, n_bands=6)
    assert isinstance(bs, BandStructure) and bs.energies.shape == (1, 12, 6)
    assert np.allclose(bs.path.special_points["K"], [1 / 3, 1 / 3, 0])
    full = h.eigenvalues(bs.path.kpts)
    window = h.band_window(6)
    assert np.allclose(bs.energies[0], full[:, window.start : window.stop], atol=1e-8)
    level = calculator.get_fermi_level(atoms)
    # mid-gap between the 14th and the 15th band
    assert full[:, 13].max() < level < full[:, 14].min()


def test_threshold_drops_small_elements_only(atoms, calculator):
    full, cut = calculator.get_wannier_hamiltonian(atoms), calculator.get_wannier_hamiltonian(atoms, threshold=1e-3)
    k = [0.2, 0.1, 0]
    assert sum(b.nnz for b in cut.blocks) < sum(b.nnz for b in full.blocks)
    bound = max(np.abs(full.at_k(k) - cut.at_k(k)).sum(1).max(), 1e-12)
    assert np.abs(full.eigenvalues([k]) - cut.eigenvalues([k])).max() <= bound  # Weyl


@pytest.mark.parametrize("project", [None, "shell", "layer"])
def test_density_of_states_on_a_reduced_mesh(calculator, project):
    """The mesh reduced by the layer group and the whole mesh, all k with equal weights, give the same."""
    atoms = twisted_bilayer("MoS2", 1, 0, stacking="H")
    grid, width = np.linspace(-9, -1, 161), 0.1
    whole = [(i / 4, j / 4, 0) for i in range(4) for j in range(4)]
    reduced, full = (
        calculator.get_dos(atoms, kpts=k, energies=grid, width=width, project=project) for k in ((4, 4), whole)
    )
    sums = [np.atleast_2d(d.get_weights() if project is None else d.get_all_weights()) for d in (reduced, full)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-6) and sums[0].max() > 1
    if project == "layer":  # equivalent layers
        assert sums[0][0] == pytest.approx(sums[0][1], abs=1e-6)


def test_density_of_states_solves_only_irreducible_points(calculator, monkeypatch):
    solved, eigenvalues = [], WannierHamiltonian.eigenvalues
    monkeypatch.setattr(
        WannierHamiltonian,
        "eigenvalues",
        lambda h, kpts, *a, **o: solved.append(len(kpts)) or eigenvalues(h, kpts, *a, **o),
    )
    calculator.get_dos(twisted_bilayer("MoS2", 1, 0, stacking="H"), kpts=(6, 6, 1))
    assert sum(solved) == 7  # Gamma-centred 6 x 6, D3d and time reversal
    with pytest.raises(InputError, match="mesh of the plane"):
        calculator.get_dos(twisted_bilayer("MoS2", 1, 0), kpts=(6, 6, 2))


def test_models_survive_saving(atoms, model, tmp_path):
    again = load_model(model.save(tmp_path / "copy"))
    assert WanderCalculator(again).get_potential_energy(atoms) == atoms.get_potential_energy()
    assert again.digest == model.digest and "mos2-bilayer" in list_models()


@pytest.mark.parametrize("properties", [None, [], "forces", ("forces", "stress")])
def test_properties_are_asked_for_by_a_name_several_or_none(atoms, calculator, properties):
    calculator.calculate(atoms, properties)
    assert set(calculator.results) == set(calculator.implemented_properties)
    with pytest.raises(PropertyNotImplementedError, match="no dipole;"):
        calculator.calculate(atoms, "dipole")


def test_nothing_is_printed_or_warned(atoms, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_forces()
        atoms.calc.get_band_structure(atoms, path="GM", npoints=3)
    assert capsys.readouterr() == ("", "")
