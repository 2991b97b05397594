"""One loaded model relaxes a moiré cell and gives its bands: an ASE calculator for layered materials."""

import logging
from importlib import import_module
from pathlib import Path

from ._moved import install

__version__ = "0.1.0"

# Silent unless the user asks: logging.basicConfig(level=logging.INFO) shows what is loaded and computed.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_LAZY = {
    "WanderCalculator": "calculator",
    "DomainWarning": "calculator",
    "load_model": "loading",
    "list_models": "catalogue",
    "WannierHamiltonian": "electronic.hamiltonian",
    "load_published": "published.example",
    "relax": "relaxation.driver",
}
__all__ = sorted(_LAZY)
_FOLDER = Path(__file__).resolve().parent

install()


def __getattr__(name):  # torch is imported when first needed, so that `ase-wander build` starts at once
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    if not name.startswith("_") and ((_FOLDER / name / "__init__.py").is_file() or (_FOLDER / f"{name}.py").is_file()):
        return import_module(f".{name}", __name__)  # `ase_wander.moire` without a line of its own to import it
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(list(globals()) + __all__)
