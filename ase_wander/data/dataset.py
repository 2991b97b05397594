"""Reference configurations: an extended XYZ file of energies, forces and stress beside a folder of Wannier Hamiltonians."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from ..structure import find_layers

#: Rms random displacement (Å) up to which a configuration counts as mild; also what is assumed where a file does not say.
SIGMA_MILD = 0.03


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
    source : str
        File and frame, for messages.
    """

    name: str
    kind: str
    atoms: Atoms
    layers: np.ndarray
    hamiltonian: Path | None = None
    info: dict = field(default_factory=dict)
    source: str = ""

    @property
    def results(self):
        return self.atoms.calc.results if self.atoms.calc is not None else {}

    @property
    def sigma(self):
        """Rms random displacement in Å (nan where the file does not say)."""
        return float(self.info.get("sigma", np.nan))

    @property
    def assumed_sigma(self):
        """`sigma`, and SIGMA_MILD where the file does not say: the one rule of training and evaluation."""
        return self.sigma if np.isfinite(self.sigma) else SIGMA_MILD

    def label(self, name):
        """`energy`, `forces`, ... of the reference calculation; ValueError naming the frame where it has none."""
        if name not in self.results:
            raise ValueError(f"{self.source or self.name}: has no {name}")
        return self.results[name]

    def load_blocks(self, n_orbitals=None):
        """Arrays of the Hamiltonian file as a dict; ValueError naming the file when it is damaged or foreign.

        Parameters
        ----------
        n_orbitals : array_like of int (n_atoms,), optional
            Orbitals of every atom, to check the sizes of the blocks and the number of bands against.
        """
        try:
            with np.load(self.hamiltonian, allow_pickle=False) as archive:
                data = {k: archive[k] for k in archive.files}
        except Exception as error:
            raise ValueError(f"{self.hamiltonian}: not a readable Hamiltonian file ({error})") from None
        missing = {"numbers", "positions", "pair_i", "pair_j", "pair_shift", "block", "block_ptr"} - set(data)
        if missing:
            raise ValueError(f"{self.hamiltonian}: arrays {sorted(missing)} are missing")
        # not (a <= b): a position that is not a number is a difference too
        if not np.array_equal(data["numbers"], self.atoms.numbers) or data["positions"].shape != self.atoms.positions.shape or \
                not np.abs(data["positions"] - self.atoms.positions).max() <= 1e-4:
            raise ValueError(f"{self.hamiltonian}: atoms differ from frame {self.name!r} of the structure file")
        try:
            check_blocks(data, len(self.atoms), n_orbitals)
        except ValueError as error:
            raise ValueError(f"{self.hamiltonian}: {error}") from None
        return data


