"""Campaigns as processes: killed, interrupted, several in one folder, over a cluster, from the command line."""

import json
import os
import signal
import subprocess
import sys

import ase.io
import numpy as np
import pytest

from ase_wander.cli import main as cli
from ase_wander.data.campaign import processes
from ase_wander.data.campaign import run as campaign
from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.campaign.folder import CampaignFolder
from ase_wander.data.campaign.run import run_campaign
from ase_wander.data.campaign.status import Entry, Status, read_status
from ase_wander.data.dataset import load_dataset
from ase_wander.data.dft.labels import Labels
from tests import toy_engine
from tests.campaign_toy import ROOT, WORKER, computed, wait_for, write_config

pytestmark = pytest.mark.usefixtures("toy")


def test_killed_anywhere_it_goes_on(tmp_path):
    """Kill -9 in the midst: what runs is still finished by its worker, and started by nobody else.

    The rest follows; every file is whole.
    """
    file, out = write_config(tmp_path, {"seconds": 1.0}), tmp_path / "out"
    script = (
        "import sys; from tests import toy_engine as t; t.register(); import ase_wander.data.dft.engines as e; "
        "e.ENGINES['toy'] = 'tests.toy_engine';"
        "from ase_wander.data.campaign.run import run_campaign; from ase_wander.data.campaign.config import "
        "load_campaign;"
        f"run_campaign(load_campaign({str(file)!r}), {str(out)!r}, command={WORKER!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )
    wait_for(lambda: list((out / "results").glob("*.npz")) if out.exists() else [], process)
    folder = CampaignFolder(out)
    wait_for(lambda: [n for n in folder.names("logs", ".txt") if not folder.result(n).exists()], process)
    process.kill()
    process.wait()
    assert not list(out.rglob("structures.extxyz"))
    assert read_status(out).count("running") == 1
    assert run_campaign(load_campaign(file), out).count("done") == 4  # it waits for the worker that outlived the first
    assert len(load_dataset(out)) == 4 and set(computed(out).values()) == {1}
    assert not list(out.rglob("*.part"))


def test_interrupt_ends_the_workers_and_keeps_the_rest(tmp_path):
    file, out = write_config(tmp_path, {"seconds": 30.0}), tmp_path / "out"

    def interrupt(status):
        if status.count("running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(load_campaign(file), out, progress=interrupt)
    assert read_status(out).count("left") == 4 and not list((out / "failed").iterdir())


def test_two_campaigns_in_one_folder_share_the_work(tmp_path, inline):
    """What another campaign computes is waited for; what it gives up is computed here."""
    out, config = tmp_path / "out", load_campaign(write_config(tmp_path))
    folder = CampaignFolder(out)
    folder.create()
    lock = folder.lock("p1_0000")
    assert folder.lock("p1_0000") is None
    seen = []

    def give_up(status):
        nonlocal lock
        seen.append((status.count("done"), [e.name for e in status.entries if e.state == "running"]))
        if lock is not None and seen[-1] == (3, ["p1_0000"]):
            os.close(lock)
            lock = None

    assert run_campaign(config, out, progress=give_up).count("done") == 4
    assert (3, ["p1_0000"]) in seen
    assert run_campaign(config, out).count("done") == 4


def test_dask_cluster_computes_the_same(tmp_path):
    pytest.importorskip("dask.distributed", reason="NEEDS dask[distributed]: pip install dask[distributed]")
    config = load_campaign(write_config(tmp_path, {"fail": ["p1_0001"]}, only=["p1_0000", "p1_0001"]))
    cluster = run_campaign(config, tmp_path / "b", n_workers=2, dask="local")
    assert [(e.name, e.state, e.reason) for e in cluster.entries] == [
        ("p1_0000", "done", ""),
        ("p1_0001", "failed", "the toy does not converge"),
    ]
    toy_engine.compute(config.configurations[0], config.recipe).save(tmp_path / "here.npz")
    here, there = (Labels.load(tmp_path / x) for x in ("here.npz", "b/results/p1_0000.npz"))
    assert np.array_equal(here.eigenvalues, there.eigenvalues) and here.energy == there.energy
    assert (tmp_path / "b" / "logs" / "p1_0000.txt").read_text() == "toy engine on p1_0000\n" and len(
        load_dataset(tmp_path / "b")
    ) == 1


def test_a_cluster_without_machines_is_waited_for(tmp_path, inline, monkeypatch):
    """The first machine joins late: until then nothing runs and nothing spins."""
    sizes = iter([0, 0, 1, 1, 1])
    pool = campaign.make_pool().enter_result
    type(pool).n_workers = property(lambda self: next(sizes, 1))
    naps = []
    monkeypatch.setattr(campaign.time, "sleep", naps.append)
    assert run_campaign(load_campaign(write_config(tmp_path)), tmp_path / "out").count("done") == 4
    assert [t for t in naps if t] == [campaign.PATIENCE] * 2


def test_no_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr(processes, "TIMEOUT", 1)
    pytest.importorskip("dask.distributed", reason="NEEDS dask[distributed]: pip install dask[distributed]")
    with (
        pytest.raises(ValueError, match="--dask tcp://127.0.0.1:9: no scheduler answers"),
        processes.make_pool(1, "tcp://127.0.0.1:9"),
    ):
        pass


def test_time_left_goes_with_the_cost():
    status = Status(
        "x",
        [
            Entry("p1_0", 4, 100.0, (), "done", 10.0),
            Entry("p1_1", 4, 100.0, (), "left"),
            Entry("p2_0", 16, 1600.0, (), "left"),
        ],
        n_workers=2,
    )
    assert status.time_left() == pytest.approx((10 + 160) / 2)


def test_command_line(tmp_path, capsys, inline):
    """make, status, show; failures leave exit code 1 and their reason in the table."""
    file, out = write_config(tmp_path, {"fail": ["p1_0001"]}), str(tmp_path / "out")
    assert cli(["data", "make", str(file), "--out", out, "--dry-run"]) == 0
    assert len(ase.io.read(tmp_path / "out" / "planned.extxyz", ":")) == 4
    assert cli(["data", "make", str(file), "--out", out, "--limit", "2"]) == 1
    assert "p1_0001 failed: the toy does not converge" in capsys.readouterr().out
    assert cli(["data", "status", out]) == 0
    assert "failed" in capsys.readouterr().out
    assert cli(["data", out]) == 0 and cli(["data", "show", out]) == 0
    assert "p1" in capsys.readouterr().out
    for argv, message in (
        (["data", "status", str(tmp_path)], "no campaign has been started there"),
        (["data", "make", "none.yaml", "--out", out], "none.yaml: no such file"),
        (["data", "make", str(file), "--out", str(file)], "is a file, not a folder"),
    ):
        assert cli(argv) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    json_file = tmp_path / "out" / "campaign.json"
    json_file.write_text(json.dumps({"recipe": {}}))
    assert cli(["data", "status", out]) == 2 and "campaign.json: damaged" in capsys.readouterr().err


def test_terminated_command_line_ends_its_workers(tmp_path):
    """SIGTERM: exit code 130, one line, no worker left that holds a lock."""
    file, out = write_config(tmp_path, {"seconds": 30.0}), tmp_path / "out"
    script = (
        "import sys; from tests import toy_engine as t; t.register(); import ase_wander.data.dft.engines as e; "
        "e.ENGINES['toy'] = 'tests.toy_engine';"
        f"import ase_wander.data.campaign.run as c; c.run_campaign.__kwdefaults__['command'] = {WORKER!r};"
        "from ase_wander.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "data", "make", str(file), "--out", str(out)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    folder = CampaignFolder(out)
    wait_for(lambda: folder.names("logs", ".txt"), process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "what was finished is kept" in error and "Traceback" not in error
    assert not any(folder.is_locked(name) for name in folder.names("locks", ".lock"))
