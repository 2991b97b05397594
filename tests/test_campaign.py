"""Campaigns: every configuration once, whatever interrupts, and nothing of another recipe. The engine is a toy of milliseconds."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml

from ase_wander.cli import main as cli
from ase_wander.data import bands_check, campaign, engines, processes, worker
from ase_wander.data.campaign import run_campaign
from ase_wander.data.campaign_config import load_campaign
from ase_wander.data.dataset import load_dataset
from ase_wander.data.campaign_status import Entry, Status, read_status
from ase_wander.data.folder import CampaignFolder
from ase_wander.data.labels import Labels
from ase_wander.data.recipe import Recipe
from ase_wander.data.store import connect, redacted
from tests import toy_engine

ROOT = Path(__file__).resolve().parents[1]
WORKER = (sys.executable, str(ROOT / "tests" / "toy_engine.py"))
SAMPLING = {"material": "graphene", "lattice_constant": 2.46, "kinds": [{"prefix": "p1", "count": 3, "gap": [3.2, 3.6], "sigma": [0.02]},
                                                                        {"prefix": "ml", "count": 1, "monolayer": True}]}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The toy engine, known to this process and to the workers that it starts; labels are made without a process where that does."""
    monkeypatch.setattr(campaign, "WORKER", WORKER)
    monkeypatch.setattr(run_campaign, "__kwdefaults__", {**run_campaign.__kwdefaults__, "command": WORKER})
    monkeypatch.setattr("ase_wander.data.recipe.ENGINES", ("gpaw", "espresso", "toy"))
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


def write_config(folder, options=None, **change):
    raw = {"name": "toy", "sampling": SAMPLING, "recipe": {**toy_engine.RECIPE, "options": options or {}}, **change}
    file = folder / "data.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in raw.items() if v is not None}))
    return file


def computed(out):
    """How often the engine was called, by configuration."""
    return {f.stem: len(f.read_text()) for f in (out / "logs").glob("*.count")}


def test_a_campaign_makes_a_data_set(tmp_path, monkeypatch):
    """Workers compute; the folder reads as reference data and as database; H has the toy's eigenvalues and hoppings; nothing is done twice."""
    config, out = load_campaign(write_config(tmp_path)), tmp_path / "out"
    seen = []
    monkeypatch.setenv("TOY_FIGURES", "1")
    status = run_campaign(config, out, n_workers=2, progress=lambda s: seen.append(s.count("done")))
    assert status.count("done") == 4 and seen[0] == 0 and seen[-1] == 4 and status.time_left() == 0
    data = load_dataset(out)
    assert [c.name for c in data] == [a.info["config_id"] for a in config.configurations]
    for c, atoms in zip(data, config.configurations):
        arrays = c.load_blocks(np.ones(len(atoms), int))
        off = (arrays["pair_distance"] > 0) & (arrays["pair_distance"] < 5)
        assert arrays["block"][off] == pytest.approx(toy_engine.hopping(arrays["pair_distance"][off]), abs=1e-5)
        assert c.atoms.positions == pytest.approx(atoms.positions, abs=1e-8)
        assert c.info["vacuum_top"] == 0.1 and c.info["stacking"] == atoms.info["stacking"]
        work = toy_engine.compute(atoms, config.recipe)
        assert c.label("energy") == pytest.approx(work.energy) and c.label("forces") == pytest.approx(work.forces, abs=1e-7)
        assert (out / "bands" / f"{c.name}.png").exists()
    rows = list(connect(out / "ase.db").select(kind="p1"))
    assert len(rows) == 3 and rows[0].energy == pytest.approx(data[0].label("energy"))
    run_campaign(config, out)
    assert set(computed(out).values()) == {1}


