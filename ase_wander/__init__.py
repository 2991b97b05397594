"""One loaded model relaxes a moiré cell and gives its bands: an ASE calculator for layered materials."""

from importlib import import_module

from ._moved import install

__version__ = "0.1.0"

_LAZY = {
    "WanderCalculator": "calculator",
    "DomainWarning": "calculator",
    "load_model": "loading",
    "list_models": "catalogue",
    "WannierHamiltonian": "electronic.hamiltonian",
    "load_published": "published.model",
    "relax": "relaxation.driver",
}
__all__ = sorted(_LAZY)

install()


def __getattr__(name):  # torch is imported when first needed, so that `ase-wander build` starts at once
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(list(globals()) + __all__)
