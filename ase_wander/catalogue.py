"""Where trained models live: in the wheel, in a source checkout, in folders that the user adds."""

from __future__ import annotations

import os
from pathlib import Path

#: Folders of the user's own models, separated as in PATH, searched first.
ENVIRONMENT_VARIABLE = "ASE_WANDER_MODELS"

#: A folder is a model when it holds this file.
CONFIG = "config.json"


def model_directories() -> list[Path]:
    """Existing folders that hold models, in the order of search.

    First those named in ASE_WANDER_MODELS (a folder that does not exist is refused, since it
    is more likely misspelt than meant), then the models shipped with the package: `models/` inside the
    installed package, or beside it in a source checkout.

    Raises
    ------
    ValueError
        For a folder in ASE_WANDER_MODELS that does not exist.
    """
    directories = []
    for entry in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep):
        if not entry:
            continue
        directory = Path(entry).expanduser()
        if not directory.is_dir():
            raise ValueError(f"{ENVIRONMENT_VARIABLE} names a folder that does not exist: {entry}")
        directories.append(directory)
    package = Path(__file__).resolve().parent
    shipped = [package / "models"]
    if (package.parent / "setup.cfg").is_file():  # a checkout, not some other package's site-packages/models
        shipped.append(package.parent / "models")
    return directories + [directory for directory in shipped if directory.is_dir()]


def find_models() -> dict[str, Path]:
    """Folder of every known model by name, sorted by name; of two of one name the first found counts."""
    found: dict[str, Path] = {}
    for directory in model_directories():
        for config in directory.glob(f"*/{CONFIG}"):
            found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def list_models() -> list[str]:
    """Names of the models that `load_model` finds."""
    return list(find_models())


def model_folder(model) -> Path:
    """Folder of a model given by name or path; ValueError that lists the known names."""
    known = find_models()
    if not isinstance(model, (str, os.PathLike)):
        raise ValueError(
            f"model is {model!r}; it must be a name, a folder or a loaded model; known models: {', '.join(known)}"
        )
    if str(model) in known:
        return known[str(model)]
    folder = Path(model)
    if (folder / CONFIG).is_file():
        return folder
    names = ", ".join(known) or "none installed"
    raise ValueError(f"no model named {str(model)!r} and no folder with a {CONFIG} at that path; known models: {names}")


def reference_data(model) -> Path:
    """Folder `data` of a model given by name or path: what it was trained on and is judged by.

    Raises
    ------
    ValueError
        Where the model has none: the wheel goes without, a checkout has it.
    """
    folder = model_folder(model) / "data"
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder; the reference data of shipped models are in the repository, not in the wheel"
        )
    return folder
