"""Data of a training run from any mix of sources: each a path, or a path with what to take of it and how to weigh
it.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from .dataset import LABELS, load_dataset

#: Keys of a source.
KEYS = ("path", "kind", "weight", "withhold", "include", "exclude", "structure", "vacuum_level", "hold_out")

#: Kinds of sources; found out from the path where not given.
KINDS = ("folder", "extxyz", "wannier90")


def check_source(source, fail) -> dict:
    """Normal form of one entry of `data`: a dict of KEYS; `fail(key, what)` raises for what is wrong.

    `path`: see `load_dataset`; `kind`: one of KINDS, what the path must be; `weight`: factor of its configurations in
    every loss; `withhold`: labels (of LABELS) that training must not see, validation keeps them; `include`, `exclude`:
    patterns of configuration names; `structure`: of Wannier90 output, see `load_dataset`; `vacuum_level`: eV, taken off
    its
    Hamiltonians and eigenvalues; `hold_out`: with false all of it is trained on, whatever the names say (data that were
    made to fill a gap, not to judge).
    """
    if isinstance(source, str):
        return {"path": source}
    if not isinstance(source, dict) or not isinstance(source.get("path"), str):
        fail("", f"{source!r} is not a path, or a mapping with path and any of {', '.join(KEYS[1:])}")
    source = dict(source)
    for key in source:
        if key not in KEYS:
            fail(f".{key}", f"unknown; known: {', '.join(KEYS)}")
    if source.get("kind", KINDS[0]) not in KINDS:
        fail(".kind", f"{source['kind']!r} is not known; known: {', '.join(KINDS)}")
    for key in ("withhold", "include", "exclude"):
        if key in source:
            source[key] = [source[key]] if isinstance(source[key], str) else source[key]
            if not isinstance(source[key], list) or not source[key] or not all(isinstance(x, str) for x in source[key]):
                fail(f".{key}", f"{source[key]!r} is not a name or a list of names")
    for label in source.get("withhold", ()):
        if label not in LABELS:
            fail(".withhold", f"{label!r} is no label; known: {', '.join(LABELS)}")
    for key, least in (("weight", 0.0), ("vacuum_level", -float("inf"))):
        value = source.get(key, 1.0)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not least < value < float("inf"):
            fail(f".{key}", f"{value!r} is not a {'positive ' if key == 'weight' else ''}number")
    if not isinstance(source.get("hold_out", True), bool):
        fail(".hold_out", f"{source['hold_out']!r} is not true or false")
    if not isinstance(source.get("structure", ""), str):
        fail(".structure", f"{source['structure']!r} is not a path")
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
