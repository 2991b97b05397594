"""One training loop for every stage: batches, AdamW, averaged weights, checkpoints that survive a kill."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checks import is_number
from ..files import atomic_write
from ..schema import integer, number, setting
from . import distributed

#: After so many steps in a row without a finite gradient a stage stops: nothing is learned any more.
MAX_SKIPPED = 50


#: Random numbers of a step are seeded by 1,000,003 x seed + step, which must fit into 63 bits.
LARGEST_SEED = 2**32 - 1


def is_share(value):
    """Check of a share above 0, up to 1."""
    return None if is_number(value) and 0 < value <= 1 else "is not a share above 0, up to 1"


def is_name_of_error(value):
    """Check of `monitor`; whether the validation knows the name depends on the stage."""
    return None if isinstance(value, str) else "is not the name of a validation error"


@dataclass
class LoopSettings:
    """Settings of one stage.

    steps : optimiser steps; lr, lr_final : start and end of a cosine schedule; warmup : steps of linear rise;
    average : decay of the exponential average of the weights, which is what is validated and kept;
    validate_every : epochs; checkpoint_every : seconds.
    noise : standard deviation of what a module with an attribute `noise` adds to its hidden features while training;
        it falls with the learning rate. Every process of several draws its own.
    monitor : name of a validation error; the averaged weights with the lowest one (highest, for R2) are kept instead of
        the
        last ones.
    patience : stop after so many validations in a row without a better one; 0: never.
    pairs : share of the pairs of every configuration, drawn anew at every step, whose hoppings a stage of the
        Hamiltonian without
        bands looks at. There are hundreds per atom, most of them far and alike: the steps get cheaper and hardly worse.
    """

    steps: int = setting(integer(), 5000)
    batch: int = setting(integer(), 8)
    lr: float = setting(number(above=0), 5e-3)
    lr_final: float = setting(number(), 1e-5)
    warmup: int = setting(integer(0), 100)
    weight_decay: float = setting(number(), 1e-5)
    clip: float = setting(number(above=0), 1.0)
    average: float = setting(number(below=1), 0.995)
    validate_every: int = setting(integer(), 10)
    checkpoint_every: float = setting(number(), 60.0)
    seed: int = setting(integer(0, LARGEST_SEED), 1)
    noise: float = setting(number(), 0.0)
    monitor: str = setting(is_name_of_error, "")
    patience: int = setting(integer(0), 0)
    pairs: float = setting(is_share, 1.0)

    def rate(self, step: int) -> float:
        """Learning rate at `step`: linear warm-up, then a half cosine from lr to lr_final."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        x = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.lr_final + 0.5 * (self.lr - self.lr_final) * (1 + math.cos(math.pi * min(x, 1.0)))


def batches(n_samples: int, size: int, epoch: int, seed: int):
    """Index batches of one epoch; a function of (seed, epoch) alone, so that a resumed run sees the same ones."""
    generator = torch.Generator("cpu").manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(n_samples, generator=generator, device="cpu").tolist()
    n_batches = max(round(n_samples / size), 1)
    return [order[k::n_batches] for k in range(n_batches)]


