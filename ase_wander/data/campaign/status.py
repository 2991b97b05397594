"""Progress of a campaign: state, wall time and reason of failure of every configuration, and the time left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .folder import DONE, FAILED, LABELLED, LEFT, RUNNING, CampaignFolder, read_header


@dataclass
class Entry:
    """State of one configuration.

    Attributes
    ----------
    name, kind : str
    n_atoms : int
    cost : float
        Atoms squared times k-points: what the time of a plane-wave calculation of one cutoff goes with, roughly.
    hashes : tuple of str
        Of the labels and of the Hamiltonian.
    state : str
        See `folder`.
    seconds : float or None
    reason : str
        Of a failure.
    """

    name: str
    n_atoms: int
    cost: float
    hashes: tuple
    state: str = LEFT
    seconds: float | None = None
    reason: str = ""

    @property
    def kind(self):
        return self.name.split("_")[0]


@dataclass
class Status:
    """State of all configurations of a campaign."""

    name: str
    entries: list = field(default_factory=list)
    n_workers: int = 1

    def count(self, *states) -> int:
        return sum(e.state in states for e in self.entries)

    def by_kind(self) -> dict:
        """Counter of the states of every kind."""
        out = {}
        for e in self.entries:
            out.setdefault(e.kind, Counter())[e.state] += 1
        return out

    def seconds(self, kind: str | None = None) -> float | None:
        """Mean wall time of the finished configurations (of a kind), None without any."""
        times = [e.seconds for e in self.entries if e.seconds and kind in (None, e.kind)]
        return sum(times) / len(times) if times else None

    def time_left(self) -> float | None:
        """Seconds until all is done at the present number of processes, None while nothing is known."""
        timed = [e for e in self.entries if e.seconds]
        if not timed:
            return None
        rate = sum(e.seconds for e in timed) / sum(e.cost for e in timed)
        open_entries = [e for e in self.entries if e.state in (LEFT, RUNNING)]
        return sum(self.seconds(e.kind) or rate * e.cost for e in open_entries) / max(self.n_workers, 1)


def read_status(path) -> Status:
    """Status of a campaign's folder; ValueError when it is none."""
    folder = CampaignFolder(path)
    plan = folder.read_plan() if folder.path.is_dir() else None
    if plan is None:
        raise ValueError(f"{path}: no campaign has been started there")
    status = Status(plan["name"])
    for name, c in plan["configurations"].items():
        status.entries.append(refresh(folder, Entry(name, c["n_atoms"], c["cost"], (c["labels"], c["hamiltonian"]))))
    return status


def refresh(folder, entry):
    """Read state, wall time and reason of failure again; gives the entry back."""
    entry.state = folder.state(entry.name, *entry.hashes)
    entry.seconds, entry.reason = None, ""
    if entry.state in (DONE, LABELLED, FAILED) and folder.result(entry.name).is_file():
        entry.seconds = (read_header(folder.result(entry.name)) or {}).get("seconds")
    if entry.state == FAILED:
        entry.reason = folder.read_failure(entry.name)["reason"]
    return entry
