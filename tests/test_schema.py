"""Configurations as dataclasses: what a key must hold is said once, and a wrong one is named."""

from dataclasses import dataclass

import pytest

from ase_wander.schema import (
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
    part,
    read,
    setting,
    switch,
    text,
)


@dataclass
class Settings:
    name: str = setting(text())
    steps: int = setting(integer(1), 10)
    seed: int = setting(integer(0, 9), 0)
    share: float = setting(number(below=1), 0.5)
    rate: float = setting(number(above=0), 1.0)
    shape: str = setting(one_of(("round", "flat")), "flat")
    more: dict = setting(mapping("a mapping"), factory=dict)
    derived: str = ""


def fail(key, what):
    raise ValueError(f"file.yaml: {key}: {what}")


def test_what_the_file_lacks_has_its_default():
    assert read(Settings, {"name": "a", "share": 0}, fail) == Settings("a", share=0)
    assert read(Settings, {"name": "a"}, fail).more is not read(Settings, {"name": "a"}, fail).more


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": None}, "part.name: None is not text"),
        ({"step": 3}, "part.step: unknown; known: name, steps, seed, share, rate, shape, more$"),
        ({"derived": "x"}, "part.derived: unknown"),
        ({"steps": 0}, "part.steps: 0 is not a positive integer"),
        ({"steps": True}, "part.steps: True is not a positive integer"),
        ({"seed": 10}, "part.seed: 10 is not an integer from 0 to 9"),
        ({"share": 1}, "part.share: 1 is out of range"),
        ({"share": "1e-3"}, "part.share: '1e-3' is not a number .write 1.0e-3, not 1e-3"),
        ({"share": float("nan")}, "part.share: nan is not a number"),
        ({"rate": 0}, "part.rate: 0 is out of range"),
        ({"shape": "square"}, "part.shape: 'square' is not known; known: round, flat"),
        ({"more": []}, r"part.more: \[\] is not a mapping"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(change, message):
    with pytest.raises(ValueError, match=f"^file.yaml: {message}"):
        read(Settings, {"name": "a", **change}, fail, "part.")


def test_a_key_without_default_is_needed():
    with pytest.raises(ValueError, match=r"file.yaml: name: missing"):
        read(Settings, {}, fail)


def test_a_long_value_is_cut():
    with pytest.raises(ValueError, match="is not known"):
        check_value(one_of("a"), "x" * 10_000, "shape", fail)
    with pytest.raises(ValueError) as error:
        check_value(one_of("a"), "x" * 10_000, "shape", fail)
    assert len(str(error.value)) < 200


# ---------------------------------------------------------------- values made of values
@dataclass
class Inner:
    low: float = setting(number())
    on: bool = setting(switch(), True)


@dataclass
class Outer:
    sizes: dict = setting(entries(both(integer(), at_most(9)), "a mapping of sizes", known=("a", "b")), factory=dict)
    pair: list = setting(optional(list_of(number(), "a pair", length=2)), None)
    inner: dict = setting(part(Inner, "a mapping of low and on"), factory=dict)
    tables: dict = setting(entries(part(Inner, "a mapping"), "a mapping of tables"), factory=dict)


@pytest.mark.parametrize(
    "raw, message",
    [
        ({"sizes": [1]}, r"sizes: \[1\] is not a mapping of sizes"),
        ({"sizes": {"c": 1}}, "sizes.c: unknown; known: a, b$"),
        ({"sizes": {"a": 1.5}}, "sizes.a: 1.5 is not a positive integer"),
        ({"sizes": {"a": 10}}, "sizes.a: 10 is more than 9"),
        ({"pair": [1]}, r"pair: \[1\] is not a pair"),
        ({"pair": [1, "2"]}, "pair: .* is not a pair"),
        ({"inner": 3}, "inner: 3 is not a mapping of low and on"),
        ({"inner": {}}, "inner.low: missing"),
        ({"inner": {"low": 1, "on": 1}}, "inner.on: 1 is not true or false"),
        ({"tables": {"x": {"low": 1}, "y": {"low": 1, "up": 2}}}, "tables.y.up: unknown; known: low, on"),
    ],
)
def test_a_wrong_part_is_named_by_its_place(raw, message):
    with pytest.raises(ValueError, match=f"^file.yaml: {message}"):
        read(Outer, raw, fail)


def test_parts_that_are_right_pass():
    raw = {"sizes": {"a": 9}, "pair": [1, 2.5], "inner": {"low": 0}, "tables": {"x": {"low": 1, "on": False}}}
    assert read(Outer, raw, fail) == Outer(**raw)
    assert read(Outer, {"pair": None}, fail).pair is None


@pytest.mark.parametrize("value", [[1], {"a": 1}, None])
def test_one_of_takes_what_cannot_be_looked_up(value):
    with pytest.raises(ValueError, match="x: .* is not known; known: a"):
        check_value(one_of({"a": 1}), value, "x", fail)
