"""What the calculator refuses: structures, models, options; the message names the atom or the value."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import InputError

from ase_wander import DomainWarning, WanderCalculator
from ase_wander.moire import twisted_bilayer


def broken(what):
    atoms = twisted_bilayer("MoS2", angle=0.0)
    if what == "species":
        atoms.symbols[0] = "W"
    elif what == "nan":
        atoms.positions[4, 1] = np.nan
    elif what == "overlap":
        atoms.positions[1] = atoms.positions[0] + [0.3, 0, 0]
    elif what == "pbc":
        atoms.pbc = False
    elif what == "no vacuum":
        atoms.pbc = True
        atoms.center(vacuum=2.0, axis=2)
    return atoms


@pytest.mark.parametrize(
    "what, message",
    [
        ("species", "atom 0 is W"),
        ("nan", "atom 4 .S. is not finite"),
        ("overlap", "overlap"),
        ("pbc", "pbc"),
        ("no vacuum", "vacuum is only 4.00"),
    ],
)
def test_bad_structures_are_refused(calculator, what, message):
    with pytest.raises(InputError, match=message):
        calculator.get_potential_energy(broken(what))
    with pytest.raises(InputError, match=message):
        calculator.get_wannier_hamiltonian(broken(what))


def test_a_bulk_crystal_becomes_no_slab_in_silence(calculator):
    """The advice to the bulk crystal says what follows from it, and following it warns."""
    atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H")
    atoms.set_cell([*atoms.cell.array[:2], [0, 0, np.ptp(atoms.positions[:, 2]) + 3.0]])
    atoms.pbc = True
    with pytest.raises(InputError, match="bulk crystal is not what the model is for"):
        calculator.get_potential_energy(atoms)
    atoms.pbc = (True, True, False)
    with pytest.warns(DomainWarning, match="if this is a bulk crystal, it is treated as one stack"):
        calculator.get_potential_energy(atoms)


def test_a_slab_wrapped_across_the_boundary_is_named(calculator):
    atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H")
    energy = calculator.get_potential_energy(atoms)
    atoms.positions[:, 2] = (atoms.positions[:, 2] - atoms.positions[:, 2].mean()) % atoms.cell[2, 2]
    with pytest.warns(DomainWarning, match=r"both sides of .* set atoms.pbc\[2\] = True"):
        calculator.get_potential_energy(atoms)
    atoms.pbc = True
    assert calculator.get_potential_energy(atoms) == pytest.approx(energy, abs=1e-6)


def test_species_are_checked_when_the_calculator_is_attached(calculator):
    with pytest.raises(InputError, match="atom 0 is W"):
        broken("species").calc = calculator


def test_what_is_no_slab_is_refused(calculator):
    crystal = bulk("MoS", "zincblende", a=4.8)
    with pytest.raises(InputError, match="bulk crystal"):
        calculator.get_potential_energy(crystal)
    h2s = Atoms("MoS2", [[0, 0, 0], [0, 1.8, 1.5], [0, 1.8, -1.5]], cell=[12, 12, 20], pbc=(True, True, False))
    with pytest.raises(InputError, match="molecule"):
        calculator.get_potential_energy(h2s)
    water = molecule("H2O")
    with pytest.raises(InputError, match="atom 0 is O"):
        calculator.get_potential_energy(water)


def test_unknown_models_weights_and_keywords_are_refused(tmp_path, model):
    with pytest.raises(InputError, match="known models: .*mos2-bilayer"):
        WanderCalculator("mos3")
    with pytest.raises(InputError, match="model is None; .* known models: .*mos2-bilayer"):
        WanderCalculator(None)
    with pytest.raises(TypeError):
        WanderCalculator("mos2-bilayer", cutoff=3)
    with pytest.raises(InputError, match="dtype is 'float32', but the loaded model"):
        WanderCalculator(model, dtype="float32")
    with pytest.raises(InputError, match="device is 'cuda', but the loaded model"):
        WanderCalculator(model, device="cuda")
    with pytest.raises(InputError, match="dtype is 'int8'; known"):
        WanderCalculator("mos2-bilayer", dtype="int8")
    folder = model.save(tmp_path / "copy")
    weights = folder / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:1000] + b"x" + good[1001:])
    with pytest.raises(InputError, match="weights.safetensors.*SHA-256"):
        WanderCalculator(str(folder))
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"], config["folder_sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    weights.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(InputError, match="not weights of this model"):
        WanderCalculator(str(folder))


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": -1},
        {"threshold": np.nan},
        {"threshold": "weak"},
        {"threshold": np.inf},
        {"hermitian": False},
        {"progress": True},
    ],
)
def test_bad_options_of_the_hamiltonian_are_refused(atoms, calculator, options):
    with pytest.raises(InputError):
        calculator.get_wannier_hamiltonian(atoms, **options)


def test_unknown_special_points_are_refused(atoms, calculator):
    with pytest.raises(InputError, match="Q"):
        calculator.get_band_structure(atoms, path="GQG", npoints=5)


@pytest.mark.parametrize("options", [{"npoints": 0}, {"npoints": -4}, {"npoints": 2.5}, {"n_bands": 2.5}])
def test_numbers_of_points_and_bands_are_positive_integers(atoms, calculator, options):
    with pytest.raises(InputError, match=f"{next(iter(options))} is .* integer"):
        calculator.get_band_structure(atoms, path="GM", **options)


@pytest.mark.parametrize("method", ["get_uncertainty", "get_wannier_hamiltonian", "get_descriptors"])
def test_what_is_no_structure_is_refused(atoms, calculator, method):
    atoms.get_potential_energy()  # so that there is a last structure to compare with
    with pytest.raises(InputError, match="'POSCAR', not an ase.Atoms"):
        getattr(calculator, method)("POSCAR")
