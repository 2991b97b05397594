"""The configuration of a training run, from YAML, checked before anything starts."""

from __future__ import annotations

from dataclasses import fields, replace
from inspect import signature
from pathlib import Path

from ..checks import is_integer, is_number, read_mapping
from ..data.sources import check_source
from ..model.config import TWO_CENTER, check_model_config
from ..moire.layer_file import is_layer_file
from ..nn.heads import HamiltonianHeads
from .bars import check_bars
from .device import check_device
from .loop import LoopSettings
from .stages.published import HAMILTONIAN_SETTINGS, SGDSettings
from .terms import WEIGHTS, reported, weighed_terms, with_defaults

TOP = (
    "name",
    "material",
    "data",
    "species",
    "shells",
    "electrons",
    "validation_fraction",
    "seed",
    "force_field",
    "heads",
    "stages",
    "threads",
    "device",
    "dtype",
    "licence",
    "kind",
    "notes",
    "bars",
)
#: Keys of kind `published`, whose networks, species and orbitals are fixed.
TOP_PUBLISHED = (
    "kind",
    "name",
    "material",
    "data",
    "validation_fraction",
    "seed",
    "threads",
    "licence",
    "notes",
    "bars",
    "forces",
    "hamiltonian",
)

#: Names become parts of file names, of which systems take 255 bytes.
LONGEST_NAME = 60

#: Random numbers of a step are seeded by 1,000,003 x seed + step, which must fit into 63 bits.
LARGEST_SEED = 2**32 - 1


def load_config(path) -> dict:
    """Read and check a YAML file; ValueError naming the file and the key that is wrong.

    Returns
    -------
    dict
        `material` a name, with `material_file` beside it where the layer is one of a file; `data` as absolute paths, or mappings with `path` and what to take of it (see `data.sources.check_source`); `notes` (optional) is text for the card: method and extent of the data; `bars` (optional) what its table of errors compares with (see `bars.check_bars`); `stages` a list of dicts with `kind`, `name`, `loop` (LoopSettings) and `weights`.
        Of kind `published`: `forces` and `hamiltonian` (SGDSettings) instead of stages.
    """
    path = Path(path)
    raw = read_mapping(path, TOP)

    def fail(key, what):
        raise ValueError(f"{path}: {key}: {what}")

    published = raw.get("kind") == "published"
    if raw.get("kind", "wander") not in ("wander", "two-center", "published"):
        fail("kind", f"{raw['kind']!r} is not known; known: wander, two-center, published")
    known = TOP_PUBLISHED if published else TOP
    for key in raw:
        if key not in known:
            fail(key, f"unknown; known: {', '.join(known)}")
    for key in (
        ("name", "data") if published else ("name", "material", "data", "species", "shells", "electrons", "stages")
    ):
        if not raw.get(key):
            fail(key, "missing")
    raw["data"] = _data(raw["data"], path.parent, fail)
    raw.setdefault("validation_fraction", 0.15)
    raw.setdefault("seed", 1)
    raw.setdefault("threads", 1)
    raw.setdefault("device", "cpu")
    raw.setdefault("dtype", "float32")
    _check_common(raw, fail)
    if not published and is_layer_file(raw["material"], path.parent):
        raw |= {"material": Path(raw["material"]).stem, "material_file": str((path.parent / raw["material"]).resolve())}
    if published:
        for key, default in (("forces", SGDSettings()), ("hamiltonian", HAMILTONIAN_SETTINGS)):
            raw[key] = _sgd(raw.get(key) or {}, key, default, raw["seed"], fail)
        return raw
    if raw.get("kind") == "two-center":
        raw["heads"] = _two_center(raw.get("heads", {}), fail)
    check_model_config(raw, fail)
    sizes = {p.name: p.default for p in signature(HamiltonianHeads).parameters.values()} | raw.get("heads", {})
    if sizes["taper"] >= sizes["cutoff"]:
        fail("heads.taper", f"{sizes['taper']:g} Å is not below the cutoff of {sizes['cutoff']:g} Å")
    if not isinstance(raw["stages"], list):
        fail("stages", f"{raw['stages']!r} is not a list of stages")
    raw["stages"] = [_stage(stage, k, fail) for k, stage in enumerate(raw["stages"])]
    for k, stage in enumerate(raw["stages"]):
        known = reported(stage["kind"], len(raw["species"]))
        if stage["loop"].monitor not in ("", *known):
            fail(
                f"stages[{k}].monitor",
                f"{stage['loop'].monitor!r} is no error of a validation; known: {', '.join(known)}",
            )
    names = [s["name"] for s in raw["stages"]]
    if len(set(names)) < len(names):
        fail("stages", f"names repeat: {', '.join(names)}")
    return raw


def _two_center(heads, fail):
    """Heads of kind `two-center`: what makes them so is fixed."""
    if not isinstance(heads, dict):
        fail("heads", f"{heads!r} is not a mapping of sizes")
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


