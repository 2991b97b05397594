"""A training run of seconds: its configuration, and a file of it with changes."""

import yaml

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
