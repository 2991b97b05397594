"""Weights of a trained model in a model of other species: which element starts from which, and what goes where.

All weights belong to a species, a pair of species or a kind of neighbour. A new element takes those of its relative:
the element that the trained model knows and that stands nearest in the periodic table, first by group, which decides
the valence shells, then by period.
"""

from __future__ import annotations

import re

import torch
from ase.data import atomic_numbers

#: Atomic numbers of the noble gases, which end the periods.
NOBLE = (2, 10, 18, 36, 54, 86, 118)

#: Weights (species, out, kinds x species x radial functions) of what an atom sees of its neighbours.
OF_NEIGHBOURS = re.compile(r"(left|right|other)\.mix\.\d+\.weight$|(^|\.)message\.weight$")

#: Weights of pairs of species, (species, species, ...).
OF_PAIRS = ("force_field.contact", "force_field.dispersion")

#: What the elements themselves say: no weight.
OWN = ("force_field.repulsion_range",)


def group_and_period(symbol: str) -> tuple[int, int]:
    """Group, 1 to 18, and period of an element in the periodic table; lanthanides and actinides stand in group 3."""
    number = atomic_numbers[symbol]
    period = next(k for k, last in enumerate(NOBLE) if number <= last) + 1
    before, last = (0, *NOBLE)[period - 1], NOBLE[period - 1]
    place, length = number - before, last - before
    if period == 1:
        return (1 if number == 1 else 18), 1
    if place <= 2:
        return place, period
    if length == 32:
        return max(place - 14, 3), period
    return place + 18 - length, period


def relative(symbol: str, known) -> str:
    """Of the `known` elements the nearest to `symbol` in the periodic table: by group, then by period, then the first.

    >>> relative("Se", ["Mo", "S"]), relative("W", ["Mo", "S"]), relative("N", ["C"])
    ('S', 'Mo', 'C')
    """
    group, period = group_and_period(symbol)

    def distance(other):
        its_group, its_period = group_and_period(other)
        return abs(its_group - group), abs(its_period - period)

    return symbol if symbol in known else min(known, key=distance)


def relatives(species, known) -> list[int]:
    """Place in `known` of what every one of `species` starts from.

    Raises
    ------
    ValueError
        When the order of the species is not that of their relatives: networks of a pair know which atom comes first.
    """
    places = [list(known).index(relative(symbol, known)) for symbol in species]
    if places != sorted(places):
        best = [s for _, s in sorted(zip(places, species), key=lambda pair: pair[0])]
        raise ValueError(
            f"species in the order {', '.join(best)} are needed, that of their relatives in {', '.join(known)}"
        )
    return places


def carried(key: str, given: dict, places, n_known: int, n_radial: int):
    """What a model has for a key of the state dict of a model of other species, or None.

    Parameters
    ----------
    given : state dict of the trained model of `n_known` species and `n_radial` radial functions
    places : of the relatives, see `relatives`
    """
    numbered = re.match(r"(heads\.(?:hopping|steps\.blocks|onsite)\.)(.*)", key)
    if numbered:
        name = numbered[1] + renumbered(numbered[2], places)
        if name not in given:  # of unlike species whose relatives are alike
            name = name.replace(".far.", ".near.")
        return given.get(name)
    value = given.get(key)
    if value is None or key in OWN or value.dim() == 0:
        return None if key in OWN else value
    index = torch.tensor(places, device=value.device)
    if key in OF_PAIRS:
        return value[index][:, index]
    if value.shape[0] != n_known:
        return None
    value = value[index]
    if OF_NEIGHBOURS.search(key):
        channels = value.unflatten(2, (-1, n_known, n_radial))
        value = channels[:, :, :, index].flatten(2)
    return value


def renumbered(name: str, places) -> str:
    """Name of a head with the species of its leading digits replaced: 0 of "02_intra" by places[0], 2 by places[2]."""
    return re.sub(r"^\d+", lambda found: "".join(str(places[int(z)]) for z in found[0]), name)
