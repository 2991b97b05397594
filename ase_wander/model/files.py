"""Files of a model folder: which folders are models, configuration, weights and fitted uncertainty bound to them by hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from ..catalogue import CONFIG
from ..nn.uncertainty import Trust

WEIGHTS = "weights.safetensors"

#: What `evaluation.uncertainty.fit_trust` found out about the weights: distances to the training data and their meaning.
TRUST = "trust.safetensors"


def read_config(folder: Path) -> dict:
    """Configuration in a model folder, {} where its file holds no mapping; ValueError naming a file that is no JSON."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / CONFIG}: not readable as JSON ({error})") from None
    return config if isinstance(config, dict) else {}


def read_weights(folder: Path, config: dict) -> tuple[bytes, str]:
    """Contents of the weights file and their SHA-256; ValueError naming the file when it is not the one that `config` means."""
    file, expected = folder / WEIGHTS, config.get("sha256")
    if not isinstance(expected, (str, type(None))):
        raise ValueError(f"{folder / CONFIG}: sha256: {expected!r} is not text")
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if expected not in (None, digest):
        raise ValueError(
            f"{file}: damaged or foreign, its SHA-256 {digest[:12]}... is not that of {CONFIG} ({expected[:12]}...)"
        )
    return data, digest


def trust_bytes(trust: Trust, digest: str) -> bytes:
    """A fitted Trust in float32, bound to the weights of hash `digest` by an array of its bytes."""
    arrays = {k: torch.tensor(v, dtype=torch.float32).contiguous() for k, v in trust.arrays().items()}
    return save_safetensors({**arrays, "weights_sha256": torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8)})


def load_trust(file: Path, digest: str) -> Trust | None:
    """What `trust_bytes` wrote, None where there is none; ValueError naming the file when it is damaged or of other weights."""
    if not file.is_file():
        return None
    try:
        arrays = load_safetensors(file.read_bytes())
        of = bytes(arrays.pop("weights_sha256").tolist()).hex()
        trust = Trust(**{k: v.numpy() for k, v in arrays.items()})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: not a fitted uncertainty ({' '.join(str(error).split())})") from None
    if of != digest:
        raise ValueError(
            f"{file}: was fitted to other weights ({of[:12]}...); remove it, or fit it anew (evaluation.uncertainty.fit_trust)"
        )
    return trust
