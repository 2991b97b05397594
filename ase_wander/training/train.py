"""From a configuration to a model folder: stages one after the other, each resumable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from ..data.dataset import dataset_hash, split, withhold
from ..data.sources import load_sources
from ..files import PARTIAL, sweep
from ..locks import try_lock
from ..model.wander import WanderModel
from ..published.model import PublishedModel
from . import distributed
from .adapt import adapt_force_field, adapt_heads
from .config import FROZEN, TrainConfig
from .device import computing_on
from .loop import fit, load_checkpoint, save_atomically
from .record import record_run
from .replay import replayed
from .requirements import check_data, check_material
from .stages.forcefield import ForceFieldSamples
from .stages.hamiltonian import HamiltonianSamples
from .stages.joint import JointSamples
from .stages.published import bilayers, check_bilayers, train_published
from .start import start_from
from .terms import count_labels, select


def load_configurations(config):
    """All configurations of the sources of a configuration, in order, and after them those that are replayed;
    ValueError when names repeat."""
    found = load_sources(config.data)
    return found + replayed(config, found) if config.replay else found


def new_model(config: TrainConfig | Mapping) -> WanderModel:
    """An untrained model of the sizes that a configuration names, of a run or of a model folder."""
    config = config.to_dict() if isinstance(config, TrainConfig) else config
    keep = ("name", "material", "species", "shells", "electrons", "force_field", "heads", "licence")
    return WanderModel({k: config[k] for k in keep if k in config})


def train(config: TrainConfig, folder, resume=False, report=None) -> WanderModel | PublishedModel:
    """Train all stages of `config` (see `load_config`) in the run directory `folder`.

    A stage that has finished leaves `<stage>.done.pt`; with `resume`, finished stages are loaded and the
    interrupted one goes on from its last checkpoint. For kind `published` the networks take the place of stages;
    `report` gets rows with network, epoch and epochs then, and one with `best_mae` at the end of each.
    Only the first of the processes that torchrun has started writes into `folder` and reports.
    """
    folder = Path(folder)
    with distributed.processes():
        together, device = distributed.together, distributed.own_device(config.device)
        if distributed.rank() > 0:
            report = None
        together(lambda: _check_folder(folder, resume), only_first=True)
        torch.set_num_threads(int(config.threads))
        configurations, training, validation, model, start = together(lambda: _prepare(config))
        lock = together(lambda: _occupy(folder), only_first=True)
        try:
            together(lambda: record_run(folder, config, configurations, resume, start), only_first=True)
            if model is None:
                return _train_published(config, folder, configurations, training, validation, report)
            for number, stage in enumerate(config.stages):
                _train_stage(config, number, stage, model, start, training, validation, folder, resume, report, device)
        finally:
            if lock is not None and distributed.rank() == 0:
                os.close(lock)
        for p in model.parameters():
            p.requires_grad_(False)
        return model


def _check_folder(folder, resume):
    """ValueError unless a run can begin in `folder`, or go on there."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder")
    # A run that was killed before it had begun leaves half a record.
    if folder.exists() and any(not file.name.startswith(PARTIAL) for file in folder.iterdir()):
        if not resume:
            raise ValueError(f"{folder}: is not empty; give --resume to go on with that run, or another folder")
        if not (folder / "run.json").is_file():
            raise ValueError(
                f"{folder}: is not empty and holds no run.json, so there is no run to go on with; give another folder"
            )


