"""load_model: a trained model of any kind, by name or folder."""

from __future__ import annotations

import logging
from os import PathLike

import torch

from .catalogue import CONFIG, model_folder
from .model.config import check_model_config
from .model.files import (
    SEAL,
    TRUST,
    WEIGHTS,
    check_seal,
    check_shapes,
    load_state,
    load_uncertainty,
    read_config,
    read_weights,
)
from .model.wander import WanderModel
from .published.model import PublishedModel

log = logging.getLogger(__name__)


def load_model(model: str | PathLike, device: str = "cpu", dtype: str = "float64") -> WanderModel | PublishedModel:
    """A trained model by name (see `list_models`) or folder.

    Weights are read as safetensors, never unpickled.

    Raises
    ------
    ValueError
        Unknown name (the known ones are listed), damaged or foreign files (the file is named), unknown dtype.
    """
    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if str(dtype).replace("torch.", "") not in dtypes:
        raise ValueError(f"dtype is {dtype!r}; known: float32, float64")
    folder = model_folder(model)
    config = read_config(folder)
    kind = config.get("kind")
    if kind == "published":
        return PublishedModel.load(folder)
    if kind not in ("wander", "two-center"):
        raise ValueError(f"{folder / CONFIG}: model kind {kind!r} is not known; known: wander, two-center, published")

    def fail(key, what):
        raise ValueError(f"{folder / CONFIG}: {key}: {what}")

    check_model_config(config, fail)
    data, digest = read_weights(folder, config)
    check_seal(folder, config, digest)
    options = {k: v for k, v in config.items() if k not in ("kind", "sha256", SEAL)}
    try:
        if config.get("force_field", {}).get("backbone") is None:
            with torch.device("meta"):  # sizes are compared before memory is taken for them
                check_shapes(data, WanderModel(options), folder / WEIGHTS)
        loaded = WanderModel(options)
    except (RuntimeError, KeyError, TypeError, IndexError) as error:
        fail("force_field, heads", f"no model of these sizes ({error})")
    load_state(loaded, data, folder / WEIGHTS)
    loaded.digest, loaded.trust = digest, load_uncertainty(folder / TRUST, digest)
    log.info("model %s (%s), weights %s, from %s", loaded.name, kind, digest[:12], folder)
    try:
        return loaded.to(device=torch.device(device), dtype=dtypes[str(dtype).replace("torch.", "")]).eval()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used ({str(error).splitlines()[0]})") from None
