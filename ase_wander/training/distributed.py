"""Several processes that train one model: who writes, who takes which samples, how gradients and states travel.

torchrun starts the processes. Each holds the whole data and takes its share of every batch; the loss of a share is its
part of the loss of the batch (weighted means divide by sums over the batch), so gradients are *added* over processes.
torch's DistributedDataParallel would average them instead, and it does not know of gradients that are taken inside the
forward pass, as forces are. The first process alone validates, reports and writes. All functions do the obvious in a
single process.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

#: How long a process waits for the others: the first one validates meanwhile, or prepares its samples on a slower
#: machine.
PATIENCE = timedelta(hours=2)

#: Seconds that processes without an error message wait for the one that has it.
LINGER = 5.0


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def processes():
    """Join the processes that torchrun has started, and leave them at the end.

    Nothing without torchrun, or within itself.
    """
    if dist.is_initialized() or "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", 1)) < 2:
        yield
        return
    store, number, count = next(dist.rendezvous("env://", timeout=PATIENCE))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(count):
        # torchrun keeps its store when it starts processes again: without a name of their own they could find the
        # addresses of the dead. Several machines do not count their restarts alike.
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=number,
        world_size=count,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process: with "cuda" the GPU of its number on its machine."""
    if device == "cuda" and size() > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    return device


def share(batch: list) -> list:
    """Share of a batch that this process computes; empty when there are more processes than samples."""
    return batch[rank() :: size()]


def gather(value) -> list:
    """The values of all processes, in their order."""
    if size() == 1:
        return [value]
    values = [None] * size()
    dist.all_gather_object(values, value)
    return values


def together(task, only_first=False):
    """`task()` in every process, or in the first one alone, whose result all of them get.

    An error in any process ends all of them: the first one raises it (ValueError naming the process where it is not its
    own), the others exit silently, so that bad input is reported in one line.
    """
    result = error = None
    if rank() == 0 or not only_first:
        try:
            result = task()
        except Exception as raised:
            if size() == 1:
                raise
            error = raised
    messages = gather(error and (" ".join(str(error).split()) or type(error).__name__))
    if any(messages):
        failed = next(k for k, message in enumerate(messages) if message)
        refuse(error or ValueError(f"process {failed}: {messages[failed]}"))
    return broadcast(result) if only_first else result


def refuse(error: Exception):
    """End all processes, which have all come here: the first one raises `error`, the others exit silently."""
    if rank() == 0:
        raise error
    time.sleep(LINGER)  # torchrun ends the whole group when one leaves: the first must have spoken
    raise SystemExit(2)


def broadcast(value):
    """The value of the first process; tensors in it arrive on the CPU."""
    if size() == 1:
        return value
    values = [_to_cpu(value)]
    dist.broadcast_object_list(values)
    return values[0]


def _to_cpu(value):
    if torch.is_tensor(value):
        return value.cpu()
    if isinstance(value, dict):
        return {k: _to_cpu(v) for k, v in value.items()}
    return type(value)(map(_to_cpu, value)) if isinstance(value, (list, tuple)) else value


def add_up(parameters: list, loss: float, terms: dict) -> tuple[float, dict]:
    """Add gradients (in place), losses and terms of all processes, with the same bits everywhere.

    A parameter keeps no gradient (None) where no process has one, so that the optimiser leaves it alone as in one
    process.
    """
    if size() == 1:
        return loss, terms
    found = gather((loss, terms, [p.grad is not None for p in parameters]))
    used = [p for k, p in enumerate(parameters) if any(has[k] for _, _, has in found)]
    if used:
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used])
        dist.all_reduce(flat)  # sum
        for p, gradient in zip(used, flat.split([p.numel() for p in used])):
            p.grad = gradient.view_as(p).to(p.dtype)
    total = {}
    for _, of_share, _ in found:
        for key, value in of_share.items():
            total[key] = total.get(key, 0.0) + value
    return sum(of_share for of_share, _, _ in found), total
