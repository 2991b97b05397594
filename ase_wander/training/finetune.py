"""The configuration of a fine-tuning that nobody has to write: from a trained model and new data alone."""

from __future__ import annotations

from pathlib import Path

import yaml

from ..catalogue import model_folder
from ..data.sources import load_sources
from ..files import atomic_write
from ..model.files import read_config
from ..moire.materials import canonical_name
from ..structure import find_layers
from .transfer import group_and_period, relative

#: Stages of a fine-tuning: short, at rates that leave most of what the model knows in place.
FORCE_FIELD = {
    **{"kind": "forcefield", "name": "forces", "steps": 800, "batch": 4, "lr": 2e-3, "lr_final": 1e-5},
    **{"optimiser": "soap", "average": 0.99, "noise": 0.02, "validate_every": 10},
}
ELEMENTS = {
    **{"kind": "hamiltonian", "name": "elements", "steps": 800, "batch": 4, "pairs": 0.3, "lr": 2e-3, "lr_final": 1e-5},
    **{"optimiser": "soap", "clip": 50.0, "average": 0.997, "weight_decay": 0.5, "noise": 0.12, "validate_every": 10},
}
BANDS = {
    **{"kind": "hamiltonian", "name": "bands", "steps": 100, "batch": 4, "lr": 3e-4, "lr_final": 1e-6},
    **{"clip": 50.0, "average": 0.99, "weight_decay": 0.1, "validate_every": 10},
}

#: Weights of the terms of both parts, of which those without labels are left out.
OF_FORCES = {"energy": 4.0, "forces": 1.0, "stress": 0.5, "layer": 1.0}
OF_ELEMENTS = {"onsite": 0.1, "vacuum_step": 0.02, "spread": 0.25}
OF_BANDS = 0.04

#: Keys of a model's configuration that a fine-tuned one keeps.
KEPT = ("kind", "force_field", "heads", "validation_fraction", "licence")


def finetuning(start, data, name, material=None, replay=0.0, freeze=()) -> dict:
    """Configuration of a training run (see `config.TrainConfig`) that starts from the model `start`.

    Species are those of the data; with a `replay` also those of the model, which then stays good for both. A new
    element has the shells of its relative (`transfer.relative`), and its valence electrons: so many more or fewer as
    its group stands further right or left. Stages are those that the labels of the data allow.

    Parameters
    ----------
    start : name or folder of a model
    data : list of paths
    material : name or file of a layer; by default that of the model where it has the species, else the formula of a
        layer of the data.

    Raises
    ------
    ValueError
        For a model of another kind, for data that cannot be read or have no labels, and a material that is not known.
    """
    folder = model_folder(start)
    known = read_config(folder)
    if known.get("kind") not in ("wander", "two-center"):
        raise ValueError(f"{start}: is of kind {known.get('kind')!r}; kinds wander and two-center are fine-tuned")
    paths = [str(Path(path).resolve()) for path in data]
    configurations = load_sources(paths)
    present = {symbol for c in configurations for symbol in c.atoms.symbols}
    species = sorted_species(present | set(known["species"] if replay else ()), known["species"])
    relatives = {s: relative(s, known["species"]) for s in species}
    stages = stages_for(configurations)
    if not stages:
        raise ValueError(f"{', '.join(paths)}: no energy, force, Hamiltonian or band structure to train on")
    heads = dict(known.get("heads", {}))
    if "facing" in heads:
        heads["facing"] = [s for s in species if relatives[s] in heads["facing"]]
    made = {
        "name": name,
        "material": material or material_of(known, species, configurations),
        "start_from": str(start) if (folder.name == str(start)) else str(folder.resolve()),
        "data": paths,
        "species": species,
        "shells": {s: list(known["shells"][r]) for s, r in relatives.items()},
        "electrons": {s: electrons(s, r, known["electrons"][r]) for s, r in relatives.items()},
        **{key: known[key] for key in KEPT if key in known},
        **({"heads": heads} if heads else {}),
        **({"replay": replay} if replay else {}),
        **({"freeze": list(freeze)} if freeze else {}),
        "stages": stages,
    }
    return made


def sorted_species(species, known) -> list[str]:
    """Species in the order of their relatives: the model's own, then heavier elements after lighter ones."""
    place = lambda s: (list(known).index(relative(s, known)), s not in known, group_and_period(s)[::-1], s)
    return sorted(species, key=place)


def electrons(symbol, of, number) -> float:
    """Electrons that an element brings, from those of its relative and the distance of their groups."""
    found = number + group_and_period(symbol)[0] - group_and_period(of)[0]
    if found < 0:
        raise ValueError(
            f"electrons: {symbol} starts from {of}, which brings {number:g}; write a configuration by hand"
        )
    return found


def stages_for(configurations) -> list[dict]:
    """Stages for the labels that the configurations have."""
    has = lambda label: any(c.has(label) for c in configurations)
    stages = []
    terms = {term: w for term, w in OF_FORCES.items() if has("forces" if term == "layer" else term)}
    if terms:
        stages.append({**FORCE_FIELD, "weights": terms})
    weights = {term: w for term, w in OF_ELEMENTS.items() if term != "vacuum_step" or has("vacuum_step")}
    if has("hamiltonian"):
        stages.append({**ELEMENTS, "weights": weights})
    if has("eigenvalues"):
        stages.append({**BANDS, "weights": {**weights, "eigenvalues": OF_BANDS}})
    return stages


def material_of(known, species, configurations) -> str:
    """Name of the material: the model's where it has all its species in the data, else a layer's formula."""
    if set(known["species"]) <= set(species) and known.get("material"):
        return known["material"]
    atoms = configurations[0].atoms
    layer = atoms[find_layers(atoms) == 0]
    formula = layer.symbols.formula.reduce()[0].format("metal")
    try:
        return canonical_name(formula)
    except ValueError:
        raise ValueError(
            f"material: the data hold {formula}, which is not known; name one, or the file of a layer"
        ) from None


def write_finetuning(path, configuration) -> None:
    """Write the configuration as YAML, atomically."""
    head = (
        "# Made by `ase-wander train --from`; change what you like and train it by `ase-wander train FILE --out RUN`.\n"
    )
    Dumper = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    text = yaml.dump(configuration, Dumper=Dumper, sort_keys=False, default_flow_style=None, width=120)
    atomic_write(Path(path), head + text)
