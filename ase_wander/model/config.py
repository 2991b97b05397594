"""Checks of a model's configuration: species, shells, electrons, sizes of its networks."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields

from ase.data import atomic_numbers

from ..checks import is_integer, shown
from ..nn.angular import L_MAX
from ..nn.axial import AXIAL, shell_degree
from ..nn.heads import INPUTS, HamiltonianHeads
from ..schema import (
    at_most,
    both,
    check_value,
    entries,
    integer,
    list_of,
    mapping,
    number,
    one_of,
    optional,
    read,
    refuse_unknown,
    setting,
)
from ..structure import NORMAL_REACH
from .backbones import BACKBONES, force_field_options
from .stacking import StackingTerm

#: What makes a model of kind `two-center`: Slater-Koster functions of the distance, one on-site block per species.
TWO_CENTER = {"onsite_input": "constant", "intra_input": "distance", "inter_input": "distance", "smearing": 0}

#: Largest sizes of networks, and largest lengths (Å), that make sense; beyond them memory ends before the first energy.
MAX_SIZE, MAX_LENGTH = 4096, 50.0


def are_species(value):
    """Check of a list of chemical symbols; what is in it is checked one by one."""
    return None if isinstance(value, (list, tuple)) and value else "is not a list of symbols"


def are_shells(value):
    """Check of the shells of a species: one l, or one orbital along the normal."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        (shell,) = value
        if shell in AXIAL if isinstance(shell, str) else is_integer(shell, 0) and shell <= 2:
            return None
    return f"is not a list of one l from 0 to 2, or of one orbital along the normal ({', '.join(AXIAL)})"


@dataclass
class ModelConfig:
    """Part of a model's configuration that its networks are made from.

    Attributes
    ----------
    species : list of str
        Chemical symbols.
    shells : dict of str to list
        Of every species: one l, or the name of one orbital along the local normal.
    electrons : dict of str to float
        Of every species, electrons in the manifold.
    force_field, heads : dict
        Sizes of the networks, see `force_field_options` and `HamiltonianHeads`.
    """

    species: list = setting(are_species)
    shells: dict = setting(entries(are_shells, "a mapping from species"))
    electrons: dict = setting(entries(number(what="is not a number of electrons"), "a mapping from species"))
    force_field: dict = setting(mapping("a mapping of sizes"), factory=dict)
    heads: dict = setting(mapping("a mapping of sizes"), factory=dict)


def check_model_config(config, fail) -> None:
    """Call `fail(key, what)`, which raises, for the first key of a model's configuration that is missing or wrong."""
    own = [f.name for f in fields(ModelConfig)]
    found = read(ModelConfig, {key: config[key] for key in own if key in config}, fail)
    for symbol in found.species:
        if not isinstance(symbol, str) or atomic_numbers.get(symbol, 0) < 1:
            fail("species", f"{shown(symbol)} is no element")
        for key in ("shells", "electrons"):
            if symbol not in config[key]:
                fail(key, f"nothing for {symbol}")
    if len(set(found.species)) < len(found.species):
        fail("species", f"names repeat: {', '.join(found.species)}")
    for group, options in (("force_field", found.force_field), ("heads", found.heads)):
        known = _options(group, options, fail)
        refuse_unknown(options, known, fail, f"{group}.")
        for key, value in options.items():
            check_value(_check_of(key, known[key], found.species), value, f"{group}.{key}", fail)
            if key == "l_max" and value > L_MAX:
                fail(f"{group}.{key}", f"{value}; spherical harmonics are written out up to l = {L_MAX}")
    if "stacking" in config:
        try:
            StackingTerm(config["stacking"])
        except ValueError as error:
            fail("stacking", str(error).removeprefix("stacking: "))
    _check_degree(config, fail)
    _check_reach(found, fail)


def _check_of(key, default, species):
    """Check of an option of a network; the type of its default is its type."""
    if key == "backbone":
        return optional(one_of(BACKBONES))
    if key == "facing":
        return list_of(one_of(species), f"a list of species out of {', '.join(species)}")
    if key in INPUTS:
        return one_of(INPUTS[key])
    if isinstance(default, int):
        return both(integer(), at_most(MAX_SIZE))
    positive = number(what="is not a positive number", **({} if key == "smearing" else {"above": 0}))
    return both(positive, at_most(MAX_LENGTH))


def _check_reach(found, fail) -> None:
    """The force field's cutoff must hold what local normals need, where an orbital stands along one."""
    options = force_field_options(found.force_field) | found.force_field
    reach = options.get("cutoff", NORMAL_REACH)
    for symbol in found.species:
        (shell,) = found.shells[symbol]
        if isinstance(shell, str) and reach < NORMAL_REACH:
            fail(
                "force_field.cutoff",
                f"{reach:g} Å; the local normals that {shell} of {symbol} needs take {NORMAL_REACH:g} Å",
            )


def _check_degree(config, fail) -> None:
    """The tensors of the heads must reach the degree of the blocks that are made of them: two orbitals of l span 0
    ... 2 l.
    """
    heads = _options("heads", {}, fail) | config.get("heads", {})
    shells = {s: config["shells"][s][0] for s in config["species"]}
    symbol = max(shells, key=lambda s: shell_degree(shells[s]))
    l = shell_degree(shells[symbol])
    complete = {s: shell for s, shell in shells.items() if not isinstance(shell, str)}
    needs = [(l, symbol, f"needs harmonics of degree {l}")]
    if heads["intra_input"] == "tensors" or heads["inter_input"] in ("tensors", "paths", "additive"):
        needs.append((2 * l, symbol, f"has hoppings of tensors up to degree {2 * l}"))
    if heads["onsite_input"] == "tensors" and complete:
        highest = max(complete, key=complete.get)
        needs.append(
            (2 * complete[highest], highest, f"has on-site blocks of tensors up to degree {2 * complete[highest]}")
        )
    for degree, symbol, what in needs:
        if heads["l_max"] < degree:
            label = shells[symbol] if isinstance(shells[symbol], str) else f"l = {shells[symbol]}"
            fail("heads.l_max", f"{heads['l_max']}; {label} of {symbol} {what}")


def _options(group, options, fail) -> dict:
    """Options of a network with their defaults; the type of a default is the type of the option."""
    if group == "heads":
        return {
            p.name: p.default
            for p in inspect.signature(HamiltonianHeads).parameters.values()
            if p.default is not p.empty
        }
    if options.get("backbone") not in (None, *BACKBONES):
        fail("force_field.backbone", f"{shown(options['backbone'])} is not known; known: {', '.join(BACKBONES)}")
    return force_field_options(options)
