"""Data of a training run from any mix of sources."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

from ..schema import check_keys, number, one_of, setting, switch, text
from .dataset import LABELS, load_dataset

#: Kinds of sources; found out from the path where not given.
KINDS = ("folder", "extxyz", "wannier90")


def are_names(value):
    """Check of a list of names or of patterns."""
    good = isinstance(value, list) and value and all(isinstance(x, str) for x in value)
    return None if good else "is not a name or a list of names"


@dataclass
class Source:
    """One entry of `data` in a training configuration.

    Attributes
    ----------
    path : str
        See `load_dataset`.
    kind : str
        One of KINDS: what the path must be.
    weight : float
        Factor of its configurations in every loss.
    withhold : list of str
        Labels that training must not see; validation keeps them.
    include, exclude : list of str
        Patterns of configuration names.
    structure : str
        For Wannier90 output, see `load_dataset`.
    vacuum_level : float
        Taken off its Hamiltonians and eigenvalues, eV.
    hold_out : bool
        With false all of it is trained on, whatever the names say: data made to fill a gap, not to judge.
    """

    path: str = setting(text("is not a path"))
    kind: str = setting(one_of(KINDS), "")
    weight: float = setting(number(above=0, what="is not a positive number"), 1.0)
    withhold: list = setting(are_names, factory=list)
    include: list = setting(are_names, factory=list)
    exclude: list = setting(are_names, factory=list)
    structure: str = setting(text("is not a path"), "")
    vacuum_level: float = setting(number(-math.inf, what="is not a number"), 0.0)
    hold_out: bool = setting(switch(), True)


#: Keys of a source.
KEYS = tuple(f.name for f in fields(Source))


def check_source(source, fail) -> dict:
    """Normal form of one entry of `data`: the keys of `Source` that it has; `fail(key, what)` raises."""
    if isinstance(source, str):
        return {"path": source}
    if not isinstance(source, dict) or not isinstance(source.get("path"), str):
        fail("", f"{source!r} is not a path, or a mapping with path and any of {', '.join(KEYS[1:])}")
    source = dict(source)
    for key in ("withhold", "include", "exclude"):
        if isinstance(source.get(key), str):
            source[key] = [source[key]]
    check_keys(Source, source, fail, ".")
    for label in source.get("withhold", ()):
        if label not in LABELS:
            fail(".withhold", f"{label!r} is no label; known: {', '.join(LABELS)}")
    return source


def load_source(source) -> list:
    """Configurations of one source (see `check_source`) or path, their weights and withheld labels noted.

    Raises
    ------
    ValueError
        What `load_dataset` refuses; a path of another kind; patterns that no name matches.
    """

    def fail(key, what):
        raise ValueError(f"data{key}: {what}")

    source = check_source(str(source) if isinstance(source, Path) else source, fail)
    path = Path(source["path"])
    found = load_dataset(path, source.get("structure"))
    wannier90 = [c for c in found if c.hamiltonian is not None and c.hamiltonian.suffix == ".dat"]
    kind = "wannier90" if wannier90 else "folder" if path.is_dir() else "extxyz"
    if source.get("kind", kind) != kind:
        raise ValueError(f"{path}: is of kind {kind}, not {source['kind']}")
    if "structure" in source and kind != "wannier90":
        raise ValueError(f"{path}: structure is for Wannier90 output, this is of kind {kind}")
    for key, wanted in (("include", True), ("exclude", False)):
        if key in source:
            matches = lambda c: any(fnmatchcase(c.name, pattern) for pattern in source[key])
            if not any(map(matches, found)):
                raise ValueError(
                    f"{path}: {key} {', '.join(source[key])} matches none of {len(found)} configurations "
                    f"({found[0].name}, ...)"
                )
            found = [c for c in found if matches(c) == wanted]
    if not found:
        raise ValueError(f"{path}: exclude {', '.join(source['exclude'])} leaves no configuration")
    for c in found:
        c.weight, c.to_withhold = float(source.get("weight", 1.0)), tuple(source.get("withhold", ()))
        c.vacuum_level = float(source.get("vacuum_level", c.vacuum_level))
        c.hold_out = source.get("hold_out", True)
    return found


def load_sources(sources) -> list:
    """All configurations of several sources, in order; ValueError when a name occurs twice."""
    found = [c for source in sources for c in load_source(source)]
    name, count = Counter(c.name for c in found).most_common(1)[0] if found else ("", 0)
    if count > 1:
        raise ValueError(f"configuration {name!r} occurs twice in the data")
    return found
