"""The published kind behind WanderCalculator: forces without an energy, H with and without its Hermitian part."""

import json

import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixCom
from ase.dft.kpoints import BandPath
from ase.io import read
from ase.optimize import FIRE

from ase_wander import WanderCalculator, load_model
from ase_wander.published.bands import published_path
from ase_wander.published.model import RY_PER_BOHR, PublishedModel
from ase_wander.published.networks import published_networks
from ase_wander.published.relax import PublishedDescent, forces_only
from ase_wander.published.template import ideal_template
from tests.published_toy import bilayer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(11)
    path = tmp_path_factory.mktemp("models") / "untrained"
    PublishedModel(published_networks().eval(), ideal_template(), "untrained").save(path)
    return path


@pytest.fixture
def atoms(folder):
    atoms = bilayer(2, 0.03)
    atoms.calc = WanderCalculator(folder)
    return atoms


def test_forces_only(atoms):
    assert atoms.calc.implemented_properties == ["forces"]
    assert set(atoms.calc.get_property("forces", atoms).shape) == {24, 3}
    for request in (atoms.get_potential_energy, atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError):
            request()
    json.dumps(atoms.calc.todict())
    assert set(atoms.calc.results) == {"forces"}


def test_optimisers_run_without_an_energy(atoms, tmp_path):
    log = tmp_path / "log"
    before = atoms.positions.copy()
    forces_only(FIRE)(atoms, logfile=str(log), trajectory=str(tmp_path / "t.traj")).run(fmax=1e-6, steps=3)
    assert not np.allclose(atoms.positions, before)
    assert len(log.read_text().splitlines()) == 5
    assert "forces" in read(tmp_path / "t.traj").calc.results


def test_step_of_the_published_relaxation(atoms):
    """x[Å] += f[Ry/bohr]; a fixed centre of mass takes the net force of the direct network away."""
    before, forces = atoms.positions.copy(), atoms.get_forces()
    PublishedDescent(atoms).run(fmax=1e-9, steps=1)
    np.testing.assert_allclose((atoms.positions - before) * RY_PER_BOHR, forces, atol=1e-10)
    atoms.set_constraint(FixCom())
    centre = atoms.get_center_of_mass()
    PublishedDescent(atoms).run(fmax=1e-9, steps=2)
    np.testing.assert_allclose(atoms.get_center_of_mass(), centre, atol=1e-10)


def test_hamiltonian_with_and_without_its_hermitian_part(atoms):
    k = [[0.1, 0.2, 0]]
    h = atoms.calc.get_wannier_hamiltonian(atoms)
    general = np.sort(np.linalg.eigvals(h.at_k(k[0]).toarray()).real)
    np.testing.assert_allclose(general, h.eigenvalues(k)[0], atol=1e-10)
    raw = atoms.calc.get_wannier_hamiltonian(atoms, hermitian=False).at_k(k[0]).toarray()
    assert np.abs(raw - raw.conj().T).max() > 1e-3
    assert atoms.calc.get_descriptors(atoms).shape == (24, 32)


def test_bands_of_the_published_path_without_symmetrisation(atoms):
    """From the calculator: every k-point of the published scripts' path, real parts of general eigenvalues."""
    path = BandPath(atoms.cell, kpts=published_path(n=2))
    bs = atoms.calc.get_band_structure(atoms, path, hermitian=False, reference=0.0)
    expected = [
        np.sort(np.linalg.eigvals(atoms.calc.get_wannier_hamiltonian(atoms, hermitian=False).at_k(k).toarray()).real)
        for k in published_path(n=2)
    ]
    assert bs.energies.shape == (1, 7, 88)
    np.testing.assert_allclose(bs.energies[0], expected, atol=1e-8)
    assert np.abs(bs.energies - atoms.calc.get_band_structure(atoms, path).energies).max() > 1e-3
    window = atoms.calc.get_band_structure(atoms, path, n_bands=6, hermitian=False)
    np.testing.assert_allclose(window.energies[0], bs.energies[0][:, window.band_indices], atol=1e-8)


def test_loaded_by_folder_is_the_same_model(folder, atoms):
    loaded = load_model(folder)
    assert loaded.kind == "published" and loaded.digest == atoms.calc.model.digest
    np.testing.assert_array_equal(loaded.compute(atoms)["forces"], atoms.get_forces())
