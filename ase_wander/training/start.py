"""A training that starts from a trained model: which of its weights are taken, and what is fitted anew."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..loading import load_model
from ..model.wander import WanderModel


@dataclass
class Start:
    """What a model has taken from another one.

    Attributes
    ----------
    name : str
        Of the model that the weights come from.
    digest : str
        SHA-256 of its weights.
    taken : list of str
        Keys of the state dict that now hold its values.
    new : list of str
        Keys that it lacks, or has in another shape.
    """

    name: str
    digest: str
    taken: list[str]
    new: list[str]

    def whole(self, part: str) -> bool:
        """Whether every weight of a part, "force_field" or "heads", was taken: nothing of it is fitted anew."""
        return not any(key.startswith(f"{part}.") for key in self.new)

    def unscaled(self) -> list[str]:
        """Classes of hoppings whose typical size of an element was not taken: the other model lacks them."""
        return [key.split(".")[2] for key in self.new if key.endswith(".scale_polynomial")]


@torch.no_grad()
def start_from(model: WanderModel, source) -> Start:
    """Copy into `model` what `source`, a name or a folder, has of the same key and shape.

    Raises
    ------
    ValueError
        For a model that cannot be loaded, is of another kind, has other species or shells, or shares no weight.
    """
    other = load_model(source, dtype="float32")
    if not isinstance(other, WanderModel):
        raise ValueError(
            f"start_from: {other.name!r} is of kind {other.kind}; only kinds wander and two-center give weights"
        )
    if list(other.species) != list(model.species):
        raise ValueError(
            f"start_from: {other.name!r} has the species {', '.join(other.species)}, "
            f"the configuration {', '.join(model.species)}"
        )
    if other.shells != model.shells:
        raise ValueError(f"start_from: {other.name!r} has the shells {other.shells}, the configuration {model.shells}")
    own, given = model.state_dict(), other.state_dict()
    taken = [key for key, value in own.items() if key in given and given[key].shape == value.shape]
    if not taken:
        raise ValueError(f"start_from: {other.name!r} shares no weight with this configuration")
    for key in taken:
        own[key].copy_(given[key])
    if other.config.get("trained_whole"):  # configurations that the weights know, whatever their names say
        model.config["trained_whole"] = other.config["trained_whole"]
    return Start(other.name, other.digest, taken, [key for key in own if key not in taken])
