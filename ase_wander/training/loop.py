"""One training loop for every stage: batches, optimiser, averaged weights, checkpoints that survive a kill."""

from __future__ import annotations

import copy
import errno
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ..files import atomic_write
from . import distributed
from .settings import LoopSettings
from .soap import SOAP

#: After so many steps in a row without a finite gradient a stage stops: nothing is learned any more.
MAX_SKIPPED = 50


def batches(n_samples: int, size: int, epoch: int, seed: int):
    """Index batches of one epoch; a function of (seed, epoch) alone, so that a resumed run sees the same ones."""
    generator = torch.Generator("cpu").manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(n_samples, generator=generator, device="cpu").tolist()
    n_batches = max(round(n_samples / size), 1)
    return [order[k::n_batches] for k in range(n_batches)]


def save_atomically(state, path: Path) -> None:
    """torch.save through a temporary file, so that a kill never leaves half a checkpoint."""
    try:
        atomic_write(path, lambda file: torch.save(state, file))
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(errno.EIO, f"cannot be written ({str(error).splitlines()[0]})", str(path)) from error


def load_checkpoint(path: Path, use):
    """`use(what torch.save wrote into path)`; ValueError naming the file where it is damaged or another run's."""
    try:
        return use(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])[:200] or type(error).__name__
        raise ValueError(
            f"{path}: not a readable checkpoint of this run ({reason}); without that file the stage starts again"
        ) from None


def _cut_log(log, step):
    """Keep the lines of a log up to `step`.

    What a kill left half written, or was logged after the checkpoint, is dropped.
    """
    kept = []
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    atomic_write(log, "".join(kept))


@dataclass
class Best:
    """The averaged weights with the lowest monitored error so far, their step, and validations since then."""

    error: float = math.inf
    step: int = 0
    waited: int = 0
    weights: dict | None = None

    def look(self, validation: dict, monitor: str, step: int, average) -> None:
        """Compare with a validation; ValueError when it has no error of that name."""
        if monitor not in validation:
            raise ValueError(
                f"monitor: the validation reports no {monitor!r}; known: {', '.join(sorted(validation)) or 'nothing'}"
            )
        error = float(validation[monitor]) * (-1 if monitor.lower().endswith("r2") else 1)
        if error < self.error:
            self.error, self.step, self.waited = error, step, 0
            self.weights = {k: v.detach().clone() for k, v in average.state_dict().items()}
        else:
            self.waited += 1


def _optimiser(parameters, settings: LoopSettings):
    if settings.optimiser == "soap":
        return SOAP(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.99))


