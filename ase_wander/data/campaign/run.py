"""A campaign: every configuration computed once, in processes of their own, whatever interrupts it."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import deque

from ..database import connect, redacted, write_frames, write_row
from ..dft.engines import AFTERWARDS, check_installed, hamiltonian_hash, labels_hash
from ..dft.labels import Labels
from ..dft.recipe import Recipe
from .config import CampaignConfig, recipe_of
from .folder import DONE, FAILED, LABELLED, LEFT, RUNNING, STALE, CampaignFolder, read_header
from .processes import WORKER, make_pool
from .status import Entry, Status, read_status, refresh
from .worker import encode_task, record_failure, write_hamiltonian

#: Seconds between two reports of progress while nothing ends.
PATIENCE = 1.0


def run_campaign(
    config: CampaignConfig,
    out,
    *,
    n_workers: int = 1,
    dask: str | None = None,
    retry: bool = False,
    recompute: bool = False,
    command=WORKER,
    progress=None,
) -> Status:
    """Compute what is not there yet and collect what is.

    Parameters
    ----------
    config : CampaignConfig
    out : path
        The campaign's folder, see `folder`.  Results that lie there already are taken when structure and recipe agree.
    n_workers, dask
        See `processes.make_pool`.
    retry : bool
        Also configurations that failed.
    recompute : bool
        Put results of another recipe or structure aside (into `superseded/`) instead of refusing.
    command : sequence of str
        Program that runs one task.
    progress : callable, optional
        Called with the `Status` when something changes, and about once a second.

    Returns
    -------
    Status

    Raises
    ------
    ValueError
        For a folder that holds results of another recipe or of other structures.
    """
    folder = CampaignFolder(out)
    folder.create()
    database = _connect(config, folder)  # a wrong address is refused before anything is computed
    with folder.exclusive():
        entries = _plan(folder, config, recompute)
    atoms = {a.info["config_id"]: a for a in config.configurations}
    status = Status(config.name, entries, n_workers)

    def report():
        if progress:
            progress(status)

    for entry in entries:
        refresh(folder, entry)
        if entry.state == LABELLED or (retry and entry.state == FAILED and folder.result(entry.name).is_file()):
            report()
            _hamiltonian(folder, entry, config.recipe_of(entry.name))
    pending = deque(
        e
        for e in entries
        if e.state in (LEFT, RUNNING) or (retry and e.state == FAILED and not folder.result(e.name).is_file())
    )
    try:
        if pending:
            if dask is None:
                check_installed(config.recipe)
            with make_pool(n_workers, dask, command) as pool:
                _work(folder, pool, pending, atoms, config.recipe_of, status, report)
    finally:
        with folder.exclusive():
            collect(folder, database)
        report()
    return status


def _work(folder, pool, pending, atoms, recipe_of, status, report):
    """Keep every process of the pool busy until nothing is pending.

    A configuration whose lock is taken, by another campaign in this folder or by a worker that has outlived its
    campaign, is asked for again until the lock is free: a lock goes when its process ends.
    """
    running, locked = {}, []
    try:
        while pending or running or locked:
            pending.extend(locked)
            locked.clear()
            status.n_workers = pool.n_workers  # machines come and go
            while pending and len(running) < status.n_workers:
                entry = pending.popleft()
                lock = folder.lock(entry.name)
                if lock is None:
                    entry.state = RUNNING
                    locked.append(entry)
                    continue
                state = folder.stored_state(entry.name, *entry.hashes)
                if state == LABELLED:
                    _hamiltonian(folder, entry, recipe_of(entry.name))
                # else another campaign was faster, or has just failed
                if state not in (LEFT, FAILED) or (state == FAILED and entry.state == RUNNING):
                    os.close(lock)
                    refresh(folder, entry)
                    continue
                entry.state = RUNNING
                running[pool.submit(encode_task(folder.path, atoms[entry.name], recipe_of(entry.name)), lock)] = (
                    entry,
                    lock,
                )
            report()
            if not running and (locked or (pending and not status.n_workers)):
                time.sleep(PATIENCE)  # for a lock, or a first machine
            for future in pool.wait(list(running), PATIENCE) if running else ():
                entry, lock = running.pop(future)
                try:
                    pool.receive(folder, future)
                except Exception as error:  # dask gives up on a task whose machines die
                    record_failure(
                        folder,
                        atoms[entry.name],
                        recipe_of(entry.name),
                        f"{type(error).__name__}: {' '.join(str(error).split())}",
                        "",
                        0.0,
                    )
                os.close(lock)
                refresh(folder, entry)
    finally:
        for _, lock in running.values():
            os.close(lock)


def _hamiltonian(folder, entry, recipe):
    """The Hamiltonian of labels that are there: after an interruption, an adopted result, or a recipe changed in what
    comes afterwards.
    """
    labels = Labels.load(folder.result(entry.name))
    try:
        write_hamiltonian(folder, labels, recipe)
        for suffix in (".json", ".txt"):
            folder.file("failed", entry.name, suffix).unlink(missing_ok=True)
    except Exception as error:
        import traceback

        record_failure(
            folder,
            labels.atoms,
            recipe,
            " ".join(str(error).split()) or type(error).__name__,
            traceback.format_exc(),
            0.0,
        )
    refresh(folder, entry)


def _database(config, folder):
    """Target of the rows: a URL as it is, a file in the campaign's folder."""
    name = config.database or "ase.db"
    return name if "://" in name else folder.path / name