def test_killed_anywhere_it_goes_on(tmp_path):
    """Kill -9 in the midst: what runs is still finished by its worker, and started by nobody else; the rest follows; every file is whole."""
    file, out = write_config(tmp_path, {"seconds": 1.0}), tmp_path / "out"
    script = ("import sys; from tests import toy_engine as t; t.register(); import ase_wander.data.engines as e; e.ENGINES['toy'] = 'tests.toy_engine';"
              "from ase_wander.data.campaign import run_campaign; from ase_wander.data.campaign_config import load_campaign;"
              f"run_campaign(load_campaign({str(file)!r}), {str(out)!r}, command={WORKER!r})")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    wait_for(lambda: list((out / "results").glob("*.npz")) if out.exists() else [], process)
    folder = CampaignFolder(out)
    wait_for(lambda: [n for n in folder.names("logs", ".txt") if not folder.result(n).exists()], process)
    process.kill()
    process.wait()
    assert not list(out.rglob("structures.extxyz"))
    assert read_status(out).count("running") == 1
    status = run_campaign(load_campaign(file), out)
    assert status.count("done") + status.count("running") == 4
    wait_for(lambda: read_status(out).count("done") == 4)
    run_campaign(load_campaign(file), out)
    assert len(load_dataset(out)) == 4 and set(computed(out).values()) == {1}
    assert not list(out.rglob("*.part"))


def wait_for(condition, process=None, seconds=120):
    start = time.monotonic()
    while not condition():
        assert process is None or process.poll() is None, "the campaign ended too early"
        assert time.monotonic() - start < seconds
        time.sleep(0.02)


