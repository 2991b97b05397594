"""One run of an ablation: force field (shared), heads, and the errors on every split."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...data.dataset import SIGMA_MILD
from ...loading import load_model
from ...published.model import PublishedModel
from ...training.loop import load_checkpoint, save_atomically
from ...training.record import record_run
from ...training.train import load_configurations, new_model, train
from ..evaluate import NEAR, refused
from ..hamiltonian_errors import eigenvalue_errors, hamiltonian_errors, n_orbitals
from .table import SPLITS, Table, load_result, result_file, write_json


def train_force_field(run, folder, report=None) -> Path:
    """Train the force field of a run, or go on, in `folder`/forcefields/<key>; the finished checkpoint's path."""
    own = Path(folder) / "forcefields" / run.force_field_key
    done = own / f"{run.config.stages[0].name}.done.pt"
    if not done.exists():
        # the heads have no part in it: those of the first row that needs it stand in
        train(
            replace(run.config, stages=run.config.stages[:1], name=run.force_field_key, heads={}, kind="wander"),
            own,
            resume=(own / "run.json").exists(),
            report=report,
        )
    return done


def train_run(run, folder, report=None):
    """Train a run, or go on, in `folder`/runs/<name>-<key>: the model."""
    own = Path(folder) / "runs" / f"{run.name}-{run.key}"
    resume = (own / "run.json").exists()
    if run.row.kind == "published":
        train(run.config, own, resume=resume, report=report)
        return PublishedModel.load(own / "model")
    shared = train_force_field(run, folder, report)
    done = own / f"{run.config.stages[0].name}.done.pt"
    if not done.exists():
        # The run begins as if its first stage had finished: heads untrained, the shared force field.
        torch.manual_seed(int(run.config.seed))
        model = new_model(run.config).to(getattr(torch, run.config.dtype))
        part = "force_field."
        state = load_checkpoint(
            shared, lambda state: {k[len(part) :]: v for k, v in state.items() if k.startswith(part)}
        )
        model.force_field.load_state_dict(state)
        own.mkdir(parents=True, exist_ok=True)
        save_atomically(model.state_dict(), done)
    if not resume:
        record_run(own, run.config, load_configurations(run.config), False)
    model = train(run.config, own, resume=True, report=report)
    return load_model(model.save(own / "model"))


def judge(model, configurations, sigma_max=SIGMA_MILD) -> dict:
    """Mean absolute errors over configurations with sigma up to `sigma_max` (Å).

    Returns
    -------
    dict
        Where the model and the data have the quantity: `n` configurations and `left_out`, those the model refuses;
        `force` meV/Å, `energy` meV/atom; elements of H within 12 Å, meV: `elements`, `onsite`, `intra`, `inter`,
        `intra_near`,
        `intra_far`, ...; `inter_r2`; `eigenvalues` within 1 eV of the gap and `gap`, meV; `layer_level`, meV: the
        difference between the layers' mean on-site energies.
    """
    chosen = [c for c in configurations if c.assumed_sigma <= sigma_max + 1e-9]
    left_out = refused(model, chosen)
    chosen = [c for c in chosen if c.name not in left_out]
    rows, elements, weights = [], [], []
    for c in chosen:
        out, row = model.compute(c.atoms, c.layers), {}
        row["force"] = np.abs(out["forces"] - c.results["forces"]).mean()
        if "energy" in out and "energy" in c.results:
            row["energy"] = abs(out["energy"] - c.results["energy"]) / len(c.atoms)
        blocks = model.hamiltonian(c.atoms, c.layers)
        found = hamiltonian_errors(model, c, blocks=blocks)
        elements.append(found)
        bands = eigenvalue_errors(model, c, blocks=blocks)
        if bands:
            difference, weight, gap = bands
            row["eigenvalues"] = (np.abs(difference) * weight).sum() / weight.sum()
            if np.isfinite(gap):
                row["gap"] = abs(gap)
        if c.layers.max() > 0:
            row["layer_level"] = abs(
                _level_difference(found, c, "predicted") - _level_difference(found, c, "reference")
            )
        rows.append(row)
        weights.append(len(c.atoms))
    out = {"n": len(chosen), "left_out": len(left_out)}
    for key in ("force", "energy", "eigenvalues", "gap", "layer_level"):
        known = [(r[key], w if key == "force" else 1) for r, w in zip(rows, weights) if key in r]
        if known:
            out[key] = 1e3 * float(np.average([v for v, _ in known], weights=[w for _, w in known]))
    if elements:
        out |= _classes(elements)
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in out.items()}


