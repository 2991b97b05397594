"""The configuration of a training run, from YAML, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

from ..catalogue import CONFIG
from ..checks import read_mapping
from ..data.sources import check_source
from ..model.config import TWO_CENTER, check_model_config
from ..moire.layer_file import is_layer_file
from ..nn.heads import HamiltonianHeads
from ..schema import check_keys, check_value, integer, mapping, number, one_of, read, refuse_unknown, setting, text
from .bars import are_bars
from .device import check_device
from .settings import LARGEST_SEED, LoopSettings
from .stages.published import HAMILTONIAN_SETTINGS, SGDSettings
from .terms import WEIGHTS, reported, weighed_terms, with_defaults

#: Keys that only one sort of kind has: those of our own networks, those of the published ones.
NETWORK_KEYS = (
    *("species", "shells", "electrons", "force_field", "heads", "stages"),
    *("start_from", "freeze", "replay", "device", "dtype"),
)
PUBLISHED_KEYS = ("forces", "hamiltonian")

#: Keys that a record leaves out where they say nothing.
OPTIONAL = ("bars", "freeze", "replay")

#: Keys that every file needs, and those that our own networks need besides.
REQUIRED = ("name", "data")
REQUIRED_NETWORK = ("material", "species", "shells", "electrons", "stages")

#: Parts of a model that `freeze` may name, and patterns of the names of their weights.
FROZEN = {
    "force_field": r"force_field\.",
    "dressing": r"heads\.(dressing|layer_dressing)\.",
    "charges": r"heads\.charge\.",
    "onsite": r"heads\.onsite\.",
    "intra": r"heads\.hopping\.\d+_intra",
    "inter": r"heads\.(hopping\.\d+_inter|steps)",
}

#: Names become parts of file names, of which systems take 255 bytes.
LONGEST_NAME = 60


def is_file_name(value):
    """Check of a name that becomes part of a file name."""
    if (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_NAME
        and value.isprintable()
        and not {"/", "\\"} & set(value)
        and not value.startswith(".")
    ):
        return None
    return f"is not a name (up to {LONGEST_NAME} characters without slashes, not beginning with a full stop)"


def is_list_of_stages(value):
    """Check of `stages`; what is in the list is checked one by one."""
    return None if isinstance(value, list) else "is not a list of stages"


def are_parts(value):
    """Check of `freeze`."""
    good = isinstance(value, list) and all(isinstance(part, str) and part in FROZEN for part in value)
    return None if good else f"is not a list of parts of a model; known: {', '.join(FROZEN)}"


@dataclass
class Stage:
    """One stage of a training: the part of the model that it trains, its losses and its steps.

    Attributes
    ----------
    kind : str
        "forcefield", "hamiltonian" or "joint".
    name : str
        Of its files in the run directory.
    weights : dict of str to float
        Of every term of the loss, see `terms.WEIGHTS`.
    loop : LoopSettings
    """

    kind: str
    name: str
    weights: dict[str, float]
    loop: LoopSettings


@dataclass
class TrainConfig:
    """The configuration of a training run, checked.

    Attributes
    ----------
    name : str
    data : list
        Absolute paths, or mappings with `path` and what to take of it, see `data.sources.check_source`.
    kind : str
        "wander", "two-center" or "published".
    material, material_file : str, optional
        Name of the material, and the file of its layer where it comes from one.
    species, shells, electrons, force_field, heads
        Of the model, see `WanderModel`.
    stages : list of Stage
    validation_fraction : float
        Share of the configurations that is held out.
    seed, threads : int
    device, dtype : str
        Where training computes, and in what precision.
    start_from : str, optional
        Trained model, a name or a folder, whose weights training starts from, see `start.start_from`.
    freeze : list of str
        Parts of the model, of FROZEN, that stay what they are.
    replay : float
        Share of the training configurations that comes from the data of the model that training starts from.
    licence, notes : str, optional
        Text for the card; `notes` says by what method the data were made, and their extent.
    bars : dict
        What the table of errors on the card compares with, see `bars.are_bars`.
    forces, hamiltonian : SGDSettings, optional
        Of kind "published", whose networks, species and orbitals are fixed, in place of stages.
    """

    name: str = setting(is_file_name)
    data: list = setting()
    kind: str = setting(one_of(("wander", "two-center", "published")), "wander")
    material: str | None = setting(text(), None)
    species: list | None = setting(None, None)
    shells: dict | None = setting(None, None)
    electrons: dict | None = setting(None, None)
    force_field: dict = setting(mapping("a mapping of sizes"), factory=dict)
    heads: dict = setting(mapping("a mapping of sizes"), factory=dict)
    stages: list = setting(is_list_of_stages, factory=list)
    validation_fraction: float = setting(number(below=1, what="is not a number from 0 to below 1"), 0.15)
    seed: int = setting(integer(0, LARGEST_SEED), 1)
    threads: int = setting(integer(), 1)
    device: str = setting(text(), "cpu")
    dtype: str = setting(one_of(("float32", "float64")), "float32")
    start_from: str | None = setting(text(), None)
    freeze: list = setting(are_parts, factory=list)
    replay: float = setting(number(below=1, what="is not a number from 0 to below 1"), 0.0)
    licence: str | None = setting(text(), None)
    notes: str | None = setting(text(), None)
    bars: dict = setting(are_bars, factory=dict)
    forces: Any = setting(None, None)
    hamiltonian: Any = setting(None, None)
    material_file: str | None = None

    @property
    def is_published(self) -> bool:
        """Whether the published networks are trained, which have no stages."""
        return self.kind == "published"

    def to_dict(self) -> dict:
        """Settings of this kind of run as its record keeps them, without those that are unset."""
        left_out = NETWORK_KEYS[:-2] if self.is_published else PUBLISHED_KEYS
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return {k: v for k, v in values.items() if v is not None and not (k in OPTIONAL and not v)}


def load_config(path) -> TrainConfig:
    """Read and check a YAML file; ValueError naming the file and the key that is wrong."""
    path = Path(path)
    raw = read_mapping(path, [f.name for f in fields(TrainConfig) if f.name != "material_file"])

    def fail(key, what):
        raise ValueError(f"{path}: {key}: {what}")

    kind = raw.get("kind", "wander")
    published = kind == "published"
    check_value(one_of(("wander", "two-center", "published")), kind, "kind", fail)
    left_out = NETWORK_KEYS if published else PUBLISHED_KEYS
    refuse_unknown(raw, [f.name for f in fields(TrainConfig) if f.name not in (*left_out, "material_file")], fail)
    for name in REQUIRED if published else REQUIRED + REQUIRED_NETWORK:
        if not raw.get(name):
            fail(name, "missing")
    raw["data"] = _data(raw["data"], path.parent, fail)
    check_keys(TrainConfig, raw, fail)
    config = TrainConfig(**raw)
    try:
        check_device(config.device)
    except ValueError as error:
        fail("device", error)
    if published:
        config.forces = _sgd(config.forces or {}, "forces", SGDSettings(), config.seed, fail)
        config.hamiltonian = _sgd(config.hamiltonian or {}, "hamiltonian", HAMILTONIAN_SETTINGS, config.seed, fail)
        return config
    if is_layer_file(config.material, path.parent):
        config.material_file = str((path.parent / config.material).resolve())
        config.material = Path(config.material).stem
    if kind == "two-center":
        config.heads = _two_center(config.heads, fail)
    check_model_config(config.to_dict(), fail)
    sizes = {p.name: p.default for p in signature(HamiltonianHeads).parameters.values()} | config.heads
    if sizes["taper"] >= sizes["cutoff"]:
        fail("heads.taper", f"{sizes['taper']:g} Å is not below the cutoff of {sizes['cutoff']:g} Å")
    if config.start_from and (path.parent / config.start_from / CONFIG).is_file():
        config.start_from = str((path.parent / config.start_from).resolve())
    config.stages = [_stage(stage, k, len(config.species), fail) for k, stage in enumerate(config.stages)]
    _check_start(config, fail)
    names = [s.name for s in config.stages]
    if len(set(names)) < len(names):
        fail("stages", f"names repeat: {', '.join(names)}")
    return config


def _check_start(config, fail):
    """What is replayed needs a model, and every stage something that it may train."""
    if config.replay and not config.start_from:
        fail("replay", "needs start_from, the model whose data are replayed")
    frozen, heads = set(config.freeze), set(FROZEN) - {"force_field"}
    for k, stage in enumerate(config.stages):
        if {"forcefield": {"force_field"}, "hamiltonian": heads, "joint": set(FROZEN)}[stage.kind] <= frozen:
            fail(f"stages[{k}]", f"freeze leaves nothing to train for kind {stage.kind}")


def _two_center(heads, fail):
    """Heads of kind `two-center`: what makes them so is fixed."""
    for key, value in TWO_CENTER.items():
        if heads.get(key, value) != value:
            fail(f"heads.{key}", f"{heads[key]!r}; in a model of kind two-center it is {value!r}")
    return heads | TWO_CENTER


def _data(data, base, fail):
    """Sources with absolute paths: a text for a path alone, else a mapping (see `data.sources.check_source`)."""
    data = data if isinstance(data, list) else [data]
    if any(not isinstance(d, (str, dict)) for d in data):
        fail("data", f"{data!r} is not a path, a mapping with path, or a list of these")
    out = []
    for k, source in enumerate(data):
        checked = check_source(source, lambda key, what: fail(f"data[{k}]{key}", what))
        for key in ("path", "structure"):
            if key in checked:
                checked[key] = str((base / checked[key]).resolve())
        out.append(checked["path"] if isinstance(source, str) else checked)
    return out


def _sgd(options, name, default, seed, fail):
    """Settings of one group of published networks: the published ones, with what the file changes."""
    if not isinstance(options, dict):
        fail(name, "expected epochs, steps, batch, lr, ...")
    check_keys(SGDSettings, options, fail, f"{name}.")
    return replace(default, seed=seed, **options)


def _stage(stage, place, n_species, fail) -> Stage:
    prefix = f"stages[{place}]"
    if not isinstance(stage, dict) or stage.get("kind") not in WEIGHTS:
        fail(prefix, f"kind must be one of {', '.join(WEIGHTS)}")
    options = dict(stage)
    kind, name, weights = options.pop("kind"), options.pop("name", None), options.pop("weights", {})
    name = kind if name is None else name
    refuse_unknown(stage, ["kind", "name", "weights", *(f.name for f in fields(LoopSettings))], fail, f"{prefix}.")
    check_value(is_file_name, name, f"{prefix}.name", fail)
    check_value(mapping("a mapping of numbers"), weights, f"{prefix}.weights", fail)
    refuse_unknown(weights, WEIGHTS[kind], fail, f"{prefix}.weights.")
    for term, value in weights.items():
        check_value(number(what="is not a number of 0 or more"), value, f"{prefix}.weights.{term}", fail)
    loop = read(LoopSettings, options, fail, f"{prefix}.")
    if loop.patience and not loop.monitor:
        fail(f"{prefix}.patience", "needs monitor, the name of the validation error that must fall")
    if loop.pairs < 1 and (kind != "hamiltonian" or weights.get("eigenvalues") or weights.get("projections")):
        fail(f"{prefix}.pairs", "only for a stage of kind hamiltonian on elements alone: bands need all pairs")
    if not weighed_terms(kind, weights):
        fail(f"{prefix}.weights", f"nothing to train on; known: {', '.join(WEIGHTS[kind])}")
    known = reported(kind, n_species)
    if loop.monitor not in ("", *known):
        fail(f"{prefix}.monitor", f"{loop.monitor!r} is no error of a validation; known: {', '.join(known)}")
    return Stage(kind, name, with_defaults(kind, weights), loop)