def test_interrupt_ends_the_workers_and_keeps_the_rest(tmp_path):
    file, out = write_config(tmp_path, {"seconds": 30.0}), tmp_path / "out"

    def interrupt(status):
        if status.count("running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(load_campaign(file), out, progress=interrupt)
    assert read_status(out).count("left") == 4 and not list((out / "failed").iterdir())


def test_failures_keep_their_reason_and_are_retried_on_request(tmp_path):
    out = tmp_path / "out"
    config = load_campaign(write_config(tmp_path, {"fail": ["p1_0001"], "die": ["ml_0000"]}))
    status = run_campaign(config, out, n_workers=2)
    reasons = {e.name: e.reason for e in status.entries if e.state == "failed"}
    assert reasons == {"p1_0001": "the toy does not converge", "ml_0000": "killed by signal SIGKILL (out of memory?)"}
    assert "ValueError: the toy does" in (out / "failed" / "p1_0001.txt").read_text()
    assert len(load_dataset(out)) == 2
    run_campaign(config, out)
    assert computed(out)["p1_0001"] == 1
    run_campaign(config, out, retry=True)
    assert computed(out)["p1_0001"] == 2 and computed(out)["p1_0000"] == 1


def test_refused_hamiltonian_keeps_the_labels(tmp_path, inline):
    """A Hamiltonian that cannot be made (more semicore bands than there are) is a failure; with a better recipe no label is computed again."""
    out = tmp_path / "out"
    bad = write_config(tmp_path, recipe={**toy_engine.RECIPE, "semicore": {"C": 1}})
    status = run_campaign(load_campaign(bad, limit=1), out)
    assert "bands" in status.entries[0].reason and (out / "results" / "p1_0000.npz").exists()
    status = run_campaign(load_campaign(write_config(tmp_path), limit=1), out)
    assert status.count("done") == 1 and computed(out) == {"p1_0000": 1}


def test_wrong_bands_are_refused_with_a_figure(tmp_path, monkeypatch):
    """Without the long hoppings the bands of the toy are wrong: the configuration fails with the error's size, its figure shows why."""
    out = tmp_path / "out"
    config = load_campaign(write_config(tmp_path, recipe={**toy_engine.RECIPE, "extent": 2.0}), limit=1)
    monkeypatch.setenv("TOY_FIGURES", "1")
    status = run_campaign(config, out)
    assert "meV rms" in status.entries[0].reason and "max_band_error is 20 meV" in status.entries[0].reason
    assert (out / "bands" / "p1_0000.png").stat().st_size > 1000 and not (out / "structures.extxyz").exists()


def test_a_kind_can_have_a_recipe_of_its_own(tmp_path, inline):
    """Only that kind is computed again when its settings change."""
    out = tmp_path / "out"
    assert run_campaign(load_campaign(write_config(tmp_path, recipe_for={"ml": {"cutoff": 300.0}})), out).count("done") == 4
    other = load_campaign(write_config(tmp_path, recipe_for={"ml": {"cutoff": 350.0}}))
    with pytest.raises(ValueError, match=r"1 results are of another recipe \(cutoff: 300.0 -> 350.0 for ml\) than planned, the first ml_0000"):
        run_campaign(other, out)
    assert run_campaign(other, out, recompute=True).count("done") == 4
    assert computed(out) == {"p1_0000": 1, "p1_0001": 1, "p1_0002": 1, "ml_0000": 2}
    with pytest.raises(ValueError, match="recipe_for.p7: no configuration"):
        load_campaign(write_config(tmp_path, recipe_for={"p7": {"cutoff": 300.0}}))


def test_another_recipe_is_refused_or_computed_anew(tmp_path, inline):
    out = tmp_path / "out"
    run_campaign(load_campaign(write_config(tmp_path), limit=1), out)
    other = load_campaign(write_config(tmp_path, recipe={**toy_engine.RECIPE, "cutoff": 500.0}), limit=1)
    with pytest.raises(ValueError, match="cutoff: 400.0 -> 500.0"):
        run_campaign(other, out)
    assert run_campaign(other, out, recompute=True).count("done") == 1
    assert computed(out) == {"p1_0000": 2} and (out / "superseded" / "0" / "results" / "p1_0000.npz").exists()
    moved = load_campaign(write_config(tmp_path, sampling={**SAMPLING, "seed": 5}, recipe={**toy_engine.RECIPE, "cutoff": 500.0}), limit=1)
    with pytest.raises(ValueError, match="1 results are of another structure or recipe than planned, the first p1_0000"):
        run_campaign(moved, out)


def test_results_computed_by_hand_are_taken(tmp_path, inline):
    """Labels.save in results/ is enough: labels are not computed again, Hamiltonians follow; a damaged file is computed anew."""
    out, config = tmp_path / "out", load_campaign(write_config(tmp_path))
    (out / "results").mkdir(parents=True)
    for atoms in config.configurations[:2]:
        toy_engine.compute(atoms, config.recipe).save(out / "results" / f"{atoms.info['config_id']}.npz")
    damaged = out / "results" / f"{config.configurations[2].info['config_id']}.npz"
    damaged.write_bytes(b"PK\x03\x04 half a file")
    assert run_campaign(config, out).count("done") == 4
    by_hand = {a.info["config_id"] for a in config.configurations[:2]}
    assert set(computed(out)) == {a.info["config_id"] for a in config.configurations} - by_hand


def test_two_campaigns_in_one_folder_share_the_work(tmp_path, inline):
    """What another campaign computes is left to it."""
    out, config = tmp_path / "out", load_campaign(write_config(tmp_path))
    folder = CampaignFolder(out)
    folder.create()
    lock = folder.lock("p1_0000")
    assert folder.lock("p1_0000") is None
    status = run_campaign(config, out)
    assert status.count("done") == 3 and [e.name for e in status.entries if e.state == "running"] == ["p1_0000"]
    os.close(lock)
    assert run_campaign(config, out).count("done") == 4


def test_structures_from_a_file_and_a_choice_of_them(tmp_path, inline):
    """A campaign on the structures of another one computes the same thing: its hashes agree through extended XYZ."""
    first = run_campaign(load_campaign(write_config(tmp_path)), tmp_path / "one")
    file = write_config(tmp_path, sampling=None, structures="one", only=["p1_0002", "ml_0000"])
    config = load_campaign(file)
    second = run_campaign(config, tmp_path / "two")
    hashes = {e.name: e.hashes for e in first.entries}
    assert [e.name for e in second.entries] == ["p1_0002", "ml_0000"] and all(e.hashes == hashes[e.name] for e in second.entries)
    a, b = ({c.name: c for c in load_dataset(tmp_path / name)} for name in ("one", "two"))
    assert b["ml_0000"].label("energy") == pytest.approx(a["ml_0000"].label("energy"), abs=1e-7)


def test_dask_cluster_computes_the_same(tmp_path):
    pytest.importorskip("dask.distributed", reason="NEEDS dask[distributed]: pip install dask[distributed]")
    config = load_campaign(write_config(tmp_path, {"fail": ["p1_0001"]}, only=["p1_0000", "p1_0001"]))
    cluster = run_campaign(config, tmp_path / "b", n_workers=2, dask="local")
    assert [(e.name, e.state, e.reason) for e in cluster.entries] == [("p1_0000", "done", ""), ("p1_0001", "failed", "the toy does not converge")]
    toy_engine.compute(config.configurations[0], config.recipe).save(tmp_path / "here.npz")
    here, there = (Labels.load(tmp_path / x) for x in ("here.npz", "b/results/p1_0000.npz"))
    assert np.array_equal(here.eigenvalues, there.eigenvalues) and here.energy == there.energy
    assert (tmp_path / "b" / "logs" / "p1_0000.txt").read_text() == "toy engine on p1_0000\n" and len(load_dataset(tmp_path / "b")) == 1


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
    with pytest.raises(ValueError, match="--dask tcp://127.0.0.1:9: no scheduler answers"):
        with processes.make_pool(1, "tcp://127.0.0.1:9"):
            pass


def test_time_left_goes_with_the_cost():
    status = Status("x", [Entry("p1_0", 4, 100.0, (), "done", 10.0), Entry("p1_1", 4, 100.0, (), "left"),
                                   Entry("p2_0", 16, 1600.0, (), "left")], n_workers=2)
    assert status.time_left() == pytest.approx((10 + 160) / 2)


@pytest.mark.parametrize("change, message", [
    ({"recipe": None}, "recipe: missing"), ({"sampling": None}, "either sampling"), ({"structures": "x.extxyz"}, "either sampling"), ({"walers": 1}, "walers: unknown"),
    ({"only": ["p1_0099"]}, "only: no configuration 'p1_0099'"), ({"only": "p1_0000"}, "only: 'p1_0000' is not a list"), ({"database": 3}, "database"),
    ({"sampling": None, "structures": "none.extxyz"}, "none.extxyz: no such file"), ({"recipe": {"shells": {"C": [0]}, "engine": "vasp"}}, "engine: 'vasp'"),
    ({"recipe": {"shells": {"C": [0]}, "semicore": {"C": 0}, "bands": {"H": 2}}}, "recipe: bands: nothing for C"), ({"recipe": {"shells": {"H": [0]}, "semicore": {"H": 0}}}, "shells: nothing for C"),
    ({"recipe": {**toy_engine.RECIPE, "options": {"when": date(2020, 1, 1)}}}, "recipe: not plain values"), ({"recipe_for": {"ml": {"cutof": 3}}}, "recipe_for.ml: cutof: unknown")])
def test_config_names_the_wrong_key(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"data.yaml: .*{message}"):
        load_campaign(write_config(tmp_path, **change))


def test_structures_with_one_name_twice_are_refused(tmp_path):
    atoms = load_campaign(write_config(tmp_path)).configurations[0]
    ase.io.write(tmp_path / "twice.extxyz", [atoms, atoms])
    with pytest.raises(ValueError, match="frames 0 and 1 are both named 'p1_0000'"):
        load_campaign(write_config(tmp_path, sampling=None, structures="twice.extxyz"))


def test_database_that_is_none_is_refused_before_anything_runs(tmp_path):
    out = tmp_path / "out"
    for name, message in (("results.txt", "an ASE database is"), ("postgresql://me:secret@127.0.0.1:1/none", "postgresql://me@127")):
        with pytest.raises(ValueError, match=message) as error:
            run_campaign(load_campaign(write_config(tmp_path, database=name)), out)
        assert "secret" not in str(error.value) and not list((out / "results").iterdir())
    assert redacted("postgresql://me:se/cret@host:1/x") == "postgresql://me@host:1/x"


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
    for argv, message in ((["data", "status", str(tmp_path)], "no campaign has been started there"), (["data", "make", "none.yaml", "--out", out], "none.yaml: no such file"),
                          (["data", "make", str(file), "--out", str(file)], "is a file, not a folder")):
        assert cli(argv) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    json_file = tmp_path / "out" / "campaign.json"
    json_file.write_text(json.dumps({"recipe": {}}))
    assert cli(["data", "status", out]) == 2 and "campaign.json: damaged" in capsys.readouterr().err


def test_terminated_command_line_ends_its_workers(tmp_path):
    """SIGTERM: exit code 130, one line, no worker left that holds a lock."""
    file, out = write_config(tmp_path, {"seconds": 30.0}), tmp_path / "out"
    script = (f"import sys; from tests import toy_engine as t; t.register(); import ase_wander.data.engines as e; e.ENGINES['toy'] = 'tests.toy_engine';"
              f"import ase_wander.data.campaign as c; c.run_campaign.__kwdefaults__['command'] = {WORKER!r};"
              "from ase_wander.cli import main; sys.exit(main(sys.argv[1:]))")
    process = subprocess.Popen([sys.executable, "-c", script, "data", "make", str(file), "--out", str(out)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    folder = CampaignFolder(out)
    wait_for(lambda: folder.names("logs", ".txt"), process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "what was finished is kept" in error and "Traceback" not in error
    assert not any(folder.is_locked(name) for name in folder.names("locks", ".lock"))


def test_a_missing_package_stops_before_the_first_process(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    config = load_campaign(write_config(tmp_path, recipe={"shells": {"C": ["pz"]}, "bands": {"C": 6}, "converged_bands": {"C": 5}, "window": [-1, 1]}))
    with pytest.raises(ValueError, match=r"gpaw and dftd3 cannot be imported here: pip install ase-wander\[dft\]"):
        run_campaign(config, tmp_path / "out")
    assert read_status(tmp_path / "out").count("left") == 4


def test_hash_ignores_what_comes_afterwards_and_new_settings():
    """A setting at its default counts nothing: old results stay valid when the recipe grows; extended XYZ's eight digits are enough."""
    atoms = load_campaign_atoms()
    recipe = Recipe.from_dict({"shells": {"C": [0]}, "semicore": {"C": 0}})
    same = Recipe.from_dict({"shells": {"C": [0]}, "semicore": {"C": 1}, "extent": 9.0})
    assert engines.labels_hash(atoms, recipe) == engines.labels_hash(atoms, same) != engines.hamiltonian_hash(atoms, same)
    assert engines.labels_hash(atoms, Recipe.from_dict({**recipe.to_dict(), "cutoff": 401.0})) != engines.labels_hash(atoms, recipe)
    rounded = atoms.copy()
    rounded.positions = np.round(rounded.positions, 8)
    assert engines.labels_hash(rounded, recipe) == engines.labels_hash(atoms, recipe)
    rounded.positions[0, 0] += 1e-6
    assert engines.labels_hash(rounded, recipe) != engines.labels_hash(atoms, recipe)


def load_campaign_atoms():
    from ase_wander.data.plan import read_plan
    from ase_wander.data.sampling import sample
    return sample(read_plan(SAMPLING), 1)[0]
