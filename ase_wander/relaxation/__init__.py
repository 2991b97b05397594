"""Relaxation of stacks of layers: springs that know what is stiff and what is soft, and a criterion from them."""

from __future__ import annotations

from importlib import import_module

_LAZY = {
    "LayerLBFGS": "optimizer",
    "OPTIMIZERS": "optimizer",
    "Relaxation": "criterion",
    "Springs": "springs",
    "relax": "driver",
    "what_is_left": "criterion",
}
__all__ = sorted(_LAZY)


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
