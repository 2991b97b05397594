"""Shared by the commands: options, reading structures, a folder of results that can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from .. import files
from ..files import sweep, writing
from ..locks import try_lock
from ..records import read_record, write_record

PROGRAM = "ase-wander"

SETTINGS, SUMMARY = "settings.json", "summary.json"

#: Key of SETTINGS: hashes of finished files that carry no checksum of their own.
FILES = "files_sha256"


class CommandError(Exception):
    """A command cannot go on; the message is shown as one line.

    Attributes
    ----------
    exit_code : int
        Exit status of the program.
    """

    def __init__(self, message, exit_code=2):
        super().__init__(message)
        self.exit_code = exit_code


def version() -> str:
    """The installed version, "unknown" in a bare checkout."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("ase-wander")
    except PackageNotFoundError:
        return "unknown"


def console(stderr=True):
    """Where progress (standard error) and results (standard output) go."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def read_given(arguments):
    """The structure of `arguments.file` as the options want it, and what they changed, for the settings."""
    atoms = read_structure(arguments.file)
    if arguments.pbc is None:
        return atoms, {}
    atoms.pbc = [letter == "T" for letter in arguments.pbc]
    return atoms, {"pbc": arguments.pbc}


def model_of_species(symbols) -> str:
    """Name of the first model that knows all species; ValueError that lists the models and theirs."""
    from ..catalogue import CONFIG, find_models

    wanted, known = set(symbols), {}
    for name, folder in find_models().items():
        try:
            known[name] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["species"]
        except (OSError, ValueError, KeyError, TypeError):  # said by the command that loads it
            continue
        if wanted <= set(known[name]):
            return name
    there = "; ".join(f"{name} knows {', '.join(species)}" for name, species in known.items()) or "none is installed"
    raise CommandError(f"no model knows {', '.join(sorted(wanted))} together: {there}; give --model FOLDER")


def make_calculator(arguments, atoms=None):
    """The WanderCalculator that the options ask for; without --model the first that knows the species of `atoms`."""
    import torch

    from ..calculator import WanderCalculator

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.model is None:
        arguments.model = model_of_species(atoms.symbols)
    return WanderCalculator(arguments.model, device=arguments.device, dtype=arguments.dtype)


def calculator_settings(calculator) -> dict:
    """Settings that results depend on: model, hash of its weights, dtype; not the device."""
    return {key: value for key, value in calculator.parameters.items() if key not in ("device", "bandpath")}


def read_structure(filename):
    """The last frame of a file in any format that ASE reads, without its calculator; see `files.read_structure`."""
    atoms = files.read_structure(filename)
    atoms.calc = None
    return atoms


def print_table(title, rows) -> None:
    """A title and two columns on standard output."""
    print(title)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")


def file_hash(filename) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()


#: Open file of every folder that this process has locked.
_locks: dict[Path, int] = {}


def _lock(path) -> None:
    """Lock a folder for this process; the operating system gives the lock back however it ends."""
    if path.resolve() in _locks:
        return
    try:
        lock = try_lock(path)
    except BlockingIOError:
        raise CommandError(f"{path}: another process works there; wait for it, or choose another --out") from None
    if lock is not None:
        _locks[path.resolve()] = lock


def release_locks() -> None:
    """Give back the folders of the command that ends."""
    while _locks:
        os.close(_locks.popitem()[1])


def _difference(key, there, now) -> str:
    """Two values of a setting in words; of hashes, that they differ."""
    if key.endswith("sha256"):
        return f"another {key.removesuffix('_sha256').removesuffix('sha256') or 'content'}"
    if isinstance(there, dict) and isinstance(now, dict):
        inner = [
            _difference(name, there.get(name), now.get(name))
            for name in dict.fromkeys([*there, *now])
            if there.get(name) != now.get(name)
        ]
        return f"{key}: {', '.join(inner)}"
    return f"{key} {_without_hash(there)!r} there, {_without_hash(now)!r} now"


def _without_hash(value):
    return {k: v for k, v in value.items() if k != "sha256"} if isinstance(value, dict) else value


class ResultFolder:
    """A folder of results that belongs to one set of settings; a file appears in it whole or not at all.

    Parameters
    ----------
    path : str or Path
        Created by `claim`, not before.
    settings : dict
        JSON-able; what the results depend on.
    """

    def __init__(self, path, settings):
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))

    def check(self, names) -> bool:
        """Whether the folder continues a run of the same settings; writes nothing.

        Raises
        ------
        CommandError
            When it belongs to other settings, or holds files `names` that no run wrote.
        """
        if self.path.exists() and not self.path.is_dir():
            raise CommandError(f"{self.path}: is a file, not a folder for results")
        record = self.path / SETTINGS
        if not record.is_file():
            foreign = [name for name in names if (self.path / name).exists()]
            if foreign:
                raise CommandError(f"{self.path} holds {foreign[0]} from elsewhere; choose another --out")
            return False
        there = self._read_settings()
        there.pop(FILES, None)
        if there.get("command") != self.settings["command"]:
            raise CommandError(f"{self.path} holds results of `{PROGRAM} {there.get('command')}`; choose another --out")
        changed = [
            _difference(key, there.get(key), self.settings.get(key))
            for key in dict.fromkeys([*there, *self.settings])
            if there.get(key) != self.settings.get(key)
        ]
        if changed:
            raise CommandError(
                f"{self.path} holds results of other settings ({'; '.join(changed)}); "
                "choose another --out, or repeat those settings to continue"
            )
        return True

    def claim(self, names) -> bool:
        """Create the folder, lock it until the command ends, and record the settings; returns what `check` does.

        CommandError also while another process works there.
        """
        if not self.path.exists() or self.path.is_dir():
            self.path.mkdir(parents=True, exist_ok=True)
            _lock(self.path)
            sweep(self.path)
        resumed = self.check(names)
        if not resumed:
            self.write_json(SETTINGS, self.settings)
        return resumed

    def __truediv__(self, name):
        return self.path / name

    def has(self, name) -> bool:
        return (self.path / name).is_file()

    @contextmanager
    def writing(self, name):
        """A temporary path to write to; it takes the name `name` when the block ends well, else it goes."""
        with writing(self.path / name) as temporary:
            yield temporary

    def write_json(self, name, content) -> None:
        """Write a mapping with its checksum."""
        write_record(self.path / name, content, indent=2)

    def seal(self, name) -> None:
        """Note the hash of a finished file beside the settings, so that a damaged one is not taken for it."""
        there = self._read_settings()
        there[FILES] = {**there.get(FILES, {}), name: file_hash(self.path / name)}
        self.write_json(SETTINGS, there)

    def has_whole(self, name) -> bool:
        """Whether a finished file is there; CommandError where it is not what was sealed."""
        if not self.has(name):
            return False
        expected = self._read_settings().get(FILES, {}).get(name)
        if expected is not None and expected != file_hash(self.path / name):
            raise CommandError(
                f"{self.path / name}: damaged or changed since it was written; remove it to make it again"
            )
        return True

    def _read_settings(self) -> dict:
        try:
            return read_record(self.path / SETTINGS)
        except FileNotFoundError:
            return dict(self.settings)
        except ValueError as error:
            raise CommandError(f"{error}; choose another --out") from None
