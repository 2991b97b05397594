"""Old data among the new ones: a share of what the model knows already, so that fine-tuning does not make it forget."""

from __future__ import annotations

import hashlib

from ..catalogue import reference_data
from ..data.dataset import is_validation, load_dataset, split
from ..model.files import read_config


def replayed(config, new) -> list:
    """Configurations from the data of the model `config.start_from` that join the training set of `new`.

    They are `config.replay` of all configurations that are trained on, drawn by a hash of their names from those that
    the model was trained on, so that the draw never moves; none is held out. A name that is taken gets that of the
    model in front.

    Raises
    ------
    ValueError
        For a model without data, and for data with species that the configuration lacks.
    """
    folder = reference_data(config.start_from)
    known = read_config(folder.parent)
    whole, fraction = known.get("trained_whole", ()), known.get("validation_fraction", 0.15)
    old = [c for c in load_dataset(folder) if c.name in whole or not is_validation(c.name, fraction)]
    foreign = sorted({s for c in old for s in c.atoms.symbols} - set(config.species))
    if foreign:
        raise ValueError(f"replay: the data in {folder} hold {', '.join(foreign)}, which species lacks")
    n_new = len(split(new, config.validation_fraction)[0])
    n_old = min(round(n_new * config.replay / (1 - config.replay)), len(old))
    chosen = sorted(old, key=lambda c: hashlib.sha256(f"replay:{c.name}".encode()).digest())[:n_old]
    taken = {c.name for c in new}
    for c in chosen:
        c.hold_out = False
        if c.name in taken:
            c.name = f"{known.get('name', 'start')}:{c.name}"
    return chosen
