"""`ase-wander train` killed by SIGKILL at any moment and resumed ends in the same bits as a run left alone."""

import io
import json
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
import yaml

from ase_wander.cli import main
from ase_wander.training.train import _occupy
from tests.training_setup import CONFIG, STAGES


def command_line(*arguments):
    """The real command in a process of its own, which has the imports behind it: kills then hit the run."""
    raise SystemExit(main(list(arguments)))


def die_inside_checkpoint(number, *arguments):
    """The same, killed after half of its checkpoint of that number has been written."""
    save, count = torch.save, 0

    def save_half(state, file):
        nonlocal count
        count += 1
        if count < number:
            return save(state, file)
        whole = io.BytesIO()
        save(state, whole)
        file.write(whole.getvalue()[: whole.tell() // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_half
    command_line(*arguments)


@pytest.fixture(scope="module")
def start():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "ase_wander.cli",
            "ase_wander.training.train",
            "ase_wander.training.figures",
            "torch._dynamo",
            "tests.training.test_resume_kill",
        ]
    )

    def start(target, *arguments):
        process = context.Process(target=target, args=arguments)
        process.start()
        return process

    return start


def log(folder):
    """Rows of the logs of all stages, without their clock."""
    rows = [
        json.loads(line) for stage in STAGES for line in (folder / f"{stage['kind']}.jsonl").read_text().splitlines()
    ]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path, start):
    config = tmp_path / "tiny.yaml"
    forcefield = {**STAGES[0], "steps": 40, "monitor": "layer_force", "patience": 3}  # stops early
    config.write_text(yaml.safe_dump({**CONFIG, "stages": [forcefield, {**STAGES[1], "steps": 20}]}))
    train, killed = ("train", str(config), "--out"), tmp_path / "killed"
    start(int).join()  # the imports
    begin = time.monotonic()
    whole = start(command_line, *train, str(tmp_path / "whole"))
    whole.join()
    duration = time.monotonic() - begin
    assert whole.exitcode == 0 and any(row.get("stopped") for row in log(tmp_path / "whole"))

    process = start(die_inside_checkpoint, 7, *train, str(killed))
    process.join()
    assert process.exitcode == -signal.SIGKILL and next(killed.glob(".partial-*-forcefield.pt.part")).stat().st_size > 0
    random, n_kills = np.random.default_rng(3), 0
    while n_kills < 4:
        process = start(command_line, *train, str(killed), "--resume")
        process.join(random.uniform(0.0, 0.7 * duration))
        process.kill()
        process.join()
        n_kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:  # too late
            shutil.rmtree(killed)
            duration *= 0.8
    process = start(command_line, *train, str(killed), "--resume")
    process.join()
    assert process.exitcode == 0
    assert log(killed) == log(tmp_path / "whole")
    for stage in STAGES:
        weights = f"{stage['kind']}.done.pt"
        assert (killed / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_what_a_kill_before_the_first_step_leaves_is_no_run(tmp_path, capfd):
    """Half a record: the run begins anew, with --resume or without."""
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "stages": [{**STAGES[0], "steps": 1}]}))
    for flags in ([], ["--resume"]):
        folder = tmp_path / f"run{len(flags)}"
        folder.mkdir()
        (folder / ".partial-0-run.json").write_text('{"config": {')
        assert main(["train", str(config), "--out", str(folder), *flags]) == 0
        assert (
            json.loads((folder / "run.json").read_text())["processes"] == 1
            and (folder / "learning.png").stat().st_size > 0
        )
    assert "forcefield 1/1: training forces" in capfd.readouterr().err


def test_two_runs_do_not_share_a_folder(tmp_path, capsys):
    """Processes that outlive a killed torchrun still hold the folder."""
    config, folder = tmp_path / "tiny.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({**CONFIG, "stages": [{**STAGES[0], "steps": 1}]}))
    lock = _occupy(folder)
    assert main(["train", str(config), "--out", str(folder)]) == 2
    assert "run: another process trains in this folder" in capsys.readouterr().err
    os.close(lock)
    assert main(["train", str(config), "--out", str(folder)]) == 0
