"""A finished run becomes a model folder: weights, configuration, errors and the card written from them."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..catalogue import CONFIG
from ..data.dataset import split
from ..loading import load_model
from ..model.wander import TRUST
from ..moire.lattice import midplane
from ..moire.layer_file import read_layer
from ..structure import plane_normal
from ..training.figures import plot_learning_curves
from ..training.record import read_record
from ..training.train import load_configurations
from .card import write_card
from .uncertainty import fit_uncertainty


def release_model(model, config, run, folder, measure) -> Path:
    """Write `model`, its equilibrium, uncertainty, `report.json` and `card.md` into `folder`.

    All of it is made in a folder beside `folder` first; only when it is complete do its files take the place of those
    of the same names. Other files in `folder` stay.

    Parameters
    ----------
    model : Model
    config : TrainConfig
    run, folder : path-like
        The finished run, and the model folder to write.
    measure : callable
        Maps (model, material) to lattice constant, thickness and gap: see `ase_wander.evaluation.equilibrium`.

    Raises
    ------
    ValueError
        See `check_releasable`; a damaged run.json.
    """
    run, folder = Path(run), Path(folder)
    configurations = load_configurations(config)
    check_releasable(config, folder, configurations)
    record = read_record(run / "run.json")
    # What does not decide the weights may have changed since the run began.
    record["config"] |= {
        key: value for key, value in config.to_dict().items() if key in ("material", "licence", "notes", "bars")
    }
    model.config["validation_fraction"] = config.validation_fraction
    model.config["data_sha256"] = record["data_sha256"]
    if config.bars:
        model.config["bars"] = config.bars
    whole = sorted({c.name for c in configurations if not c.hold_out} | set(model.config.get("trained_whole", ())))
    if whole:  # what no later evaluation may take for held out
        model.config["trained_whole"] = whole
    model.config["layers"] = layer_counts(c for c in configurations if model.refusal(c.atoms, c.layers) is None)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One level down: what stands beside other models with a config.json would count as a model.
    with TemporaryDirectory(prefix=".release-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        model.save(made)
        if "energy" in model.implemented_properties:
            loaded = load_model(made)
            model.config["equilibrium"] = measure(loaded, layer_to_relax(config, configurations))
            try:
                model.trust = fit_uncertainty(loaded, configurations, config.validation_fraction)
            except ValueError:  # no held-out configuration with energy and forces: the card shows no section on it
                model.trust = None
            model.save(made)
            plot_learning_curves(run, [s.name for s in config.stages], made)
        record["beside"] = (folder / "train.yaml").is_file()
        record["data_beside"] = (folder / "data").is_dir()
        write_card(made, record, configurations, run)
        folder.mkdir(exist_ok=True)
        if not (made / TRUST).exists():
            (folder / TRUST).unlink(missing_ok=True)  # of the weights before
        for file in sorted(
            made.iterdir(), key=lambda file: (file.name == CONFIG, file.name)
        ):  # config.json makes it a model
            os.replace(file, folder / file.name)
    return folder


def check_releasable(config, folder, configurations=None) -> None:
    """ValueError when a run cannot become a model: untrained parts, nothing held out, no folder."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ValueError(f"{folder}: is not a folder")
    if not (config.is_published or config.start_from):
        missing = [
            kind for kind in ("forcefield", "hamiltonian") if {kind, "joint"}.isdisjoint(s.kind for s in config.stages)
        ]
        if missing:
            raise ValueError(
                f"stages: none of kind {missing[0]}; a released model has both parts trained, force field and heads"
            )
    fraction = config.validation_fraction
    if not split(load_configurations(config) if configurations is None else configurations, fraction)[1]:
        raise ValueError(
            f"validation_fraction: {fraction} leaves no configuration to measure the errors of the card on"
        )


def layer_to_relax(config, configurations):
    """The material's name, or the file's layer with `info["gap"]`, the median gap (Å) in the data."""
    if not config.material_file:
        return config.material
    atoms = read_layer(config.material_file)
    gaps = [layer_gap(c) for c in configurations if c.layers.max() == 1]
    if gaps:
        atoms.info["gap"] = float(np.median(gaps))
    return atoms


def layer_gap(configuration) -> float:
    """Distance (Å) of the mid-planes of a bilayer."""
    heights, numbers = configuration.atoms.positions @ plane_normal(configuration.atoms), configuration.atoms.numbers
    return abs(
        float(
            np.subtract(
                *(
                    midplane(heights[own], numbers[own])
                    for own in (configuration.layers == 0, configuration.layers == 1)
                )
            )
        )
    )


def layer_counts(configurations) -> list[int]:
    """Numbers of layers that occur in the data; the calculator warns of structures with more."""
    return sorted({int(c.layers.max()) + 1 for c in configurations})


#: Names of version 0.1.
ship, check_shippable = release_model, check_releasable
