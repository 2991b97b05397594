"""Checks of a model's configuration: species, shells, electrons, sizes of its networks."""

from __future__ import annotations

import inspect

from ase.data import atomic_numbers

from ..checks import is_integer, is_number, shown
from ..nn.angular import L_MAX
from ..nn.axial import AXIAL, shell_degree
from ..nn.heads import INPUTS, HamiltonianHeads
from ..structure import NORMAL_REACH
from .backbones import BACKBONES, force_field_options
from .stacking import StackingTerm

#: What makes a model of kind `two-center`: Slater-Koster functions of the distance, one on-site block per species.
TWO_CENTER = {"onsite_input": "constant", "intra_input": "distance", "inter_input": "distance", "smearing": 0}

#: Largest sizes of networks, and largest lengths (Å), that make sense; beyond them memory ends before the first energy.
MAX_SIZE, MAX_LENGTH = 4096, 50.0


def check_model_config(config, fail) -> None:
    """Call `fail(key, what)`, which raises, for the first key of a model's configuration that is missing or wrong."""
    for key, kind in (("species", (list, tuple)), ("shells", dict), ("electrons", dict)):
        if key not in config:
            fail(key, "missing")
        if not isinstance(config[key], kind) or not config[key]:
            fail(
                key,
                f"{shown(config[key])} is not a {'list of symbols' if key == 'species' else 'mapping from species'}",
            )
    for symbol in config["species"]:
        if not isinstance(symbol, str) or atomic_numbers.get(symbol, 0) < 1:
            fail("species", f"{shown(symbol)} is no element")
        for key in ("shells", "electrons"):
            if symbol not in config[key]:
                fail(key, f"nothing for {symbol}")
        shell, electrons = config["shells"][symbol], config["electrons"][symbol]
        if (
            not isinstance(shell, (list, tuple))
            or len(shell) != 1
            or not ((is_integer(shell[0], 0) and shell[0] <= 2) or (isinstance(shell[0], str) and shell[0] in AXIAL))
        ):
            fail(
                f"shells.{symbol}",
                f"{shown(shell)} is not a list of one l from 0 to 2, or of one orbital along the normal "
                f"({', '.join(AXIAL)})",
            )
        if not is_number(electrons) or electrons < 0:
            fail(f"electrons.{symbol}", f"{shown(electrons)} is not a number of electrons")
    if len(set(config["species"])) < len(config["species"]):
        fail("species", f"names repeat: {', '.join(config['species'])}")
    for group in ("force_field", "heads"):
        options = config.get(group, {})
        if not isinstance(options, dict):
            fail(group, f"{shown(options)} is not a mapping of sizes")
        known = _options(group, options, fail)
        for key, value in options.items():
            if group == "force_field" and key == "backbone":
                continue
            if key not in known:
                fail(f"{group}.{key}", f"unknown; known: {', '.join(known)}")
            if key == "facing":
                if not isinstance(value, list) or not value or not set(value) <= set(config["species"]):
                    fail(f"{group}.{key}", f"{value!r} is not a list of species out of {', '.join(config['species'])}")
                continue
            if key in INPUTS:
                if value not in INPUTS[key]:
                    fail(f"{group}.{key}", f"{shown(value)} is not known; known: {', '.join(INPUTS[key])}")
                continue
            if isinstance(known[key], int) and not is_integer(value):
                fail(f"{group}.{key}", f"{shown(value)} is not a positive integer")
            if not is_number(value) or value < 0 or (value == 0 and key != "smearing"):
                fail(f"{group}.{key}", f"{shown(value)} is not a positive number")
            most = MAX_SIZE if isinstance(known[key], int) else MAX_LENGTH
            if value > most:
                fail(f"{group}.{key}", f"{shown(value)} is more than {most}")
            if key == "l_max" and value > L_MAX:
                fail(f"{group}.{key}", f"{value}; spherical harmonics are written out up to l = {L_MAX}")
    if "stacking" in config:
        try:
            StackingTerm(config["stacking"])
        except ValueError as error:
            fail("stacking", str(error).removeprefix("stacking: "))
    _check_degree(config, fail)
    reach = (force_field_options(config.get("force_field", {})) | config.get("force_field", {})).get(
        "cutoff", NORMAL_REACH
    )
    for symbol in config["species"]:
        if isinstance(config["shells"][symbol][0], str) and reach < NORMAL_REACH:
            fail(
                "force_field.cutoff",
                f"{reach:g} Å; the local normals that {config['shells'][symbol][0]} of {symbol} "
                f"needs take {NORMAL_REACH:g} Å",
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