def _occupy(folder):
    """Make the folder and lock it until this process ends, however it ends: ValueError while another one trains there.

    Processes of torchrun, for one, outlive a torchrun that is killed. None where the file system knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = try_lock(folder)
    except BlockingIOError:
        raise ValueError(f"{folder}: another process trains in this folder") from None
    sweep(folder)
    return lock


def _prepare(config):
    """All configurations, those to train and to validate on, the model (None for kind `published`), and what it has
    taken from another one (None where it has not).
    """
    torch.manual_seed(int(config.seed))
    configurations = load_configurations(config)
    training, validation = split(configurations, config.validation_fraction)
    training = withhold(training)
    if config.is_published:
        if distributed.size() > 1:
            raise ValueError("kind: published networks are trained by one process; start without torchrun")
        check_bilayers(training, validation)
        return configurations, training, validation, None, None
    check_material(config)
    check_data(config, configurations, training)
    try:
        model = new_model(config)
    except (RuntimeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"force_field, heads: no model of these sizes ({error})") from None
    model = model.to(_dtype(config))
    start = start_from(model, config.start_from) if config.start_from else None
    return configurations, training, validation, model, start


def _dtype(config):
    return getattr(torch, config.dtype)


def _train_published(config, folder, configurations, training, validation, report):
    used = len(bilayers(training))
    return train_published(
        training,
        validation,
        folder,
        config.forces,
        config.hamiltonian,
        name=config.name,
        report=report,
        progress=report
        and (lambda network, epoch, epochs: report({"network": network, "epoch": epoch, "epochs": epochs})),
        provenance=f"trained on {used} bilayers of the data with hash {dataset_hash(configurations)[:16]}",
    )


def _load_finished(model, done) -> bool:
    """Load the state of a finished stage, read by the first process for all; False where it has not finished."""

    def load():
        if done.exists():
            load_checkpoint(done, model.load_state_dict)
            return model.state_dict()

    finished = distributed.together(load, only_first=True)
    if finished is not None:
        model.load_state_dict(finished)
    return finished is not None


def _train_stage(config, number, stage, model, start, training, validation, folder, resume, report, device):
    """Train one part of `model` in place, or load it where the stage has finished."""
    done = folder / f"{stage.name}.done.pt"
    if resume and _load_finished(model, done):
        return
    torch.manual_seed(int(config.seed) + number)
    kind, weights = stage.kind, stage.weights
    module = {"forcefield": model.force_field, "hamiltonian": model.heads, "joint": model}[kind]
    for p in model.parameters():
        p.requires_grad_(False)
    if report:
        report(
            {
                "stage": stage.name,
                "step": 0,
                "labels": count_labels(training, kind, weights),
                "n_configurations": len(training),
            }
        )
    before = [s.kind for s in config.stages[:number]]
    samples = samples_of(kind, select(training, kind, weights), model, weights, _dtype(config))
    if kind == "hamiltonian":
        samples.pairs = stage.loop.pairs
    held_out = (
        samples_of(kind, validation, model, weights, _dtype(config)) if validation and distributed.rank() == 0 else None
    )
    for of_stage in (samples, held_out):
        if of_stage is not None:
            of_stage.cache = stage.loop.cache
    prepare(
        model,
        samples,
        *({part, "joint"}.isdisjoint(before) and kind in (part, "joint") for part in ("forcefield", "hamiltonian")),
        start=start,
    )
    for p in module.parameters():
        p.requires_grad_(True)
    for name, p in model.named_parameters():
        p.requires_grad_(p.requires_grad and not any(re.match(FROZEN[part], name) for part in config.freeze))

    def validate(averaged):
        held_out.model = _Borrowed(model, averaged, kind)
        return held_out.report()

    validates = distributed.broadcast(held_out is not None and len(held_out) > 0)
    with computing_on(device, model, samples, held_out):
        fit(
            module,
            len(samples),
            lambda indices, batch=None: samples.loss(indices, weights, batch),
            stage.loop,
            folder,
            stage.name,
            validate if validates else None,
            report,
            resume,
        )
    if distributed.rank() == 0:
        save_atomically(model.state_dict(), done)


def samples_of(kind, configurations, model, weights, dtype=torch.float32):
    """Samples of a kind of stage."""
    if kind == "forcefield":
        return ForceFieldSamples(configurations, model, dtype)
    return (JointSamples if kind == "joint" else HamiltonianSamples)(configurations, model, dtype, weights)


def prepare(model, samples, force_field, heads, start=None) -> None:
    """Fit what is not trained: reference energies, walls and scales of the parts that begin with this stage.

    A part that `start` took whole keeps what it has. Heads of which it took a part get new scales only for the classes
    of hoppings, the dressings and the on-site blocks that it lacks. New elements get zeros of their own, see `adapt`.
    """
    added = [k for k, s in enumerate(model.species) if start and s in start.relatives]
    if force_field and start and start.whole("force_field"):
        of_part = getattr(samples, "force_field", samples)
        of_part.fit_contacts(keep=True)
        adapt_force_field(of_part, added)
    elif force_field:
        of_part = getattr(samples, "force_field", samples)
        model.force_field.energy_scale.fill_(0.1)
        of_part.fit_reference()
        of_part.fit_contacts()
        of_part.fit_normalisation()
    if heads and not (start and start.whole("heads")):
        only = (start.unscaled(), start.unfitted()) if start else (None, None)
        getattr(samples, "hamiltonian", samples).fit_normalisation(*only)
    if heads and added:
        adapt_heads(getattr(samples, "hamiltonian", samples), added)


class _Borrowed:
    """A model of which the part that trains is replaced by its averaged weights."""

    def __init__(self, model, averaged, kind):
        self.species, self.count_electrons = model.species, model.count_electrons
        trained = averaged if kind == "joint" else None
        self.force_field = averaged if kind == "forcefield" else (trained or model).force_field
        self.heads = averaged if kind == "hamiltonian" else (trained or model).heads
