"""The YAML file of an ablation: its keys, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ...checks import is_number, read_mapping
from ...schema import entries, integer, list_of, mapping, number, part, read, setting, text


def is_range(value):
    """Check of the lowest and the highest value of a range."""
    good = isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]
    return None if good else "is not [lowest, highest] in Å"


def are_data(value):
    """Check of one path or a list of paths."""
    return None if value and isinstance(value, (str, list)) else "is not a path or a list of paths"


def are_stages(value):
    """Check of the stages: the first trains the force field, which rows share, the others the Hamiltonian."""
    if not isinstance(value, list) or not value or not all(isinstance(stage, dict) for stage in value):
        return "is not a list of stages"
    kinds = [stage.get("kind") for stage in value]
    if kinds[0] != "forcefield" or any(kind != "hamiltonian" for kind in kinds[1:]):
        return "is not one stage of kind forcefield, which rows share, and then stages of kind hamiltonian"
    return None


def are_rows(value):
    """Check of a list of rows; what is in it is checked one by one."""
    return None if isinstance(value, list) and value else "is not a list of rows"


PATTERNS = list_of(text(), "a list of patterns of names")


@dataclass
class Judge:
    """Patterns of the names that a model is judged on: other gaps and strains, other kinds of cells."""

    range: list = setting(PATTERNS)
    kind: list = setting(PATTERNS)


@dataclass
class Group:
    """A table: its title, and its columns, see `results.QUANTITIES`."""

    title: str = setting(text())
    columns: list = setting(list_of(text(), "a list of columns"))


@dataclass(frozen=True)
class Row:
    """One line of tables, `groups` {name of a group: label there}.

    `heads`, `force_field` and `weights` (of the Hamiltonian stages) change the base.
    """

    name: str = setting(text())
    groups: dict = setting(mapping("a mapping {name of a group: label}"))
    kind: str = setting(text(), "wander")
    heads: dict = setting(mapping("a mapping of sizes"), factory=dict)
    force_field: dict = setting(mapping("a mapping of sizes"), factory=dict)
    weights: dict = setting(mapping("a mapping of numbers"), factory=dict)


@dataclass
class TableFile:
    """Keys of the file.

    Attributes
    ----------
    name : str
    data : list of str
        Paths, relative to the folder of the file; one alone may stand without a list.
    range : dict of str to [low, high]
        What is trained on: "gap" and lattice constant "a", Å.
    train : list of str
        Patterns of the names that are trained on.
    judge : Judge
    seeds : list of int
    base, stages : dict, list of dict
        Configuration that all rows share, see `training.config`.
    rows : list of Row
    groups : dict of str to dict
        Tables by name, see `Group`.
    validation_fraction : float
    published : dict
        Settings of rows of kind "published".
    document, figure : str, optional
        Where tables and figure are written, relative to the folder of the file.
    """

    name: str = setting(text())
    data: list = setting(are_data)
    range: dict = setting(entries(is_range, "a mapping of ranges"))
    train: list = setting(PATTERNS)
    judge: Judge = setting(part(Judge, "a mapping of range and kind"))
    seeds: list = setting(list_of(integer(0), "a list of integers of 0 or more"))
    base: dict = setting(mapping("a configuration that rows share"))
    stages: list = setting(are_stages)
    rows: list = setting(are_rows)
    groups: dict = setting(entries(part(Group, "a mapping of title and columns"), "a mapping of tables"))
    validation_fraction: float = setting(number(below=1, what="is not a number from 0 to below 1"), 0.15)
    published: dict = setting(mapping("a mapping of settings"), factory=dict)
    document: str | None = setting(text("is not a file"), None)
    figure: str | None = setting(text("is not a file"), None)


def read_table(path) -> TableFile:
    """The file of an ablation, checked; ValueError that names the file and the key."""
    path = Path(path)

    def fail(key, what):
        raise ValueError(f"{path}: {key}: {what}")

    table = read(TableFile, read_mapping(path, [f.name for f in fields(TableFile)]), fail)
    table.data = table.data if isinstance(table.data, list) else [table.data]
    table.judge = Judge(**table.judge)
    table.rows = [_row(path, row, table.groups) for row in table.rows]
    return table


def _row(path, row, groups) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise ValueError(f"{path}: rows: {row!r} has no name")

    def fail(key, what):
        raise ValueError(f"{path}: row {row['name']}: {key}: {what}")

    found = read(Row, row, fail)
    for group in found.groups:
        if group not in groups:
            fail("groups", f"{group!r} has no title; groups: {', '.join(groups)}")
    return found