def save_atomically(state, path: Path) -> None:
    """torch.save through a temporary file, so that a kill never leaves half a checkpoint."""
    atomic_write(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, use):
    """`use(what torch.save wrote into path)`; ValueError naming the file where it is damaged or another run's."""
    try:
        return use(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])[:200] or type(error).__name__
        raise ValueError(
            f"{path}: not a readable checkpoint of this run ({reason}); without that file the stage starts anew"
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


def fit(
    module, n_samples, loss_of, settings: LoopSettings, folder, stage: str, validate=None, report=None, resume=False
):
    """Train `module` in place; on return it holds the averaged weights: the last ones, or with a monitor the best.

    Of several processes (see `distributed`) each computes its share of every batch; they hold the same weights all the
    time. Validation, log and checkpoints are the first one's. The state before the first step and after a resume is
    that of
    the first one too, so that the others need not see its folder.

    Parameters
    ----------
    module : torch.nn.Module whose parameters with requires_grad are trained.
    n_samples : int
    loss_of : callable(list of sample indices) -> (loss tensor, dict of float). Of several processes each calls
        `loss_of(share, batch)`, and the results of all shares add up to those of the batch.
    folder : run directory; `<stage>.pt` is the checkpoint, `<stage>.jsonl` the log.
    validate : callable(module) -> dict of float, called with the averaged weights.
    report : callable(dict), called after every logged epoch and every step (key "step").

    Raises
    ------
    ValueError
        A damaged checkpoint; MAX_SKIPPED steps in a row whose gradient is not finite (single ones are left out); a
        monitor that the validation does not know, or without validation.
    """
    if settings.monitor and not validate:
        raise ValueError(
            f"stage {stage}: monitor {settings.monitor!r} needs configurations held out for validation that "
            "the stage can use"
        )
    folder, first = Path(folder), distributed.rank() == 0
    checkpoint, log = folder / f"{stage}.pt", folder / f"{stage}.jsonl"
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.99))
    average = copy.deepcopy(module)
    step, seconds, running, best = 0, 0.0, {}, Best()

    def state():
        return {
            "module": module.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": seconds,
            "running": running,
            "best": vars(best),
        }

    def restore(state):
        nonlocal step, seconds, running, best
        module.load_state_dict(state["module"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, seconds, running, best = state["step"], state["seconds"], state["running"], Best(**state.get("best", {}))

    def begin():
        if resume and checkpoint.exists():
            load_checkpoint(checkpoint, restore)
            if log.exists():
                _cut_log(log, step)
        elif log.exists():
            log.unlink()

    distributed.together(begin, only_first=True)
    if distributed.size() > 1:
        restore(distributed.broadcast(state()))
    steps_per_epoch = len(batches(n_samples, settings.batch, 0, settings.seed))
    last_save, skipped = time.monotonic(), 0
    done = lambda: step >= settings.steps or 0 < settings.patience <= best.waited
    while not done():
        epoch, position = divmod(step, steps_per_epoch)
        start = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(step)
        module.train()
        # the random numbers of a step depend on its number (and the process) alone, as after a resume
        torch.manual_seed(1_000_003 * settings.seed + step + (distributed.rank() << 40))
        if settings.noise:
            module.noise = settings.noise * settings.rate(step) / settings.lr
        batch = batches(n_samples, settings.batch, epoch, settings.seed)[position]
        optimiser.zero_grad()
        loss, terms = _backward(loss_of, batch)
        loss, terms = distributed.add_up(trained, loss, terms)
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        skipped = 0 if torch.isfinite(norm) else skipped + 1
        if not skipped:
            optimiser.step()
        elif skipped >= MAX_SKIPPED:
            distributed.refuse(
                ValueError(
                    f"stage {stage}: the gradient has not been finite for {skipped} steps up to step "
                    f"{step + 1} (loss {loss:g}): lower lr ({settings.lr:g}) or look at the data"
                )
            )
        step += 1
        _follow(average, module, min(settings.average, (1 + step) / (10 + step)))
        for key, value in {"count": 1, "loss": loss, **terms}.items():
            running[key] = running.get(key, 0.0) + float(value)
        seconds += time.monotonic() - start
        if report and first:
            report({"stage": stage, "step": step})
        if step % (settings.validate_every * steps_per_epoch) == 0 or step >= settings.steps:
            count = running.pop("count")
            row = {
                "stage": stage,
                "step": step,
                "epoch": round(step / steps_per_epoch, 2),
                "seconds": round(seconds, 1),
                "lr": settings.rate(step),
                "train": {k: v / count for k, v in running.items()},
            }
            running = {}
            if validate:
                row["validation"] = distributed.together(lambda: validate(average.eval()), only_first=True)
            if settings.monitor:
                distributed.together(lambda: best.look(row["validation"], settings.monitor, step, average))
                row |= {"best_step": best.step, "stopped": 0 < settings.patience <= best.waited}
            if first:
                with open(log, "a") as file:
                    file.write(json.dumps(row) + "\n")
            if report and first:
                report(row)
        if first and not done() and time.monotonic() - last_save > settings.checkpoint_every:
            save_atomically(state(), checkpoint)
            last_save = time.monotonic()
    if first:
        save_atomically(state(), checkpoint)
    module.load_state_dict(best.weights or average.state_dict())
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
