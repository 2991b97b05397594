"""Ablation: which rows a table has, what each run trains on and is judged on, and which runs exist already.

One training per row and seed, on configurations of one kind of cell inside a range of gap and lattice constant. It is
judged three times: on held-out configurations like those of the training, on those outside the range, and on other
kinds of cells.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from ...data.dataset import dataset_hash, is_validation
from ...data.sources import load_sources
from ...files import atomic_write
from ...model.backbones import BACKBONES, force_field_options
from ...training.config import TrainConfig, load_config
from .table_file import Row, read_table

#: What a model is judged on, in the order of the tables.
SPLITS = {"held-out": "held out, like the training", "range": "other gaps and strains", "kind": "other kinds of cells"}


@dataclass(frozen=True)
class Run:
    """A row with a seed: its TrainConfig, and keys of what decides its weights."""

    row: Row
    seed: int
    config: TrainConfig
    key: str
    force_field_key: str | None

    @property
    def name(self):
        return f"{self.row.name}-s{self.seed}"


class Table:
    """An ablation as its YAML file says it, with the data loaded and split.

    Attributes
    ----------
    rows : list of Row
    seeds : list of int
    groups : dict of str to dict
        Title and columns by name.
    splits : dict of str to list of Configuration
        By name of SPLITS, and "train".
    """

    def __init__(self, path):
        self.path = path = Path(path)
        self.raw = raw = read_table(path)
        self.name, self.seeds, self.groups, self.rows = raw.name, raw.seeds, raw.groups, raw.rows
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(
                f"{path}: rows: names repeat: {', '.join(sorted({n for n in names if names.count(n) > 1}))}"
            )
        self.data = [str((path.parent / d).resolve()) for d in raw.data]
        self.splits = self._split(load_sources(self.data))
        self.document, self.figure = (path.parent / file if file else None for file in (raw.document, raw.figure))
        self.data_hash = dataset_hash(self.splits["train"] + self.splits["held-out"])

    def _split(self, configurations):
        raw, fraction = self.raw, self.raw.validation_fraction
        matching = lambda patterns: [c for c in configurations if any(fnmatchcase(c.name, p) for p in patterns)]
        inside = [c for c in matching(raw.train) if within(c, raw.range)]
        found = {
            "train": [c for c in inside if not is_validation(c.name, fraction)],
            "held-out": [c for c in inside if is_validation(c.name, fraction)],
            "range": [c for c in matching(raw.judge.range) if not within(c, raw.range)],
            "kind": matching(raw.judge.kind),
        }
        for name, chosen in found.items():
            found[name] = chosen = [c for c in chosen if c.hamiltonian is not None and "forces" in c.results]
            if not chosen:
                raise ValueError(
                    f"{self.path}: no configuration of {', '.join(self.data)} with forces and a Hamiltonian belongs to "
                    f"{name!r}"
                )
        trained = {c.name for c in inside}
        both = [c.name for name in ("range", "kind") for c in found[name] if c.name in trained]
        if both:
            raise ValueError(f"{self.path}: judge: {both[0]} belongs to the configurations that are trained on")
        return found

    def runs(self, rows=None) -> list[Run]:
        """All runs of the named rows (default all), rows of one seed after the other.

        ValueError for a row that does not exist.
        """
        unknown = sorted(set(rows or ()) - {row.name for row in self.rows})
        if unknown:
            raise ValueError(
                f"{self.path}: no row {', '.join(unknown)}; rows: {', '.join(row.name for row in self.rows)}"
            )
        return [self.run(row, seed) for seed in self.seeds for row in self.rows if not rows or row.name in rows]

    def run(self, row, seed) -> Run:
        """Configuration of one training, checked."""
        raw, published = self.raw, row.kind == "published"
        names = [c.name for c in self.splits["train"] + self.splits["held-out"]]
        config = {"name": f"{row.name}-s{seed}", "seed": seed, "validation_fraction": raw.validation_fraction}
        if published:
            config |= {"kind": "published"} | raw.published
        else:
            base = raw.base
            stages = [
                dict(
                    stage,
                    seed=seed,
                    weights=dict(stage.get("weights", {})) | (row.weights if stage["kind"] != "forcefield" else {}),
                )
                for stage in raw.stages
            ]
            config |= base | {
                "kind": row.kind,
                "stages": stages,
                "force_field": _force_field(base.get("force_field", {}), row.force_field),
                "heads": base.get("heads", {}) | row.heads,
            }
        with TemporaryDirectory() as folder:
            file = Path(folder) / f"{self.path.name}, row {row.name}"
            sources = [{"path": d, "include": names} for d in self.data]
            file.write_text(yaml.safe_dump(config | {"data": sources}))
            try:
                config = load_config(file)
            except ValueError as error:
                raise ValueError(str(error).replace(str(file), f"{self.path}, row {row.name}")) from None
        decides = {
            k: v
            for k, v in config.to_dict().items()
            if k not in ("data", "name", "threads", "material", "licence", "notes", "bars", "device")
        }
        force_field = (
            None
            if published
            else _hash(
                {k: decides[k] for k in ("species", "force_field", "seed", "validation_fraction")},
                config.stages[0],
                self.data_hash,
            )
        )
        return Run(row, seed, config, _hash(decides, self.data_hash), force_field)


def _force_field(base, own) -> dict:
    """Options of a row's force field: the base's, as far as its backbone knows them, and its own."""
    known = force_field_options(own) if own.get("backbone") in BACKBONES else base
    return {k: v for k, v in base.items() if k in known} | own


def within(configuration, limits) -> bool:
    """Whether gap and lattice constant lie inside `limits`, {"gap": [low, high], "a": [low, high]} in Å.

    What is unknown does.
    """
    return all(
        low <= configuration.info.get(key, low) <= high or configuration.info[key] != configuration.info[key]
        for key, (low, high) in limits.items()
    )


def result_file(folder, run) -> Path:
    """File of a run's result."""
    return Path(folder) / f"{run.name}.json"


def load_result(folder, run):
    """Result of a run, None where it is missing or was made with another configuration or other data."""
    file = result_file(folder, run)
    try:
        result = json.loads(file.read_text())
    except OSError:
        return None
    except ValueError as error:
        raise ValueError(f"{file}: not readable as JSON ({error}); without that file the run is judged again") from None
    return result if isinstance(result, dict) and result.get("key") == run.key else None


def write_json(file, value) -> None:
    """Write atomically, one line per entry of the first level."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
    atomic_write(file, "{\n" + lines + "\n}\n")


def _hash(*parts) -> str:
    return hashlib.sha256(json.dumps(parts, default=asdict, sort_keys=True).encode()).hexdigest()[:16]
