"""Conversion between folders of reference data (structures.extxyz, hamiltonians/) and ASE databases, both ways."""

from __future__ import annotations

from pathlib import Path

from ..archives import npz_bytes, read_npz
from ..checks import check_name
from ..electronic.io.compact import compact
from ..files import atomic_write
from .database import connect, is_database, read_row, redacted, write_frames, write_row
from .dataset import load_dataset


def read_entries(source):
    """Frames of a source with the contents of their Hamiltonian files, one by one.

    Parameters
    ----------
    source : path or URL
        A folder of reference data (or a campaign's), an extended XYZ file, Wannier90 output (see `load_dataset`), or an
        ASE database; Hamiltonians that a database file does not keep itself are looked for in `hamiltonians/` beside
        it.

    Yields
    ------
    (Atoms, bytes or None)

    Raises
    ------
    ValueError
        For a source that is missing or damaged, and two frames of one name.
    """
    taken = set()
    for atoms, hamiltonian in _from_database(source) if is_database(source) else _from_folder(source):
        name = str(atoms.info["config_id"])
        check_name(name, redacted(source))
        if name in taken:
            raise ValueError(f"{redacted(source)}: {name!r} appears twice")
        taken.add(name)
        yield atoms, hamiltonian


def _from_folder(source):
    for configuration in load_dataset(source):
        atoms = configuration.atoms
        atoms.info["config_id"] = configuration.name
        file = configuration.hamiltonian or configuration.bands
        if file is None:
            yield atoms, None
            continue
        arrays = configuration.load_reference()  # checks the file
        yield atoms, Path(file).read_bytes() if Path(file).suffix == ".npz" else npz_bytes(arrays)


def _compacted(entries, cutoff):
    """Entries with compact Hamiltonian files; as they are without a cutoff."""
    for atoms, hamiltonian in entries:
        if cutoff is not None and hamiltonian is not None:
            where = f"{atoms.info['config_id']}: Hamiltonian"
            arrays = read_npz(hamiltonian, name=where)
            try:
                hamiltonian = npz_bytes(compact(arrays, cutoff))
            except (ValueError, KeyError, IndexError) as error:
                raise ValueError(f"{where}: {error}") from None
        yield atoms, hamiltonian


def _from_database(source):
    beside = None if "://" in str(source) else Path(source).parent / "hamiltonians"
    if beside is not None and not Path(source).is_file():
        raise ValueError(f"{source}: no such file")
    for row in connect(source).select():
        atoms, hamiltonian = read_row(row)
        check_name(str(atoms.info["config_id"]), f"{redacted(source)}, row {row.id}")
        file = beside / f"{atoms.info['config_id']}.npz" if beside is not None else None
        if hamiltonian is None and file is not None and file.is_file():
            hamiltonian = file.read_bytes()
        yield atoms, hamiltonian


def convert(source, target, progress=None, cutoff=None) -> int:
    """Copy all configurations of a source into a target of the other (or the same) format.

    Parameters
    ----------
    source : path or URL
        See `read_entries`.
    target : path or URL
        A folder (made when missing; an existing one must not hold reference data), or an ASE database, whose rows of
        the same names are replaced.
    progress : callable, optional
        Called with the number of configurations copied.
    cutoff : float, optional
        Å; writes compact Hamiltonian files (see `compact.compact`) with the pairs up to it.

    Returns
    -------
    int
        Number of configurations.
    """
    if is_database(target):
        if is_database(source) and str(source) == str(target):
            raise ValueError(f"{redacted(target)}: source and target are the same")
        entries = list(_compacted(read_entries(source), cutoff))  # all is read before anything is written
        database = connect(target)
        for n, (atoms, hamiltonian) in enumerate(entries):
            write_row(database, atoms, hamiltonian=hamiltonian)
            if progress:
                progress(n + 1)
        return len(entries)
    target = Path(target)
    if target.suffix in (".extxyz", ".xyz", ".npz", ".traj"):
        raise ValueError(f"{target}: a target is a folder or an ASE database (*.db)")
    if (target / "structures.extxyz").exists():
        raise ValueError(f"{target}: holds reference data already")
    frames, folder = [], target / "hamiltonians"
    for n, (atoms, hamiltonian) in enumerate(_compacted(read_entries(source), cutoff)):
        folder.mkdir(parents=True, exist_ok=True)
        if hamiltonian is not None:
            atomic_write(folder / f"{atoms.info['config_id']}.npz", hamiltonian)
        frames.append(atoms)
        if progress:
            progress(n + 1)
    if not frames:
        raise ValueError(f"{redacted(source)}: holds no configuration")
    write_frames(target / "structures.extxyz", frames)  # last: a folder without it is not yet reference data
    return len(frames)
