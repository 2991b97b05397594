"""One training loop for every stage: batches, AdamW, averaged weights, checkpoints that survive a kill."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch


#: After so many steps in a row without a finite gradient a stage stops: nothing is learned any more.
MAX_SKIPPED = 50


@dataclass
class LoopSettings:
    """Settings of one stage.

    steps : optimiser steps; lr, lr_final : start and end of a cosine schedule; warmup : steps of linear rise;
    average : decay of the exponential average of the weights, which is what is validated and kept;
    validate_every : epochs; checkpoint_every : seconds.
    noise : standard deviation of what a module with an attribute `noise` adds to its hidden features while training;
        it falls with the learning rate.
    """

    steps: int = 5000
    batch: int = 8
    lr: float = 5e-3
    lr_final: float = 1e-5
    warmup: int = 100
    weight_decay: float = 1e-5
    clip: float = 1.0
    average: float = 0.995
    validate_every: int = 10
    checkpoint_every: float = 60.0
    seed: int = 1
    noise: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate at `step`: linear warm-up, then a half cosine from lr to lr_final."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        x = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.lr_final + 0.5 * (self.lr - self.lr_final) * (1 + math.cos(math.pi * min(x, 1.0)))


def batches(n_samples: int, size: int, epoch: int, seed: int):
    """Index batches of one epoch; a function of (seed, epoch) alone, so that a resumed run sees the same ones."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(n_samples, generator=generator).tolist()
    n_batches = max(round(n_samples / size), 1)
    return [order[k::n_batches] for k in range(n_batches)]


def save_atomically(state, path: Path) -> None:
    """torch.save through a temporary file, so that a kill never leaves half a checkpoint."""
    temporary = path.with_suffix(path.suffix + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, use):
    """`use(what torch.save wrote into path)`; ValueError naming the file where it is damaged or another run's."""
    try:
        return use(torch.load(path, weights_only=True))
    except Exception as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])[:200] or type(error).__name__
        raise ValueError(f"{path}: not a readable checkpoint of this run ({reason}); without that file the stage starts anew") from None


def _earlier_rows(log, step):
    """Lines of a log up to `step`; what a kill left half written, or was logged after the checkpoint, is dropped."""
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                yield line
        except (json.JSONDecodeError, KeyError, TypeError):
            continue


def fit(module, n_samples, loss_of, settings: LoopSettings, folder, stage: str, validate=None, report=None,
        resume=False):
    """Train `module` in place; on return it holds the averaged weights.

    Parameters
    ----------
    module : torch.nn.Module whose parameters with requires_grad are trained.
    n_samples : int
    loss_of : callable(list of sample indices) -> (loss tensor, dict of float)
    folder : run directory; `<stage>.pt` is the checkpoint, `<stage>.jsonl` the log.
    validate : callable(module) -> dict of float, called with the averaged weights.
    report : callable(dict), called after every logged epoch and every step (key "step").

    Raises
    ------
    ValueError
        A damaged checkpoint; MAX_SKIPPED steps in a row whose gradient is not finite (single ones are left out).
    """
    folder = Path(folder)
    checkpoint, log = folder / f"{stage}.pt", folder / f"{stage}.jsonl"
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.99))
    average = copy.deepcopy(module)
    step, seconds, running = 0, 0.0, {}
    if resume and checkpoint.exists():
        def restore(state):
            module.load_state_dict(state["module"])
            average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            return state["step"], state["seconds"], state["running"]

        step, seconds, running = load_checkpoint(checkpoint, restore)
        if log.exists():
            kept = list(_earlier_rows(log, step))
            log.write_text("".join(line + "\n" for line in kept))
    elif log.exists():
        log.unlink()

    def save():
        save_atomically({"module": module.state_dict(), "average": average.state_dict(),
                         "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds, "running": running},
                        checkpoint)

    steps_per_epoch = len(batches(n_samples, settings.batch, 0, settings.seed))
    last_save, skipped = time.monotonic(), 0
    while step < settings.steps:
        epoch, position = divmod(step, steps_per_epoch)
        start = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(step)
        module.train()
        if settings.noise:  # the random numbers of a step depend on its number alone, as after a resume
            torch.manual_seed(1_000_003 * settings.seed + step)
            module.noise = settings.noise * settings.rate(step) / settings.lr
        loss, terms = loss_of(batches(n_samples, settings.batch, epoch, settings.seed)[position])
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        skipped = 0 if torch.isfinite(norm) else skipped + 1
        if not skipped:
            optimiser.step()
        elif skipped >= MAX_SKIPPED:
            raise ValueError(f"stage {stage}: the gradient has not been finite for {skipped} steps up to step {step + 1} "
                             f"(loss {float(loss.detach()):g}): lower lr ({settings.lr:g}) or look at the data")
        step += 1
        decay = min(settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(average.state_dict().values(), module.state_dict().values()):
                if a.is_floating_point():
                    a.lerp_(b, 1 - decay)
                else:
                    a.copy_(b)
        for key, value in {"count": 1, "loss": float(loss.detach()), **terms}.items():
            running[key] = running.get(key, 0.0) + value
        seconds += time.monotonic() - start
        if report:
            report({"stage": stage, "step": step})
        if step % (settings.validate_every * steps_per_epoch) == 0 or step >= settings.steps:
            count = running.pop("count")
            row = {"stage": stage, "step": step, "epoch": round(step / steps_per_epoch, 2), "seconds": round(seconds, 1),
                   "lr": settings.rate(step), "train": {k: v / count for k, v in running.items()}}
            running = {}
            if validate:
                row["validation"] = validate(average.eval())
            with open(log, "a") as file:
                file.write(json.dumps(row) + "\n")
            if report:
                report(row)
        if time.monotonic() - last_save > settings.checkpoint_every:
            save()
            last_save = time.monotonic()
    save()
    module.load_state_dict(average.state_dict())
    return module.eval()