def check_blocks(data, n_atoms, n_orbitals=None) -> None:
    """ValueError unless the arrays of a Hamiltonian file fit together: shapes, indices, sizes of blocks, finite numbers."""
    n_pairs = len(np.atleast_1d(data["pair_i"]))
    shapes = {"pair_i": (n_pairs,), "pair_j": (n_pairs,), "pair_shift": (n_pairs, 3), "block_ptr": (n_pairs + 1,),
              "pair_distance": (n_pairs,), "block": (data["block"].size,)}
    if "eigenvalues" in data:
        for name in ("kpts", "kweights"):
            if name not in data:
                raise ValueError(f"eigenvalues without {name}")
        n_k = len(np.atleast_1d(data["kpts"]))
        n_bands = data["eigenvalues"].shape[-1] if data["eigenvalues"].ndim else 0
        shapes |= {"kpts": (n_k, 3), "kweights": (n_k,),
                   "eigenvalues": (n_k, n_bands if n_orbitals is None else int(np.sum(n_orbitals)))}
    for name, shape in shapes.items():
        if name in data and data[name].shape != shape:
            raise ValueError(f"{name} has shape {data[name].shape}, expected {shape}")
        if name in data and data[name].dtype.kind not in "iuf":
            raise ValueError(f"{name} holds {data[name].dtype}, not real numbers")
    i, j, shift, ptr = (data[k].astype(int) for k in ("pair_i", "pair_j", "pair_shift", "block_ptr"))
    for name, index in (("pair_i", i), ("pair_j", j)):
        if ((index < 0) | (index >= n_atoms)).any():
            p = int(np.argmax((index < 0) | (index >= n_atoms)))
            raise ValueError(f"{name} of pair {p} is {index[p]}, the structure has {n_atoms} atoms")
    size = np.diff(ptr)
    if ptr[0] != 0 or (size < 0).any() or ptr[-1] != len(data["block"]):
        raise ValueError(f"block_ptr runs from {ptr[0]} to {ptr[-1]}, but block has {len(data['block'])} elements"
                         + (", and it falls" if (size < 0).any() else ""))
    if n_orbitals is not None:
        expected = np.asarray(n_orbitals)[i] * np.asarray(n_orbitals)[j]
        if (size != expected).any():
            p = int(np.argmax(size != expected))
            raise ValueError(f"block of pair {p} (atoms {i[p]}, {j[p]}) has {size[p]} elements, expected {expected[p]}")
    onsite = i[(i == j) & ~shift.any(axis=1)]
    if len(np.unique(onsite)) < n_atoms:
        raise ValueError(f"no on-site block of atom {np.setdiff1d(np.arange(n_atoms), onsite)[0]}")
    if not np.isfinite(data["block"]).all():
        p = int(np.searchsorted(ptr, np.argmin(np.isfinite(data["block"])), side="right")) - 1
        raise ValueError(f"block of pair {p} (atoms {i[p]}, {j[p]}, shift {shift[p].tolist()}) is not finite")
    for name in ("eigenvalues", "kpts", "kweights", "pair_distance"):
        if name in data and not np.isfinite(data[name]).all():
            raise ValueError(f"{name} is not finite")


def load_dataset(path) -> list[Configuration]:
    """All configurations of a folder with `structures.extxyz` and, optionally, `hamiltonians/<config_id>.npz`.

    A path to a single extended XYZ file is accepted too (energies and forces only).
    """
    path = Path(path)
    file = path / "structures.extxyz" if path.is_dir() else path
    if not file.exists():
        raise ValueError(f"{file}: no such file")
    out = []
    for number, atoms in enumerate(_frames(file)):
        name = str(atoms.info.get("config_id", f"{file.stem}_{number:04d}"))
        blocks = file.parent / "hamiltonians" / f"{name}.npz"
        source = f"{file}, frame {number} ({name})"
        try:
            layers = find_layers(atoms)
            _check_labels(atoms)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        out.append(Configuration(name, name.split("_")[0], atoms, layers,
                                 blocks if blocks.exists() else None, dict(atoms.info), source))
    if not out:
        raise ValueError(f"{file}: holds no configuration")
    return out


def _frames(file):
    """Frames of a structure file one by one; whatever its reader stumbles on becomes a ValueError of one line."""
    frames, number = ase.io.iread(file, ":"), 0
    while True:
        try:
            atoms = next(frames)
        except StopIteration:
            return
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{file}, frame {number}: not readable as extended XYZ ({reason})") from None
        yield atoms
        number += 1


def _check_labels(atoms):
    """ValueError for an energy, force or stress that is not finite, naming the atom, and for a sigma that is no number."""
    results = atoms.calc.results if atoms.calc is not None else {}
    for name in ("energy", "stress"):
        if not np.isfinite(results.get(name, 0.0)).all():
            raise ValueError(f"{name} is not finite")
    bad = np.flatnonzero(~np.isfinite(results.get("forces", np.zeros((1, 3)))).all(axis=1))
    if len(bad):
        raise ValueError(f"force on atom {bad[0]} ({atoms.symbols[bad[0]]}) is not finite: {results['forces'][bad[0]]}")
    sigma = atoms.info.get("sigma", 0.0)
    if not isinstance(sigma, (int, float, np.number)):
        raise ValueError(f"sigma is {sigma!r}, not a number")


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
