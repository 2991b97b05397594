"""Reference configurations: an extended XYZ file of energies, forces and stress beside a folder of Wannier Hamiltonians."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from ..structure import find_layers


@dataclass
class Configuration:
    """One reference calculation.

    Attributes
    ----------
    name, kind : str
        `config_id` and what stands before its underscore (`p1`, `s4`, ...).
    atoms : Atoms, with energy, forces and stress in its calculator where known.
    layers : ndarray of int (n_atoms,)
    hamiltonian : path of the `.npz` of blocks, or None.
    """

    name: str
    kind: str
    atoms: Atoms
    layers: np.ndarray
    hamiltonian: Path | None = None
    info: dict = field(default_factory=dict)

    @property
    def results(self):
        return self.atoms.calc.results if self.atoms.calc is not None else {}

    @property
    def sigma(self):
        """Rms random displacement in Å (nan where the file does not say)."""
        return float(self.info.get("sigma", np.nan))

    def load_blocks(self):
        """Arrays of the Hamiltonian file as a dict; ValueError naming the file when it is damaged or foreign."""
        try:
            with np.load(self.hamiltonian, allow_pickle=False) as archive:
                data = {k: archive[k] for k in archive.files}
        except Exception as error:
            raise ValueError(f"{self.hamiltonian}: not a readable Hamiltonian file ({error})") from None
        missing = {"pair_i", "pair_j", "pair_shift", "block", "block_ptr"} - set(data)
        if missing:
            raise ValueError(f"{self.hamiltonian}: arrays {sorted(missing)} are missing")
        if not np.array_equal(data["numbers"], self.atoms.numbers) or \
                np.abs(data["positions"] - self.atoms.positions).max() > 1e-4:
            raise ValueError(f"{self.hamiltonian}: atoms differ from frame {self.name!r} of the structure file")
        return data


def load_dataset(path) -> list[Configuration]:
    """All configurations of a folder with `structures.extxyz` and, optionally, `hamiltonians/<config_id>.npz`.

    A path to a single extended XYZ file is accepted too (energies and forces only).
    """
    path = Path(path)
    file = path / "structures.extxyz" if path.is_dir() else path
    if not file.exists():
        raise ValueError(f"{file}: no such file")
    out = []
    for number, atoms in enumerate(ase.io.iread(file, ":")):
        name = str(atoms.info.get("config_id", f"{file.stem}_{number:04d}"))
        blocks = file.parent / "hamiltonians" / f"{name}.npz"
        try:
            layers = find_layers(atoms)
        except ValueError as error:
            raise ValueError(f"{file}, frame {number} ({name}): {error}") from None
        out.append(Configuration(name, name.split("_")[0], atoms, layers,
                                 blocks if blocks.exists() else None, dict(atoms.info)))
    if not out:
        raise ValueError(f"{file}: holds no configuration")
    return out


def is_validation(name: str, fraction: float = 0.15, salt: str = "wander-1") -> bool:
    """Whether a configuration belongs to the validation split: by a hash of its name, so that the split never moves."""
    digest = hashlib.sha256(f"{salt}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2 ** 64 < fraction


def split(configurations, fraction: float = 0.15):
    """(training, validation) by configuration."""
    train = [c for c in configurations if not is_validation(c.name, fraction)]
    return train, [c for c in configurations if is_validation(c.name, fraction)]


def dataset_hash(configurations) -> str:
    """SHA-256 over names, numbers, cells, positions and energies: what a card records as its data."""
    digest = hashlib.sha256()
    for c in configurations:
        digest.update(c.name.encode())
        for array in (c.atoms.numbers, c.atoms.cell.array, c.atoms.positions, c.results.get("energy", 0.0)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