def _connect(config, folder):
    """The database; one of our own that a full disk has left half made is put aside, for `collect` writes all rows."""
    target = _database(config, folder)
    try:
        return connect(target)
    except ValueError:
        if "://" in str(target) or not target.is_file():
            raise
        n = 0
        while (aside := target.with_name(f"{target.name}.damaged{n}")).exists():
            n += 1
        target.rename(aside)
        return connect(target)


def _plan(folder, config, recompute):
    """Check the folder against the configuration, write the plan, and give its entries."""
    old = folder.read_plan()
    entries, wrong = [], []
    for atoms in config.configurations:
        name = atoms.info["config_id"]
        recipe = config.recipe_of(name)
        hashes = labels_hash(atoms, recipe), hamiltonian_hash(atoms, recipe)
        entries.append(Entry(name, len(atoms), float(len(atoms) ** 2 * max(math.prod(recipe.grid(atoms)), 1)), hashes))
        if folder.result(name).is_file():
            _adopt(folder, name, atoms, recipe, hashes[0])
            if folder.stored_state(name, *hashes) == STALE:
                wrong.append(name)
    if wrong and not recompute:
        changes = _recipe_changes(old, config) if old is not None else []
        other = f"another recipe ({'; '.join(changes)})" if changes else "another structure or recipe"
        raise ValueError(
            f"{folder.path}: {len(wrong)} results are of {other} than planned, the first {wrong[0]}: "
            "choose another folder, or put them aside and compute again with --recompute"
        )
    for name in wrong:
        _put_aside(folder, name)
    same = (
        old is not None
        and Recipe.from_dict(old["recipe"]) == config.recipe
        and old.get("recipe_for", {}) == config.recipe_for
    )
    planned = dict(old["configurations"]) if same else {}
    for e in entries:
        planned[e.name] = {"n_atoms": e.n_atoms, "cost": e.cost, "labels": e.hashes[0], "hamiltonian": e.hashes[1]}
    folder.write_plan(
        {
            "name": config.name,
            "recipe": config.recipe.to_dict(),
            "recipe_for": config.recipe_for,
            "database": redacted(config.database or "ase.db"),
            "configurations": planned,
        }
    )
    return entries


def _recipe_changes(old: dict, config: CampaignConfig) -> list[str]:
    """`key old -> new` of every setting that labels depend on and that is not what the plan `old` says."""
    out = {}
    before, kinds = Recipe.from_dict(old["recipe"]), old.get("recipe_for", {})
    for kind in dict.fromkeys(["", *kinds, *config.recipe_for]):
        a, b = recipe_of(before, kinds, kind).to_dict(), config.recipe_of(kind).to_dict()
        for key in a:
            if key not in AFTERWARDS and a[key] != b[key]:
                out.setdefault(f"{key}: {a[key]} -> {b[key]}", kind)
    return [change + (f" for {kind}" if kind else "") for change, kind in out.items()]


def _adopt(folder, name, atoms, recipe, expected):
    """Write the hash into labels that were computed by hand, if their structure is the planned one.

    A damaged file is put aside.
    """
    header = read_header(folder.result(name))
    if header is None:
        _put_aside(folder, name)
    elif header["hash"] is None and labels_hash(header["atoms"], recipe) == expected:
        labels = Labels.load(folder.result(name))
        labels.info["labels_hash"] = expected
        labels.atoms.info = {**atoms.info, **labels.atoms.info}
        labels.save(folder.result(name))
        folder.failure(name).unlink(missing_ok=True)


def _put_aside(folder, name):
    """Move result and Hamiltonian of a configuration into `superseded/<n>/`."""
    for kind in ("results", "hamiltonians"):
        file = folder.file(kind, name, ".npz")
        if file.is_file():
            n = 0
            while (folder.path / "superseded" / str(n) / kind / file.name).exists():
                n += 1
            target = folder.path / "superseded" / str(n) / kind / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, target)


def collect(folder: CampaignFolder, database) -> int:
    """Write all finished configurations of the plan as `structures.extxyz` and into the database; number of them."""
    frames = []
    for entry in read_status(folder.path).entries:
        if entry.state != DONE:
            continue
        frame = Labels.load(folder.result(entry.name)).frame()
        try:
            write_row(database, frame, hash=entry.hashes[1])
        except Exception as error:  # every back end has errors of its own
            reason = redacted(" ".join(str(error).split()))
            raise OSError(f"{folder.path}: the database cannot be written ({reason})") from error
        frames.append(frame)
    if frames:
        write_frames(folder.path / "structures.extxyz", frames)
    return len(frames)