def _classes(elements):
    p, r, d, kind = (np.concatenate([e[k] for e in elements]) for k in ("predicted", "reference", "distance", "kind"))
    error, everything = 1e3 * np.abs(p - r), np.ones(len(p), bool)
    masks = {"elements": everything, "onsite": kind == 0, "intra": kind == 1, "inter": kind == 2}
    masks |= {
        f"{name}_{place}": masks[name] & side
        for name in ("intra", "inter")
        for place, side in (("near", d < NEAR), ("far", d >= NEAR))
    }
    out = {name: float(error[m].mean()) for name, m in masks.items() if m.any()}
    m = masks["inter"]
    if m.any():
        out["inter_r2"] = float(1 - np.square(p[m] - r[m]).sum() / np.square(r[m] - r[m].mean()).sum())
    return out


def _level_difference(found, c, which):
    """Mean on-site energy of the highest layer above that of the lowest, eV."""
    onsite = found["kind"] == 0
    atom, values, level = found["atom"][onsite], found[which][onsite], np.zeros(len(c.atoms))
    for a in range(len(c.atoms)):
        block = values[atom == a]
        level[a] = np.trace(block.reshape(round(len(block) ** 0.5), -1)) / round(len(block) ** 0.5)
    return level[c.layers == c.layers.max()].mean() - level[c.layers == 0].mean()


def nonzeros_per_row(model, configuration) -> float:
    """Stored elements of H per orbital."""
    block = model.hamiltonian(configuration.atoms, configuration.layers).block
    return float(len(block) / sum(n_orbitals(model, configuration)))


def perform(table: Table, run, folder, results, report=None) -> dict:
    """Train and judge a run and write its result; a run whose result exists is not touched."""
    known = load_result(results, run)
    if known:
        return known
    start = time.monotonic()
    model = train_run(run, folder, report)
    trained = time.monotonic()
    result = {
        "row": run.row.name,
        "seed": run.seed,
        "key": run.key,
        "data": table.data_hash[:16],
        "n_training": len(table.splits["train"]),
        "parameters": model.n_parameters,
        "cutoff": model.cutoff,
        "n_raer": model.n_raer if model.is_equivariant else None,
        "nonzeros_per_row": round(nonzeros_per_row(model, table.splits["held-out"][0]), 1),
        **{name: judge(model, table.splits[name]) for name in SPLITS},
        "seconds": {"training": round(trained - start), "judging": round(time.monotonic() - trained)},
    }
    write_json(result_file(results, run), result)
    return result


def work(path, folder, results, row, seed, only_force_field=False, report=None):
    """What one process does: train the force field of a run, or train and judge the run.

    The reason in words where it fails.
    """
    torch.set_num_threads(1)
    table = Table(path)
    run = table.runs([row])[table.seeds.index(seed)]
    try:
        if only_force_field:
            train_force_field(run, folder, report)
        else:
            perform(table, run, folder, results, report)
    except ValueError as error:
        return str(error)
    return None


def pending(table, folder, results, rows=None, seeds=None):
    """Remaining tasks (row, seed, only_force_field): shared force fields first, then runs."""
    runs = [run for run in table.runs(rows) if (not seeds or run.seed in seeds) and not load_result(results, run)]
    shared = {}
    for run in runs:
        if run.force_field_key:
            shared.setdefault(run.force_field_key, run)
    stage = table.raw.stages[0].get("name", "forcefield")
    missing = [
        run for key, run in shared.items() if not (Path(folder) / "forcefields" / key / f"{stage}.done.pt").exists()
    ]
    return [(run.row.name, run.seed, True) for run in missing], [(run.row.name, run.seed, False) for run in runs]
