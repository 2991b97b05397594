"""Fixtures of campaigns with a toy engine; a module whose tests all need it says `pytestmark = usefixtures("toy")`."""

from contextlib import nullcontext

import pytest

from ase_wander.data.campaign import run as campaign
from ase_wander.data.campaign import worker
from ase_wander.data.campaign.run import run_campaign
from ase_wander.data.dft import bands_check, engines
from tests import toy_engine
from tests.campaign_toy import WORKER


@pytest.fixture
def toy(monkeypatch):
    """The toy engine, known to this process and to the workers that it starts.

    Labels are made without a process where that does.
    """
    monkeypatch.setattr(campaign, "WORKER", WORKER)
    monkeypatch.setattr(run_campaign, "__kwdefaults__", {**run_campaign.__kwdefaults__, "command": WORKER})
    monkeypatch.setitem(engines.ENGINES, "toy", "tests.toy_engine")


@pytest.fixture
def inline(monkeypatch):
    """Tasks run in this process, figures are not drawn: for what has nothing to do with either."""
    monkeypatch.setattr(bands_check, "require_bands", bands_check.require_bands)  # put back afterwards
    toy_engine.without_figures()

    class Inline:
        n_workers = 1

        def submit(self, task, lock):
            return worker.run(*worker.decode_task(task))

        def wait(self, futures, seconds):
            return set(futures)

        def receive(self, folder, future):
            return future

    pool = Inline()
    monkeypatch.setattr(campaign, "make_pool", lambda *args: nullcontext(pool))
