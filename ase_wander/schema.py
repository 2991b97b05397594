"""Configurations as dataclasses: a field states type, check and default of its key in the file.

>>> @dataclass
... class Settings:
...     steps: int = setting(integer(), 5000)
>>> read(Settings, {"steps": 0}, fail)   # fail("steps", "0 is not a positive integer"), which raises
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, NamedTuple, NoReturn, TypeVar

from .checks import is_integer, is_number, shown

T = TypeVar("T")

#: Called with a key and what is wrong with it; it raises an error that names the file as well.
Fail = Callable[[str, Any], NoReturn]


class Wrong(NamedTuple):
    """A wrong entry of a mapping: its key, and the whole of what is said of it."""

    key: str
    text: str


#: What a value must be: None where it is; else what it is not, to be read after the value, or its wrong entry.
Check = Callable[[Any], str | Wrong | None]

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
    # Looked up one by one: a wrong value may be a list, which is no key of a mapping.
    return lambda value: None if value in tuple(known) else f"is not known; known: {', '.join(map(str, known))}"


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


def switch() -> Check:
    """True or false."""
    return lambda value: None if isinstance(value, bool) else "is not true or false"


def at_most(limit: float) -> Check:
    """A number that is not larger than a limit."""
    return lambda value: None if value <= limit else f"is more than {limit:g}"


def optional(check: Check) -> Check:
    """Nothing (null), or what another check wants."""
    return lambda value: None if value is None else check(value)


def both(first: Check, second: Check) -> Check:
    """What two checks want; the second is asked only where the first is content."""
    return lambda value: first(value) or second(value)


def list_of(check: Check, what: str, *, length: int | None = None) -> Check:
    """A list, not empty, of values that all pass a check; `what` says so in words."""

    def check_list(value):
        if not isinstance(value, (list, tuple)) or not value or length not in (None, len(value)):
            return f"is not {what}"
        return f"is not {what}" if any(map(check, value)) else None

    return check_list


def mapping(what: str) -> Check:
    """A mapping; its keys are checked elsewhere."""
    return lambda value: None if isinstance(value, dict) else f"is not {what}"


def entries(check: Check, what: str, known=None) -> Check:
    """A mapping whose values all pass a check; with `known` its keys must be among these."""

    def check_entries(value):
        if not isinstance(value, dict):
            return f"is not {what}"
        for key, entry in value.items():
            if known is not None and key not in known:
                return _unknown(key, known)
            wrong = check(entry)
            if wrong:
                return _inside(key, wrong, entry)
        return None

    return check_entries


def part(cls: type, what: str) -> Check:
    """A mapping with the keys of a dataclass, see `setting`."""
    return lambda value: next(_faults(cls, value), None) if isinstance(value, dict) else f"is not {what}"


def _inside(key, wrong, entry) -> Wrong:
    """What is wrong in the entry `key` of a mapping, as seen from outside of it."""
    if isinstance(wrong, Wrong):
        return Wrong(f"{key}.{wrong.key}", wrong.text)
    return Wrong(str(key), f"{shown(entry)} {wrong}")


def _unknown(name, known) -> Wrong:
    return Wrong(str(name) if len(str(name)) < 60 else shown(name), f"unknown; known: {', '.join(known)}")


def refuse_unknown(raw: Mapping, known, fail: Fail, prefix: str = "") -> None:
    """Fail for the first key that is not among the known ones."""
    for name in raw:
        if name not in known:
            wrong = _unknown(name, known)
            fail(f"{prefix}{wrong.key}", wrong.text)


def check_value(check: Check | None, value, name: str, fail: Fail) -> None:
    """Fail where a value is not what it must be."""
    wrong = check(value) if check else None
    if isinstance(wrong, Wrong):
        fail(f"{name}.{wrong.key}", wrong.text)
    if wrong:
        fail(name, f"{shown(value)} {wrong}")


def _faults(cls: type, raw: Mapping) -> Iterator[Wrong]:
    """Keys of `raw` that the dataclass does not have, that are missing, or whose value is wrong."""
    of_file = [f for f in fields(cls) if "check" in f.metadata]
    names = [f.name for f in of_file]
    for name in raw:
        if name not in names:
            yield _unknown(name, names)
    for f in of_file:
        if f.name not in raw:
            if f.default is MISSING and f.default_factory is MISSING:
                yield Wrong(f.name, "missing")
        elif wrong := f.metadata["check"] and f.metadata["check"](raw[f.name]):
            yield _inside(f.name, wrong, raw[f.name])


def check_keys(cls: type, raw: Mapping, fail: Fail, prefix: str = "") -> None:
    """Fail for the first key of `raw` that the dataclass does not have, that is missing, or whose value is wrong."""
    for wrong in _faults(cls, raw):
        fail(f"{prefix}{wrong.key}", wrong.text)


def read(cls: type[T], raw: Mapping, fail: Fail, prefix: str = "") -> T:
    """An instance of the dataclass from a mapping, with every key checked; what the mapping lacks has its default."""
    check_keys(cls, raw, fail, prefix)
    return cls(**raw)
