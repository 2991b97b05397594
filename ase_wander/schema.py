"""Configurations as dataclasses: a field states type, check and default of its key in the file.

>>> @dataclass
... class Settings:
...     steps: int = setting(integer(), 5000)
>>> read(Settings, {"steps": 0}, fail)   # fail("steps", "0 is not a positive integer"), which raises
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, NoReturn, TypeVar

from .checks import is_integer, is_number, shown

T = TypeVar("T")

#: Called with a key and what is wrong with it; it raises an error that names the file as well.
Fail = Callable[[str, Any], NoReturn]

#: What a value must be: None where it is, else what it is not, to be read after the value.
Check = Callable[[Any], str | None]

#: How numbers with an exponent have to be written for YAML to read them as numbers.
NUMBER = "is not a number (write 1.0e-3, not 1e-3)"


def setting(check: Check | None = None, default=MISSING, *, factory=MISSING):
    """Field of a dataclass that a configuration file sets; without a default the file must have it."""
    return field(default=default, default_factory=factory, metadata={"check": check})


def text(what: str = "is not text") -> Check:
    """A string that is not empty."""
    return lambda value: None if isinstance(value, str) and value else what


def one_of(known) -> Check:
    """One of several values."""
    return lambda value: None if value in known else f"is not known; known: {', '.join(map(str, known))}"


def integer(least: int = 1, most: int | None = None) -> Check:
    """An integer from `least` to `most`."""
    if most is not None:
        what = f"is not an integer from {least} to {most}"
    else:
        what = "is not a positive integer" if least == 1 else f"is not an integer of {least} or more"
    return lambda value: None if is_integer(value, least) and (most is None or value <= most) else what


def number(least: float = 0.0, below: float | None = None, *, above: float | None = None, what: str = "") -> Check:
    """A finite number from `least`, or from above `above`, to below `below`; `what` says so in words."""

    def check(value):
        if not is_number(value):
            return what or NUMBER
        fits = value >= least if above is None else value > above
        return None if fits and (below is None or value < below) else what or "is out of range"

    return check


def mapping(what: str) -> Check:
    """A mapping, whose keys are looked at elsewhere."""
    return lambda value: None if isinstance(value, dict) else f"is not {what}"


def refuse_unknown(raw: Mapping, known, fail: Fail, prefix: str = "") -> None:
    """Fail for the first key that is not among the known ones."""
    for name in raw:
        if name not in known:
            fail(f"{prefix}{name}", f"unknown; known: {', '.join(known)}")


def check_value(check: Check | None, value, name: str, fail: Fail) -> None:
    """Fail where a value is not what it must be."""
    wrong = check(value) if check else None
    if wrong:
        fail(name, f"{shown(value)} {wrong}")


def check_keys(cls: type, raw: Mapping, fail: Fail, prefix: str = "") -> None:
    """Fail for the first key of `raw` that the dataclass does not have, that is missing, or whose value is wrong."""
    of_file = [f for f in fields(cls) if "check" in f.metadata]
    refuse_unknown(raw, [f.name for f in of_file], fail, prefix)
    for f in of_file:
        if f.name not in raw and f.default is MISSING and f.default_factory is MISSING:
            fail(f"{prefix}{f.name}", "missing")
        if f.name in raw:
            check_value(f.metadata["check"], raw[f.name], f"{prefix}{f.name}", fail)


def read(cls: type[T], raw: Mapping, fail: Fail, prefix: str = "") -> T:
    """An instance of the dataclass from a mapping, with every key checked; what the mapping lacks has its default."""
    check_keys(cls, raw, fail, prefix)
    return cls(**raw)
