"""Files of a model folder: which folders are models, configuration, weights and fitted uncertainty bound to them by
hash."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from ..catalogue import CONFIG
from ..files import atomic_write
from ..nn.uncertainty import FittedUncertainty

WEIGHTS = "weights.safetensors"

#: What `evaluation.uncertainty.fit_uncertainty` found out about the weights: distances to the training data and their
#: meaning.
TRUST = "trust.safetensors"


#: Key of config.json: hash of its other keys together with the weights and the uncertainty. Folders of version 0.1
#: have none.
SEAL = "folder_sha256"

#: A config.json beyond this size (bytes) is none.
MAX_CONFIG = 10_000_000


def read_config(folder: Path) -> dict:
    """Configuration in a model folder, {} where its file holds no mapping; ValueError naming a file that is no JSON."""
    file = folder / CONFIG
    try:
        if file.stat().st_size > MAX_CONFIG:
            raise ValueError(f"{file.stat().st_size} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # of JSON and of UTF-8 too
        raise ValueError(f"{file}: not readable as JSON ({' '.join(str(error).split())[:300]})") from None
    return config if isinstance(config, dict) else {}


def seal(config: dict, weights: str, trust: bytes | None) -> str:
    """SHA-256 over a configuration, the hash of its weights and the contents of the fitted uncertainty."""
    plain = {key: value for key, value in config.items() if key != SEAL}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    parts = [text, weights, hashlib.sha256(trust).hexdigest() if trust is not None else "none"]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_seal(folder: Path, config: dict, weights: str) -> None:
    """ValueError naming config.json where it, or trust.safetensors, is not what was written together with the
    weights; a UserWarning where nothing binds them."""
    if SEAL not in config:
        warnings.warn(
            f"{folder / CONFIG}: no {SEAL} binds it to {WEIGHTS}, as version 0.1 wrote none: a changed cutoff would "
            "pass unnoticed. load_model(folder).save(folder) writes the folder again, with it",
            UserWarning,
            stacklevel=3,
        )
        return
    file = folder / TRUST
    if config[SEAL] != seal(config, weights, file.read_bytes() if file.is_file() else None):
        raise ValueError(
            f"{folder / CONFIG}: changed since it was written together with {WEIGHTS} and {TRUST}, one of them "
            "is not that of this model"
        )


def write_config(folder: Path, config: dict, weights: str) -> None:
    """Write config.json, bound to the weights and to the uncertainty that are there; the last file of a folder."""
    file = folder / TRUST
    bound = config | {SEAL: seal(config, weights, file.read_bytes() if file.is_file() else None)}
    atomic_write(folder / CONFIG, json.dumps(bound, indent=1) + "\n")


def read_weights(folder: Path, config: dict) -> tuple[bytes, str]:
    """Contents of the weights file and their SHA-256; ValueError naming the file when it is not the one that `config`
    means."""
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


def uncertainty_bytes(trust: FittedUncertainty, digest: str) -> bytes:
    """A FittedUncertainty in float32, bound to the weights of hash `digest` by an array of its bytes."""
    arrays = {k: torch.tensor(v, dtype=torch.float32).contiguous() for k, v in trust.arrays().items()}
    return save_safetensors({**arrays, "weights_sha256": torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8)})


def load_uncertainty(file: Path, digest: str) -> FittedUncertainty | None:
    """Read what `uncertainty_bytes` wrote; None without a file, ValueError naming a file that is damaged or of other
    weights."""
    if not file.is_file():
        return None
    try:
        arrays = load_safetensors(file.read_bytes())
        of = bytes(arrays.pop("weights_sha256").tolist()).hex()
        trust = FittedUncertainty(**{k: v.numpy() for k, v in arrays.items()})
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file}: not a fitted uncertainty ({' '.join(str(error).split())})") from None
    if of != digest:
        raise ValueError(
            f"{file}: was fitted to other weights ({of[:12]}...); remove it, or fit it again "
            "(evaluation.uncertainty.fit_uncertainty)"
        )
    return trust


def load_state(model, data: bytes, file: Path) -> None:
    """Put weights into a model; ValueError naming the file for other arrays than the model's, and for nan or inf."""
    try:
        state = load_safetensors(data)
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:  # torch's first line names the class, the second the array
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ValueError(f"{file}: not weights of this model ({reason})") from None
    for name, array in state.items():
        if array.is_floating_point() and not torch.isfinite(array).all():
            raise ValueError(f"{file}: {name} holds numbers that are not finite")


def check_shapes(data: bytes, model, file: Path) -> None:
    """ValueError naming the file unless a model, built without memory on torch's meta device, has the arrays of
    `data`."""
    try:
        size = int.from_bytes(data[:8], "little")
        found = json.loads(data[8 : 8 + size]) if size < len(data) else {}
        shapes = {k: tuple(v["shape"]) for k, v in found.items() if k != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{file}: not weights of this model (no safetensors file)") from None
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    wrong = next((k for k in sorted({*expected, *shapes}) if expected.get(k) != shapes.get(k)), None)
    if wrong is not None:
        raise ValueError(
            f"{file}: not weights of this model ({wrong} has the shape {shapes.get(wrong, 'missing')}, {CONFIG} asks "
            "for "
            f"{expected.get(wrong, 'none')})"
        )
