"""The configuration of a campaign, from YAML: which structures, by which recipe, into which database."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from ase import Atoms

from ...checks import check_name, read_mapping, shown
from ...files import read_frames
from ...schema import entries, mapping, optional, read, setting, text
from ..dft.recipe import Recipe
from ..sampling.configurations import sample
from ..sampling.plan import read_plan

#: Numbers of bands that an engine asks for.
COUNTED = {"gpaw": ("bands", "converged_bands"), "espresso": ("bands", "converged_bands")}


def is_list_of_names(value):
    """Check of `only`."""
    good = isinstance(value, (list, tuple)) and value and all(isinstance(name, str) for name in value)
    return None if good else "is not a list of names"


@dataclass
class CampaignFile:
    """Keys of a campaign's YAML file.

    Attributes
    ----------
    recipe : dict
        See `data.dft.recipe.Recipe`.
    name : str
        The file's own name by default.
    sampling : dict
        Kinds of configurations, see `data.sampling.plan.read_plan`.
    structures : str
        File of the configurations, in place of `sampling`, relative to the folder of the YAML file.
    only : list of str
        Only the configurations of these names.
    recipe_for : dict of str to dict
        Settings of the recipe that differ for a kind of configurations.
    database : str
        File or URL of an ASE database.
    notes
        Whatever the author wants to keep.
    """

    recipe: dict = setting()
    name: object = setting(None, None)
    sampling: dict | None = setting(None, None)
    structures: str | None = setting(text("is not a file"), None)
    only: list | None = setting(optional(is_list_of_names), None)
    recipe_for: dict | None = setting(
        optional(entries(mapping("a mapping of settings"), "settings by kind, e.g. {ml: {bands: {C: 8}}}")), None
    )
    database: str | None = setting(optional(text("is not a file or a URL")), None)
    notes: object = setting(None, None)


@dataclass(frozen=True)
class CampaignConfig:
    """What a campaign computes.

    Attributes
    ----------
    name : str
    configurations : list of Atoms
        With distinct `info["config_id"]`, in the order in which they are computed.
    recipe : Recipe
    database : str or None
        File or URL of an ASE database; None: `ase.db` in the campaign's folder.
    recipe_for : dict str -> dict
        Settings that differ for a kind of configurations (what stands before the underscore of their names).
    """

    name: str
    configurations: list
    recipe: Recipe
    database: str | None = None
    recipe_for: dict = field(default_factory=dict)

    def recipe_of(self, name: str) -> Recipe:
        """Recipe of a configuration."""
        return recipe_of(self.recipe, self.recipe_for, name)


def recipe_of(recipe: Recipe, recipe_for: dict, name: str) -> Recipe:
    """Recipe of a configuration: `recipe` with the settings of its kind."""
    settings = recipe_for.get(name.split("_")[0])
    return Recipe.from_dict({**recipe.to_dict(), **settings}) if settings else recipe


def load_campaign(path, limit: int | None = None, only=None) -> CampaignConfig:
    """Read and check a YAML file.

    Parameters
    ----------
    path : path
    limit : int, optional
        Only the first so many configurations.
    only : list of str, optional
        Only these names (instead of the file's key `only`).

    Raises
    ------
    ValueError
        Naming the file and the key that is wrong.
    """
    path = Path(path)
    raw = read_mapping(path, [f.name for f in fields(CampaignFile)])
    try:
        return _read(raw, path, limit, only)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(raw, path, limit, only):
    def fail(key, what):
        raise ValueError(f"{key}: {what}")

    found = read(CampaignFile, raw, fail)
    if ("sampling" in raw) == ("structures" in raw):
        raise ValueError("give either sampling (kinds of configurations) or structures (a file of them)")
    recipe, recipe_for = Recipe.from_dict(found.recipe), found.recipe_for or {}
    for kind, settings in recipe_for.items():
        Recipe.from_dict({**found.recipe, **settings}, f"recipe_for.{kind}")
    only = found.only if only is None else only
    if found.structures is None:
        configurations = sample(read_plan(found.sampling, path.parent), None if only else limit)
    else:
        configurations = read_structures(path.parent / found.structures)
    if only is not None:
        by_name = {a.info["config_id"]: a for a in configurations}
        missing = [name for name in only if name not in by_name]
        if missing:
            raise ValueError(f"only: no configuration {shown(missing[0])} among {len(by_name)}")
        configurations = [by_name[name] for name in only]
    unknown = (
        sorted(set(recipe_for) - {a.info["config_id"].split("_")[0] for a in configurations})
        if only is None and limit is None
        else []
    )
    if unknown:
        raise ValueError(f"recipe_for.{unknown[0]}: no configuration is of this kind")
    name = str(raw.get("name", path.stem))
    config = CampaignConfig(name, configurations[:limit], recipe, found.database, recipe_for)
    check_recipes(config)
    return config


def check_recipes(config: CampaignConfig) -> None:
    """ValueError for a recipe that lacks something of a species, before anything is computed, and for values that
    no file can keep.
    """
    for atoms in {
        (a.symbols.get_chemical_formula(), a.info["config_id"].split("_")[0]): a for a in config.configurations
    }.values():
        recipe = config.recipe_of(atoms.info["config_id"])
        try:
            json.dumps(recipe.to_dict())
        except TypeError as error:
            raise ValueError(f"recipe: not plain values ({error})") from None
        recipe.orbitals(atoms)
        for key in COUNTED.get(recipe.engine, ()):
            recipe.count(key, atoms)
        if recipe.semicore is not None:
            recipe.count("semicore", atoms)


def read_structures(path) -> list[Atoms]:
    """Structures of any file that ASE reads, without results.

    A structure without `info["config_id"]` is named after the file and its number.

    Raises
    ------
    ValueError
        For a file that is missing, empty or not readable, two structures of one name, a name that is no file name.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "structures.extxyz"
    out, taken = [], {}
    for number, frame in enumerate(read_frames(path)):
        name = str(frame.info.get("config_id", f"{path.stem}_{number:04d}"))
        if name in taken:
            raise ValueError(f"{path}: frames {taken[name]} and {number} are both named {shown(name)}")
        check_name(name, f"{path}, frame {number}")
        taken[name] = number
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        atoms.info = {**{k: v for k, v in frame.info.items() if k not in RESULTS}, "config_id": name}
        out.append(atoms)
    return out


#: Keys of `info` that belong to a calculation, not to a structure.
RESULTS = ("vacuum_top", "vacuum_bottom", "pulay_energy", "d3_energy", "d3_stress")
