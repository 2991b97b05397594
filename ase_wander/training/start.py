"""A training that starts from a trained model: which of its weights are taken, and what is fitted again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch

from ..loading import load_model
from ..model.wander import WanderModel
from .transfer import OWN, carried, relatives, renumbered

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
    relatives : dict of str to str
        Elements that the other model does not know, and those whose weights they start from.
    """

    name: str
    digest: str
    taken: list[str]
    new: list[str]
    relatives: dict[str, str] = field(default_factory=dict)

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

    Species that the other model does not know take the weights of their relatives, see `transfer`.

    Raises
    ------
    ValueError
        For a model that cannot be loaded, is of another kind, has other shells, or shares no weight.
    """
    other = load_model(source, dtype="float32")
    if not isinstance(other, WanderModel):
        raise ValueError(
            f"start_from: {other.name!r} is of kind {other.kind}; only kinds wander and two-center give weights"
        )
    places = _places(model, other)
    own, given = model.state_dict(), other.state_dict()
    other_kind = _of_another_kind(model, other, places)
    sizes = len(other.species), other.force_field.n_radial
    found = {key: carried(key, given, places, *sizes) for key in own}
    taken = [
        key
        for key, value in own.items()
        if found[key] is not None
        and found[key].shape == value.shape
        and not (key.startswith(other_kind) and not key.endswith(SCALES))
    ]
    if not taken:
        raise ValueError(f"start_from: {other.name!r} shares no weight with this configuration")
    for key in taken:
        own[key].copy_(found[key])
    relatives = {s: other.species[k] for s, k in zip(model.species, places) if s not in other.species}
    for z, symbol in enumerate(model.species):
        if symbol in relatives:  # how near its atoms come is for its own data to say
            model.force_field.contact[z] = model.force_field.contact[:, z] = 0.0
    if other.config.get("trained_whole"):  # configurations that the weights know, whatever their names say
        model.config["trained_whole"] = other.config["trained_whole"]
    new = [key for key in own if key not in taken and key not in OWN]
    return Start(other.name, other.digest, taken, new, relatives)


def _places(model, other):
    """Place in the other model of what each species starts from; ValueError for foreign shells and foreign networks."""
    try:
        places = relatives(model.species, other.species)
    except ValueError as error:
        raise ValueError(f"start_from: {other.name!r}: {error}") from None
    added = [s for s in model.species if s not in other.species]
    if added and other.config.get("force_field", {}).get("backbone"):
        raise ValueError(f"start_from: {other.name!r} has a backbone, whose elements are fixed; it knows no {added[0]}")
    for symbol, k in zip(model.species, places):
        shells, theirs = model.shells[symbol], other.shells[other.species[k]]
        if shells != theirs:
            raise ValueError(
                f"start_from: {other.name!r} has the shells {list(theirs)} of {other.species[k]}, "
                f"the configuration {list(shells)} of {symbol}"
            )
    return places


def _of_another_kind(model, other, places):
    """Prefixes of the keys of those heads that are networks of another kind than in the other model."""
    theirs = dict(other.heads.named_modules())
    return tuple(
        f"heads.{group}.{name}."
        for group in ("hopping", "onsite")
        for name, head in getattr(model.heads, group).named_children()
        if type(theirs.get(f"{group}.{renumbered(name, places)}", head)) is not type(head)
    )
