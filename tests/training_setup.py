"""A training run of seconds: its configuration, and a file of it with changes."""

import numpy as np
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_wander.archives import read_npz
from ase_wander.data.dataset import load_dataset
from tests.mos2_small import DATA

CONFIG = {
    "name": "tiny",
    "material": "MoS2",
    "data": [str(DATA)],
    "species": ["Mo", "S"],
    "shells": {"Mo": [2], "S": [1]},
    "electrons": {"Mo": 6, "S": 4},
    "validation_fraction": 0.15,
    "force_field": {"n_channels": 2, "hidden": 8, "n_raer": 4, "n_radial": 4},
    "heads": {"n_channels": 2, "n_scalars": 4, "hidden": 8, "n_gated": 2},
}
STAGES = [
    {
        "kind": "forcefield",
        "steps": 12,
        "batch": 1,
        "noise": 0.01,
        "validate_every": 2,
        "checkpoint_every": 0.0,
        "weights": {"energy": 4.0, "forces": 1.0, "stress": 0.5, "layer": 1.0},
    },
    {
        "kind": "hamiltonian",
        "steps": 6,
        "batch": 1,
        "noise": 0.01,
        "validate_every": 2,
        "checkpoint_every": 0.0,
        "weights": {"onsite": 0.1, "eigenvalues": 0.01, "vacuum_step": 0.01, "spread": 0.25},
    },
]


def write_config(folder, **change):
    """The configuration as a YAML file in `folder`, with some keys changed."""
    file = folder / "changed.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "stages": STAGES, **change}))
    return file


def with_species(*species):
    """The configuration for other species with the orbitals of Mo and S."""
    of_metal = {"Mo", "W"}
    return {
        **CONFIG,
        "species": list(species),
        "shells": {s: [2] if s in of_metal else [1] for s in species},
        "electrons": {s: 6 if s in of_metal else 4 for s in species},
    }


def renamed_data(folder, higher=0.0):
    """Folder with the tests' data of MoS2 under the names of WSe2, energies `higher` (eV per atom)."""
    (folder / "hamiltonians").mkdir(parents=True)
    images = []
    for c in load_dataset(DATA):
        atoms = c.atoms.copy()
        atoms.symbols = [{"Mo": "W", "S": "Se"}[s] for s in atoms.symbols]
        results = {key: value for key, value in c.results.items() if key != "free_energy"}
        results["energy"] += higher * len(atoms)
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
        if c.hamiltonian:
            arrays = read_npz(c.hamiltonian)
            np.savez(folder / "hamiltonians" / c.hamiltonian.name, **{**arrays, "numbers": atoms.numbers})
    write(folder / "structures.extxyz", images)
    return folder
