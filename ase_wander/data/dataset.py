"""Reference configurations: energies, forces and stress from extended XYZ files, Hamiltonians and bands from `.npz` or
Wannier90 files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ..archives import read_npz
from ..checks import check_name
from ..electronic.io.compact import expanded
from ..files import read_frames
from ..structure import find_layers
from .arrays import BAND_ARRAYS, BLOCK_ARRAYS, check_blocks, check_eigenvalues, contents, shifted
from .wannier.wannier90 import find_seeds, read_arrays, read_structure

#: Rms random displacement (Å) up to which a configuration counts as mild; also what is assumed where a file does not
#: say.
SIGMA_MILD = 0.03

#: What a configuration may be labelled with.
LABELS = ("energy", "forces", "stress", "hamiltonian", "eigenvalues", "vacuum_step")


@dataclass
class Configuration:
    """One reference calculation.

    Attributes
    ----------
    name, kind : str
        `config_id` and what stands before its underscore (`p1`, `s4`, ...).
    atoms : ase.Atoms
        With energy, forces and stress in its calculator where known.
    layers : ndarray of int, shape (n_atoms,)
    hamiltonian : Path, optional
        The `.npz` of blocks, or Wannier90's `_hr.dat` or `_tb.dat`.
    source : str
        File and frame, for messages.
    bands : Path, optional
        An `.npz` with eigenvalues where there is no `hamiltonian`.
    weight : float
        Factor of the configuration in every loss.
    withheld : tuple of str
        Labels (of LABELS) that it lacks though its files have them, see `without`.
    to_withhold : tuple of str
        Labels to be withheld from training, see `withhold`.
    vacuum_level : float
        Energy (eV) that is subtracted from Hamiltonian and eigenvalues.
    hold_out : bool
        Whether the split may hold it out.
    """

    name: str
    kind: str
    atoms: Atoms
    layers: np.ndarray
    hamiltonian: Path | None = None
    info: dict = field(default_factory=dict)
    source: str = ""
    bands: Path | None = None
    weight: float = 1.0
    withheld: tuple = ()
    to_withhold: tuple = ()
    vacuum_level: float = 0.0
    hold_out: bool = True

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

    def has(self, label) -> bool:
        """Whether the configuration has the label, one of LABELS.

        Files are not opened except for their table of contents.
        """
        if label == "hamiltonian":
            return self.hamiltonian is not None
        if label == "eigenvalues":
            file = self.hamiltonian or self.bands  # bands of a Wannier90 file come from its H(R)
            return (
                label not in self.withheld
                and file is not None
                and (file.suffix == ".dat" or "eigenvalues" in contents(file))
            )
        if label == "vacuum_step":
            return label not in self.withheld and {"vacuum_top", "vacuum_bottom"} <= self.info.keys()
        return label in self.results

    def without(self, labels):
        """A copy that lacks the labels (of LABELS)."""
        labels = tuple(labels)
        copy = replace(self, atoms=self.atoms.copy(), withheld=(*self.withheld, *labels))
        if self.atoms.calc is not None:
            kept = {
                k: v
                for k, v in self.results.items()
                if k not in labels and not ("energy" in labels and k == "free_energy")
            }
            copy.atoms.calc = SinglePointCalculator(copy.atoms, **kept)
        if "hamiltonian" in labels:
            copy.hamiltonian, copy.bands = None, self.hamiltonian or self.bands
        return copy

    def load_blocks(self, n_orbitals=None):
        """`load_reference` of a configuration that must have a Hamiltonian."""
        if self.hamiltonian is None:
            raise ValueError(f"{self.source or self.name}: has no Hamiltonian")
        return self.load_reference(n_orbitals)

    def load_reference(self, n_orbitals=None):
        """Arrays of the Hamiltonian file as a dict, as far as the configuration has them: blocks, eigenvalues or both.

        Parameters
        ----------
        n_orbitals : array_like of int (n_atoms,), optional
            Orbitals of every atom, to check the sizes of the blocks and the number of bands against.

        Raises
        ------
        ValueError
            Naming the file when it is damaged or foreign.
        """
        file = self.hamiltonian or self.bands
        data = self._arrays(file)
        needed = {"numbers", "positions"} | set(BLOCK_ARRAYS if self.hamiltonian else BAND_ARRAYS) - {"pair_distance"}
        missing = needed - set(data)
        if missing:
            raise ValueError(f"{file}: arrays {sorted(missing)} are missing")
        hidden = (() if self.hamiltonian else BLOCK_ARRAYS) + (BAND_ARRAYS if "eigenvalues" in self.withheld else ())
        data = {k: v for k, v in data.items() if k not in hidden}
        # not (a <= b): a position that is not a number is a difference too
        if (
            not np.array_equal(data["numbers"], self.atoms.numbers)
            or data["positions"].shape != self.atoms.positions.shape
            or not np.abs(data["positions"] - self.atoms.positions).max() <= 1e-4
        ):
            raise ValueError(f"{file}: atoms differ from frame {self.name!r} of the structure file")
        try:
            (check_blocks if self.hamiltonian else check_eigenvalues)(data, len(self.atoms), n_orbitals)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        return shifted(data, self.vacuum_level) if self.vacuum_level else data

    def _arrays(self, file):
        """Arrays of a file, with its blocks in the order of the atoms."""
        if file is None:
            raise ValueError(f"{self.source or self.name}: has neither a Hamiltonian nor eigenvalues")
        if file.suffix == ".dat":
            return read_arrays(file, self.atoms)
        try:
            return expanded(read_npz(file))
        except (FileNotFoundError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{file}: not a readable Hamiltonian file ({error})") from None


def load_dataset(path, structure=None) -> list[Configuration]:
    """All configurations of a data set.

    Parameters
    ----------
    path : str or path
        A folder with `structures.extxyz` and, optionally, `hamiltonians/<config_id>.npz`; one extended XYZ file
        (energies, forces, stress); a folder of such folders; Wannier90 output: `seed`, `seed_hr.dat`, or a folder of
        such files, itself or one level down.
    structure : str or path, optional
        Of Wannier90 output: an extended XYZ file with a frame (the only one, or that whose `config_id` is the seed's
        name) in place of the cell and atoms of `seed.win`; it brings energy, forces and stress. `seed.extxyz` is found
        by itself.

    Raises
    ------
    ValueError
        Naming the file and the frame that cannot be used.
    """
    path = Path(path)
    seeds = [] if (path / "structures.extxyz").is_file() or path.suffix in (".extxyz", ".xyz") else find_seeds(path)
    if seeds:
        return [_from_wannier90(name, file, structure) for name, file in seeds]
    file = path / "structures.extxyz" if path.is_dir() else path
    parts = sorted(path.glob("*/structures.extxyz")) if path.is_dir() and not file.exists() else []
    if parts:
        return [c for part in parts for c in load_dataset(part.parent)]
    if not file.exists():
        raise ValueError(f"{file}: no such file")
    out = []
    for number, atoms in enumerate(read_frames(file)):
        name = str(atoms.info.get("config_id", f"{file.stem}_{number:04d}"))
        if "config_id" in atoms.info:
            check_name(name, f"{file}, frame {number}: config_id")
        blocks = file.parent / "hamiltonians" / f"{name}.npz"
        out.append(_configuration(name, atoms, f"{file}, frame {number} ({name})"))
        if blocks.exists():
            names = contents(blocks)
            setattr(out[-1], "bands" if "eigenvalues" in names and "block" not in names else "hamiltonian", blocks)
    if not out:
        raise ValueError(f"{file}: holds no configuration")
    return out


def _configuration(name, atoms, source) -> Configuration:
    """One configuration with its labels checked and its layers found."""
    try:
        layers = find_layers(atoms)
        _check_labels(atoms)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return Configuration(name, name.split("_")[0], atoms, layers, None, dict(atoms.info), source)


def _from_wannier90(name, file, structure) -> Configuration:
    """The configuration of one `_hr.dat` or `_tb.dat`."""
    frames = None
    own = Path(str(file)[: -len("_hr.dat")] + ".extxyz")
    if structure is not None or own.is_file():
        frames = [(f"{structure or own}, frame {k}", atoms) for k, atoms in enumerate(read_frames(structure or own))]
        chosen = [f for f in frames if str(f[1].info.get("config_id", "")) == name] or frames
        if len(chosen) != 1:
            raise ValueError(f"{structure or own}: {len(frames)} frames, none with config_id={name} for {file}")
        source, atoms = chosen[0]
    else:
        source, atoms = str(file), read_structure(file)
    out = _configuration(name, atoms, source)
    out.hamiltonian = file
    level = out.info.get("vacuum_level", 0.0)
    if not isinstance(level, (int, float, np.number)) or not np.isfinite(level):
        raise ValueError(f"{source}: vacuum_level is {level!r}, not a number")
    out.vacuum_level = float(level)
    return out


def _check_labels(atoms):
    """ValueError for an energy, force or stress that is not finite, naming the atom, and for a sigma that is no
    number.
    """
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
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction


def split(configurations, fraction: float = 0.15):
    """(training, validation) by configuration."""
    held_out = [c.hold_out and is_validation(c.name, fraction) for c in configurations]
    return (
        [c for c, out in zip(configurations, held_out) if not out],
        [c for c, out in zip(configurations, held_out) if out],
    )


def dataset_hash(configurations) -> str:
    """SHA-256 over names, numbers, cells, positions and energies: what a card records as its data."""
    digest = hashlib.sha256()
    for c in configurations:
        digest.update(c.name.encode())
        for array in (c.atoms.numbers, c.atoms.cell.array, c.atoms.positions, c.results.get("energy", 0.0)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def withhold(configurations) -> list[Configuration]:
    """Configurations as training may see them: without the labels that their sources withhold."""
    return [c.without(c.to_withhold) if c.to_withhold else c for c in configurations]