def _check_common(raw, fail):
    """Keys of both kinds: types and ranges."""
    for key in ("name", "material", "licence", "notes", "device"):
        if key in raw and not (isinstance(raw[key], str) and raw[key]):
            fail(key, f"{raw[key]!r} is not text")
    _check_name("name", raw["name"], fail)
    check_bars(raw.get("bars", {}), fail)
    try:
        check_device(raw["device"])
    except ValueError as error:
        fail("device", error)
    if raw["dtype"] not in ("float32", "float64"):
        fail("dtype", f"{raw['dtype']!r} is not known; known: float32, float64")
    if not is_integer(raw["threads"]):
        fail("threads", f"{raw['threads']!r} is not a positive integer")
    if not is_integer(raw["seed"], 0) or raw["seed"] > LARGEST_SEED:
        fail("seed", f"{raw['seed']!r} is not an integer from 0 to {LARGEST_SEED}")
    if not is_number(raw["validation_fraction"]) or not 0 <= raw["validation_fraction"] < 1:
        fail("validation_fraction", f"{raw['validation_fraction']!r} is not a number from 0 to below 1")


def _check_name(key, name, fail):
    """A name becomes a file name."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= LONGEST_NAME
        or not name.isprintable()
        or "/" in name
        or "\\" in name
        or name.startswith(".")
    ):
        fail(
            key,
            f"{name!r:.60} is not a name (up to {LONGEST_NAME} characters without slashes, not beginning with a full stop)",
        )


def _sgd(options, key, default, seed, fail):
    """Settings of one group of published networks: the published ones, with what the file changes."""
    if not isinstance(options, dict):
        fail(key, "expected epochs, steps, batch, lr, ...")
    known = [f.name for f in fields(SGDSettings) if f.name != "seed"]
    for option, value in options.items():
        if option not in known:
            fail(f"{key}.{option}", f"unknown; known: {', '.join(known)}")
        if not is_number(value) or value < 0 or (value == 0 and option not in ("momentum", "weight_decay")):
            fail(f"{key}.{option}", f"{value!r} is not a positive number (write 1.0e-3, not 1e-3)")
    for option in ("epochs", "steps", "batch"):
        if not isinstance(options.get(option, 1), int):
            fail(f"{key}.{option}", f"{options[option]!r} is not an integer")
    return replace(default, seed=seed, **options)


def _stage(stage, number, fail):
    key = f"stages[{number}]"
    if not isinstance(stage, dict) or stage.get("kind") not in WEIGHTS:
        fail(key, f"kind must be one of {', '.join(WEIGHTS)}")
    stage = dict(stage)
    kind, name, weights = stage.pop("kind"), stage.pop("name", None), stage.pop("weights", {})
    name = kind if name is None else name
    _check_name(f"{key}.name", name, fail)
    if not isinstance(weights, dict):
        fail(f"{key}.weights", f"{weights!r} is not a mapping of numbers")
    for w, value in weights.items():
        if w not in WEIGHTS[kind]:
            fail(f"{key}.weights.{w}", f"unknown; known: {', '.join(WEIGHTS[kind])}")
        if not is_number(value) or value < 0:
            fail(f"{key}.weights.{w}", f"{value!r} is not a number of 0 or more")
    known = {f.name: f.type for f in fields(LoopSettings)}
    monitor = stage.pop("monitor", "")
    if not isinstance(monitor, str):
        fail(f"{key}.monitor", f"{monitor!r} is not the name of a validation error")
    if stage.get("patience") and not monitor:
        fail(f"{key}.patience", "needs monitor, the name of the validation error that must fall")
    for option, value in stage.items():
        if option not in known:
            fail(f"{key}.{option}", f"unknown; known: kind, name, weights, {', '.join(known)}")
        if not is_number(value):
            fail(f"{key}.{option}", f"{value!r} is not a number (write 1.0e-3, not 1e-3)")
        if option in ("steps", "batch", "validate_every") and not is_integer(value):
            fail(f"{key}.{option}", f"{value!r} is not a positive integer")
        if option in ("warmup", "seed", "patience") and not is_integer(value, 0):
            fail(f"{key}.{option}", f"{value!r} is not an integer of 0 or more")
        if option == "seed" and value > LARGEST_SEED:
            fail(f"{key}.seed", f"{value!r} is not an integer from 0 to {LARGEST_SEED}")
        if value < 0 or (option in ("lr", "clip") and value == 0) or (option == "average" and value >= 1):
            fail(f"{key}.{option}", f"{value!r} is out of range")
    if not 0 < stage.get("pairs", 1) <= 1:
        fail(f"{key}.pairs", f"{stage['pairs']!r} is not a share above 0, up to 1")
    if stage.get("pairs", 1) < 1 and (
        kind != "hamiltonian" or weights.get("eigenvalues") or weights.get("projections")
    ):
        fail(f"{key}.pairs", "only for a stage of kind hamiltonian on elements alone: bands need all pairs")
    if not weighed_terms(kind, weights):
        fail(f"{key}.weights", f"nothing to train on; known: {', '.join(WEIGHTS[kind])}")
    return {
        "kind": kind,
        "name": name,
        "weights": with_defaults(kind, weights),
        "loop": LoopSettings(**stage, monitor=monitor),
    }
