"""Configurations as dataclasses: what a key must hold is said once, and a wrong one is named."""

from dataclasses import dataclass

import pytest

from ase_wander.schema import check_value, integer, mapping, number, one_of, read, setting, text


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
