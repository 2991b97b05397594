"""Where training computes: model and samples go to the device once, before the first step."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy

import torch


def check_device(name: str) -> None:
    """ValueError unless torch can compute on the device of that name."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"torch cannot compute on {name!r} here ({str(error).splitlines()[0].split('. ')[0]})"
        ) from None


@contextmanager
def computing_on(device: str, model, *sample_sets):
    """Model and samples on `device` inside the block, where tensors without a device are made there too.

    Then back again.
    """
    if torch.device(device).type == "cpu":
        yield
        return
    model.to(device)
    for samples in sample_sets:
        if samples is not None:
            samples.samples = moved(samples.samples, device)
    with torch.device(device):
        yield
    model.to("cpu")


def moved(value, device):
    """A copy of nested containers and objects with all tensors on `device`; what holds no tensor stays what it is."""
    if torch.is_tensor(value):
        return value.to(device)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(v, device) for v in value)
    if type(value).__module__.startswith(__name__.split(".")[0]) and hasattr(value, "__dict__"):
        out = copy(value)
        out.__dict__.update({k: moved(v, device) for k, v in vars(value).items()})
        return out
    return value
