"""Files of the published WANDER: the authors' download, and our own safetensors layout."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..files import atomic_write
from ..model.files import check_seal, write_config
from .environment import Template
from .networks import NETWORKS, published_networks

#: Files of a model folder.
WEIGHTS, CONFIG, CARD = "weights.safetensors", "config.json", "card.md"

_TEMPLATE_FILES = {"metal": "part1", "inner": "part2", "outer": "part3"}
_LAYERS = {r"^bn\d+\.": "norm.", r"^mc(\d)\.": r"linear\1."}


def download_files():
    """Path of every network inside the authors' download, relative to its root, by our name."""
    out = {"force_m": "force_model/Mo", "force_s": "force_model/S"}
    for name in NETWORKS:
        if name.startswith("self"):
            out[name] = f"hamiltonian_model/self/{name}"
        elif name.startswith("intra"):
            _, kind, reach = name.split("_")
            out[name] = f"hamiltonian_model/intra_{reach}/{kind}"
        elif name.startswith("inter"):
            out[name] = f"hamiltonian_model/inter/{name.removeprefix('inter_')}"
    return {name: f"{folder}/model_best.pth.tar" for name, folder in out.items()}


def read_download(path):
    """Networks and template of the authors' download in its original layout.

    Parameters
    ----------
    path : path-like
        Folder that holds `force_input`, `force_model` and `hamiltonian_model`.

    Returns
    -------
    networks : torch.nn.ModuleDict, in float32
    template : Template

    Raises
    ------
    ValueError
        When a file is missing, is no weight file or does not fit its network, naming the file.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"{root} is not a folder: give the root of the published example (it holds force_model, hamiltonian_model)"
        )
    folder = root / "force_input" / "mo_input"
    template = Template.from_steps(**{name: _read_vectors(folder / file) for name, file in _TEMPLATE_FILES.items()})
    networks = published_networks()
    for name, relative in download_files().items():
        file = root / relative
        if not file.is_file():
            raise ValueError(f"{file} is missing: it holds the network {name}")
        try:
            # weights_only: the archive is a pickle, and nothing in it may run.
            state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
            networks[name].load_state_dict({_rename(key): value for key, value in state.items()})
        except (RuntimeError, KeyError, TypeError, EOFError, OSError) as error:
            raise ValueError(f"{file} does not hold the network {name}: {str(error).splitlines()[0]}") from error
        except Exception as error:  # torch raises pickle.UnpicklingError, and zipfile's errors, as they come
            raise ValueError(f"{file} is no weight file: {str(error).splitlines()[0]}") from error
    return networks.eval(), template


def _rename(key):
    for pattern, ours in _LAYERS.items():
        key = re.sub(pattern, ours, key)
    return key


def _read_vectors(file):
    if not file.is_file():
        raise ValueError(f"{file} is missing: it holds the template vectors of the environments")
    rows = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError:
            raise ValueError(f"{file}, line {number}: {line.strip()!r} is no vector") from None
        if len(rows[-1]) != 3:
            raise ValueError(f"{file}, line {number}: {line.strip()!r} is no vector of three numbers")
    return np.array(rows)


def state_tensors(networks, template):
    """Everything a model folder stores as tensors, by name: the networks' state and the template's vectors."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in networks.state_dict().items()}
    for name in _TEMPLATE_FILES:
        tensors[f"template.{name}"] = torch.as_tensor(getattr(template, name).steps, dtype=torch.float64).contiguous()
    return tensors


def digest(networks, template):
    """sha256 of all names, types, shapes and values, the same on every machine."""
    h = hashlib.sha256()
    for key, value in sorted(state_tensors(networks, template).items()):
        array = value.numpy()
        h.update(f"{key} {array.dtype.str} {array.shape}".encode())
        h.update(array.tobytes())
    return h.hexdigest()


def write_folder(path, networks, template, config, card):
    """Write weights.safetensors, card.md and config.json, bound to the weights, into the folder `path` (made when
    missing)."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(state_tensors(networks, template), metadata={"format": "ase_wander published"})
    atomic_write(folder / WEIGHTS, weights)
    atomic_write(folder / CARD, card)
    write_config(folder, config, config["digest"])


def read_folder(path):
    """Networks, template and configuration of a model folder written by `write_folder`.

    Raises
    ------
    ValueError
        When a file is missing or damaged, or holds another kind of model, naming it.
    """
    folder = Path(path).expanduser()
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing: {folder} is no model folder")
    try:
        config = json.loads((folder / CONFIG).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / CONFIG}, line {error.lineno}: {error.msg}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} holds no mapping")
    if config.get("kind") != "published":
        raise ValueError(f"{folder / CONFIG} describes a model of kind {config.get('kind')!r}, not 'published'")
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged: {error}") from None
    try:
        steps = {name: tensors.pop(f"template.{name}").numpy() for name in _TEMPLATE_FILES}
        template = Template.from_steps(**steps, parents=config["parents"])
        networks = published_networks()
        networks.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit the published networks: {error}") from None
    found = digest(networks, template)
    if config.get("digest") not in (None, found):
        raise ValueError(
            f"{folder / WEIGHTS} has the hash {found[:12]}, {CONFIG} says {config['digest'][:12]}: the weights were "
            "changed"
        )
    check_seal(folder, config, found)
    return networks.eval(), template, config
