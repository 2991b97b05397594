"""What a run needs before it starts: a material that can be built, data with labels and enough atoms."""

from __future__ import annotations

from ..catalogue import model_folder
from ..model.files import read_config
from ..model.graphs import species_index
from ..moire import twisted_bilayer
from ..moire.layer_file import read_layer
from .terms import select, why_none


def check_material(config) -> None:
    """ValueError unless the material can be built of the configuration's species, as a finished model is relaxed."""
    try:
        if config.material_file:
            cell = twisted_bilayer(
                read_layer(config.material_file), angle=0.0, gap=20.0
            )  # its species count here, not its gap
        else:
            cell = twisted_bilayer(config.material, angle=0.0)
    except ValueError as error:
        raise ValueError(f"material: {error}") from None
    foreign = sorted(set(cell.symbols) - set(config.species))
    if foreign:
        raise ValueError(
            f"material: {config.material} holds {', '.join(foreign)}, species are {', '.join(config.species)}"
        )


def check_data(config, configurations, training) -> None:
    """ValueError for data without training set, labels, Hamiltonians or enough atoms of a species.

    Of a species that the model knows which training starts from, none are needed.
    """
    known = read_config(model_folder(config.start_from)).get("species", ()) if config.start_from else ()
    if not training:
        raise ValueError(
            f"all {len(configurations)} configurations of the data fall into the validation split; "
            f"lower validation_fraction ({config.validation_fraction})"
        )
    for c in configurations:
        try:
            species_index(c.atoms, config.species)
        except ValueError as error:
            raise ValueError(f"{c.source or c.name}: {error}") from None
    for stage in config.stages:
        used = select(training, stage.kind, stage.weights)
        if not used:
            raise ValueError(
                f"stage {stage.name}: no training configuration {why_none(training[0], stage.kind, stage.weights)}"
            )
        for symbol in config.species:
            n_atoms = sum(list(c.atoms.symbols).count(symbol) for c in used)
            if n_atoms < 2 and symbol not in known:  # a spread is fitted to them
                raise ValueError(
                    f"species {symbol}: stage {stage.name} finds {n_atoms} atoms of it in the training data, "
                    "at least two are needed"
                )