class _Run:
    """A stage between two of its steps: what a checkpoint holds, and how one step leads to the next.

    Parameters
    ----------
    module : torch.nn.Module
    settings : LoopSettings
    stage : str
    folder : Path
        Run directory; `<stage>.pt` is the checkpoint, `<stage>.jsonl` the log.
    """

    def __init__(self, module, settings, stage, folder):
        self.module, self.settings, self.stage = module, settings, stage
        self.checkpoint, self.log = folder / f"{stage}.pt", folder / f"{stage}.jsonl"
        self.trained = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = _optimiser(self.trained, settings)
        self.average = copy.deepcopy(module)
        self.step, self.seconds, self.running, self.best, self.skipped = 0, 0.0, {}, Best(), 0

    @property
    def done(self):
        """Whether all steps are made, or `patience` is used up."""
        return self.step >= self.settings.steps or 0 < self.settings.patience <= self.best.waited

    def state(self):
        """Everything that the next step depends on."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "running": self.running,
            "best": vars(self.best),
        }

    def restore(self, state):
        """Go on from a state."""
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.running = state["step"], state["seconds"], state["running"]
        self.best = Best(**state.get("best", {}))

    def begin(self, resume):
        """Read the checkpoint of an interrupted run, or make way for a new log."""
        if resume and self.checkpoint.exists():
            load_checkpoint(self.checkpoint, self.restore)
            if self.log.exists():
                _cut_log(self.log, self.step)
        elif self.log.exists():
            self.log.unlink()

    def take_step(self, loss_of, batch):
        """One step of the optimiser and of the averaged weights; ValueError after many without a finite gradient."""
        settings, start = self.settings, time.monotonic()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(self.step)
        self.module.train()
        # the random numbers of a step depend on its number (and the process) alone, as after a resume
        torch.manual_seed(1_000_003 * settings.seed + self.step + (distributed.rank() << 40))
        if settings.noise:
            self.module.noise = settings.noise * settings.rate(self.step) / settings.lr
        self.optimiser.zero_grad()
        loss, terms = distributed.add_up(self.trained, *_backward(loss_of, batch))
        norm = torch.nn.utils.clip_grad_norm_(self.trained, settings.clip)
        self.skipped = 0 if torch.isfinite(norm) else self.skipped + 1
        if not self.skipped:
            self.optimiser.step()
        elif self.skipped >= MAX_SKIPPED:
            distributed.refuse(
                ValueError(
                    f"stage {self.stage}: the gradient has not been finite for {self.skipped} steps up to step "
                    f"{self.step + 1} (loss {loss:g}): lower lr ({settings.lr:g}) or look at the data"
                )
            )
        self.step += 1
        _follow(self.average, self.module, min(settings.average, (1 + self.step) / (10 + self.step)))
        for key, value in {"count": 1, "loss": loss, **terms}.items():
            self.running[key] = self.running.get(key, 0.0) + float(value)
        self.seconds += time.monotonic() - start

    def row(self, validate, steps_per_epoch):
        """A row of the log: mean errors since the last one, and those of the averaged weights in validation."""
        settings, count = self.settings, self.running.pop("count")
        row = {
            "stage": self.stage,
            "step": self.step,
            "epoch": round(self.step / steps_per_epoch, 2),
            "seconds": round(self.seconds, 1),
            "lr": settings.rate(self.step),
            "train": {k: v / count for k, v in self.running.items()},
        }
        self.running = {}
        if validate:
            row["validation"] = distributed.together(lambda: validate(self.average.eval()), only_first=True)
        if settings.monitor:
            look = lambda: self.best.look(row["validation"], settings.monitor, self.step, self.average)
            distributed.together(look)
            row |= {"best_step": self.best.step, "stopped": 0 < settings.patience <= self.best.waited}
        return row


def fit(
    module, n_samples, loss_of, settings: LoopSettings, folder, stage: str, validate=None, report=None, resume=False
):
    """Train `module` in place; on return it holds the averaged weights: the last ones, or with a monitor the best.

    With several processes (see `distributed`) each computes its share of every batch; they hold the same weights all
    the time. Validation, log and checkpoints are the first one's. The state before the first step and after a resume is
    that of the first one too, so that the others need not see its folder.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters with requires_grad are trained.
    n_samples : int
    loss_of : callable
        List of sample indices -> loss tensor, dict of float. With several processes each calls
        `loss_of(share, batch)`, and the results of all shares add up to those of the batch.
    settings : LoopSettings
    folder : path
        Run directory; `<stage>.pt` is the checkpoint, `<stage>.jsonl` the log.
    stage : str
    validate : callable, optional
        Module -> dict of float, called with the averaged weights.
    report : callable, optional
        Called with a dict after every logged epoch and every step (key "step").
    resume : bool
        Go on from the checkpoint, where there is one.

    Raises
    ------
    ValueError
        A damaged checkpoint; weights that are not finite in the end; MAX_SKIPPED steps in a row whose gradient
        is not finite (single ones are left out); a monitor that the validation does not know, or without
        validation.
    """
    if settings.monitor and not validate:
        raise ValueError(
            f"stage {stage}: monitor {settings.monitor!r} needs configurations held out for validation that "
            "the stage can use"
        )
    first, run = distributed.rank() == 0, _Run(module, settings, stage, Path(folder))
    report = report if first else None
    distributed.together(lambda: run.begin(resume), only_first=True)
    if distributed.size() > 1:
        run.restore(distributed.broadcast(run.state()))
    steps_per_epoch, last_save = len(batches(n_samples, settings.batch, 0, settings.seed)), time.monotonic()
    while not run.done:
        epoch, position = divmod(run.step, steps_per_epoch)
        run.take_step(loss_of, batches(n_samples, settings.batch, epoch, settings.seed)[position])
        if report:
            report({"stage": stage, "step": run.step})
        if run.step % (settings.validate_every * steps_per_epoch) == 0 or run.step >= settings.steps:
            row = run.row(validate, steps_per_epoch)
            if first:
                with open(run.log, "a") as file:
                    file.write(json.dumps(row) + "\n")
            if report:
                report(row)
        if first and not run.done and time.monotonic() - last_save > settings.checkpoint_every:
            save_atomically(run.state(), run.checkpoint)
            last_save = time.monotonic()
    weights = run.best.weights or run.average.state_dict()
    wrong = next((k for k, v in weights.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if wrong is not None or run.skipped > MAX_SKIPPED / 10:  # also huge weights, whose energies are not finite
        what = "the gradient has not been finite for the last steps" if wrong is None else f"{wrong} is not finite"
        distributed.refuse(
            ValueError(
                f"stage {stage}: {what} up to step {run.step}: lower lr ({settings.lr:g}) or "
                f"weight_decay ({settings.weight_decay:g})"
            )
        )
    if first:
        save_atomically(run.state(), run.checkpoint)
    module.load_state_dict(weights)
    return module.eval()


def _backward(loss_of, batch):
    """Gradients of this process's share of a batch; its loss and terms as numbers."""
    if distributed.size() == 1:
        loss, terms = loss_of(batch)
    else:
        share = distributed.share(batch)
        if not share:  # more processes than samples
            return 0.0, {}
        loss, terms = loss_of(share, batch)
    loss.backward()
    return float(loss.detach()), terms


@torch.no_grad()
def _follow(average, module, decay):
    """average <- decay average + (1 - decay) module; what is no floating-point number is copied."""
    for a, b in zip(average.state_dict().values(), module.state_dict().values()):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)
        else:
            a.copy_(b)
