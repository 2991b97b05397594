"""Frames with results in an ASE database, and Wannier Hamiltonians beside or inside it."""

from __future__ import annotations

import re

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ..files import writing

#: Keys of `info` by which a database can be searched; everything else is in the row's data.
SEARCHABLE = ("stacking", "sigma", "gap", "a", "twist_angle", "supercell")


def is_database(path) -> bool:
    """Whether a name means an ASE database: a URL of a server, or a file that ends in .db or .json."""
    return bool(re.match(r"(postgresql|postgres|mysql|mariadb)://", str(path))) or str(path).endswith((".db", ".json"))


def connect(path):
    """An ASE database; ValueError in one line when it cannot be opened."""
    from ase.db import connect as ase_connect

    if not is_database(path):
        raise ValueError(
            f"{path}: an ASE database is a file *.db or *.json or a URL such as postgresql://user@host/name"
        )
    try:
        database = ase_connect(str(path))
        database.count()
    except ImportError as error:
        raise ValueError(f"{redacted(path)}: {error} (pip install ase-db-backends)") from None
    except Exception as error:  # every back end has errors of its own
        raise ValueError(
            f"{redacted(path)}: cannot be opened as a database ({redacted(' '.join(str(error).split()))})"
        ) from None
    return database


def redacted(text) -> str:
    """A URL without its password."""
    return re.sub(r"(\w+://[^:/@\s]+):[^@\s]*@", r"\1@", str(text))


def write_row(database, atoms: Atoms, hash: str = "", hamiltonian: bytes | None = None) -> None:
    """Write a frame with its results, in place of the row of the same `config_id`.

    Parameters
    ----------
    database : ase.db.core.Database
    atoms : ase.Atoms
        With a calculator that holds results; `info["config_id"]` is its name.
    hash : str
        Of structure and recipe; a row that has it already is left unchanged.
    hamiltonian : bytes, optional
        Contents of a Hamiltonian file, kept in the row.
    """
    name = str(atoms.info["config_id"])
    old = list(database.select(config_id=name, columns=["id", "key_value_pairs"], include_data=False))
    if hash and old and old[0].get("hash") == hash:
        return
    keys = {"config_id": name, "kind": name.split("_")[0]}
    keys |= {k: _plain(atoms.info[k]) for k in SEARCHABLE if k in atoms.info}
    if hash:
        keys["hash"] = hash
    data = {
        "info": {k: v for k, v in atoms.info.items()},
        "arrays": {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")},
    }
    if hamiltonian is not None:
        data["hamiltonian"] = np.frombuffer(hamiltonian, np.uint8)
    bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.calc is not None:
        bare.calc = SinglePointCalculator(bare, **atoms.calc.results)
    with database:  # one transaction: a kill leaves the old row or the new one
        database.delete([row.id for row in old])
        database.write(bare, key_value_pairs=keys, data=data)


def read_row(row) -> tuple[Atoms, bytes | None]:
    """Frame with its results and, where the row keeps one, the contents of the Hamiltonian file."""
    atoms = row.toatoms()
    data = row.data
    atoms.info = {k: v for k, v in data.get("info", {}).items()} or {
        k: v for k, v in row.key_value_pairs.items() if k not in ("kind", "hash")
    }
    atoms.info.setdefault("config_id", f"row_{row.id:04d}")
    for key, value in data.get("arrays", {}).items():
        atoms.set_array(key, np.asarray(value))
    block = data.get("hamiltonian")
    return atoms, None if block is None else np.asarray(block, np.uint8).tobytes()


def write_frames(path, frames) -> None:
    """Write frames as extended XYZ, atomically."""
    with writing(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")


def _plain(value):
    return value.item() if hasattr(value, "item") else value
