"""A training that starts from a trained model: which of its weights are taken, and what is fitted again."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from ..loading import load_model
from ..model.wander import WanderModel

#: How elements of a class fall with distance is a matter of the data, whatever network predicts them.
SCALES = (".scale_polynomial", ".scale_range")


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
        Keys that it lacks, or has in another shape or in a network of another kind: they keep what they began with.
    """

    name: str
    digest: str
    taken: list[str]
    new: list[str]

    def whole(self, part: str) -> bool:
        """Whether every weight of a part, "force_field" or "heads", was taken: nothing of it is fitted again."""
        return not any(key.startswith(f"{part}.") for key in self.new)

    def unscaled(self) -> list[str]:
        """Classes of hoppings whose typical size of an element was not taken: the other model lacks them."""
        return [key.split(".")[2] for key in self.new if re.fullmatch(r"heads\.hopping\..*\.scale_polynomial", key)]

    def unfitted(self) -> set[str]:
        """Parts of the heads (dressings, on-site blocks by number) of which some weight was not taken."""
        names = [key.split(".")[1:3] for key in self.new if key.startswith("heads.")]
        return {".".join(name) if name[0] == "onsite" else name[0] for name in names} - {"hopping"}


@torch.no_grad()
def start_from(model: WanderModel, source) -> Start:
    """Copy into `model` what `source`, a name or a folder, has of the same key and shape in a network of the same kind.

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
    other_kind = _of_another_kind(model, other)
    taken = [
        key
        for key, value in own.items()
        if key in given
        and given[key].shape == value.shape
        and not (key.startswith(other_kind) and not key.endswith(SCALES))
    ]
    if not taken:
        raise ValueError(f"start_from: {other.name!r} shares no weight with this configuration")
    for key in taken:
        own[key].copy_(given[key])
    if other.config.get("trained_whole"):  # configurations that the weights know, whatever their names say
        model.config["trained_whole"] = other.config["trained_whole"]
    return Start(other.name, other.digest, taken, [key for key in own if key not in taken])


def _of_another_kind(model, other):
    """Prefixes of the keys of those heads that are networks of another kind than in the other model."""
    theirs = dict(other.heads.named_modules())
    return tuple(
        f"heads.{name}."
        for group in ("hopping", "onsite")
        for name, head in getattr(model.heads, group).named_children()
        for name in [f"{group}.{name}"]
        if name in theirs and type(theirs[name]) is not type(head)
    )
