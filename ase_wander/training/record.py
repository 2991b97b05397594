"""`run.json` of a run directory: what the run is made of, and whether another run may go on with it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict

import torch

from .. import records
from ..data.dataset import dataset_hash, split, withhold
from ..records import write_record
from . import distributed
from .settings import LoopSettings
from .terms import count_labels, with_defaults


def record_run(folder, config, configurations, resume, start=None):
    """Write `run.json`; with `resume`, refuse a run directory of other data or another configuration.

    A run that starts from other weights (`start`, see `start.Start`) is refused too.
    """
    import ase
    import numpy

    # Settings of stages and networks are dataclasses.
    record = {
        "config": json.loads(json.dumps(config.to_dict(), default=asdict)),
        "data_sha256": dataset_hash(configurations),
        "n_configurations": len(configurations),
        "start": start and _start(start),
        "labels": {
            stage.name: count_labels(
                withhold(split(configurations, config.validation_fraction)[0]), stage.kind, stage.weights
            )
            for stage in config.stages
        },
        "processes": distributed.size(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "ase": ase.__version__,
            "numpy": numpy.__version__,
        },
    }
    file = folder / "run.json"
    if file.exists() and resume:
        before = read_record(file)
        for what, old, new in (
            ("config", compared(before["config"]), compared(record["config"])),
            ("data_sha256", before["data_sha256"], record["data_sha256"]),
            ("model to start from", before.get("start"), record["start"]),
        ):
            if old != new:
                differs = (
                    f" ({', '.join(sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k)))})"
                    if what == "config"
                    else ""
                )
                raise ValueError(
                    f"{file}: the interrupted run had another {what}{differs}; resume with the same, or start again"
                )
    write_record(file, record)


def _start(start):
    """What a record says of the model that training started from."""
    relatives = {"relatives": start.relatives} if start.relatives else {}
    return {"name": start.name, "sha256": start.digest, "new": start.new, **relatives}


def read_record(file) -> dict:
    """`run.json` of a run; ValueError naming it when it is missing or damaged."""
    try:
        record = records.read_record(file)
        if isinstance(record["config"], dict) and record["data_sha256"]:
            return record
        reason = "config is no mapping"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = repr(error)
    raise ValueError(f"{file}: not a readable record of a run ({reason})")


def compared(config) -> dict:
    """What of a configuration decides the weights, up to rounding."""
    config = {
        k: v for k, v in config.items() if k not in ("material", "material_file", "licence", "notes", "bars", "device")
    }
    for key, value in (("dtype", "float32"), ("kind", "wander"), ("force_field", {}), ("heads", {})):
        config.setdefault(key, value)  # a record of an earlier version says no defaults
    if "stages" in config:  # a record of an earlier version lacks the settings that came later
        config["stages"] = [
            {
                **stage,
                "loop": asdict(LoopSettings()) | stage["loop"],
                "weights": with_defaults(stage["kind"], stage["weights"]),
            }
            for stage in config["stages"]
        ]
    return config
