"""Training by several processes: shares add up to the batch, two processes equal one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ase_wander.cli import main
from ase_wander.data.dataset import load_dataset
from ase_wander.training.terms import with_defaults
from ase_wander.training.train import new_model, samples_of
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES


@pytest.mark.parametrize("kind", ["forcefield", "hamiltonian", "joint"])
def test_losses_of_the_shares_add_up_to_that_of_the_batch(kind):
    """Shares of unequal size, of configurations with unequal numbers of atoms and unequal weights."""
    torch.manual_seed(0)
    model, weights = (
        new_model(CONFIG).double(),
        with_defaults(
            kind,
            {
                **(STAGES[0]["weights"] if kind != "hamiltonian" else {}),
                **(STAGES[1]["weights"] if kind != "forcefield" else {}),
            },
        ),
    )
    samples = samples_of(kind, load_dataset(DATA), model, weights, torch.float64)
    for part in (getattr(samples, "force_field", samples), getattr(samples, "hamiltonian", samples)):
        for k, sample in enumerate(part.samples):
            sample.sigma = 0.02 * k
        part.fit_normalisation()
    batch = list(range(len(samples)))
    trained = {"forcefield": model.force_field, "hamiltonian": model.heads, "joint": model}[kind]
    parameters = [p for p in trained.parameters() if p.requires_grad]

    def gradient(loss):
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)]
        )

    whole, terms = samples.loss(batch, weights)
    shares = [samples.loss(share, weights, batch) for share in (batch[:1], batch[1:])]
    assert sum(loss.item() for loss, _ in shares) == pytest.approx(whole.item(), rel=1e-12)
    assert {k: sum(t[k] for _, t in shares) for k in terms} == pytest.approx(terms, rel=1e-12)
    assert torch.allclose(sum(gradient(loss) for loss, _ in shares), gradient(whole), rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- torchrun
@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Two batches of unequal size per epoch, one of them a single sample: the second process idles then."""
    stages = [{**stage, "steps": 10, "batch": 2, "noise": 0.0, "validate_every": 2} for stage in STAGES]
    file = tmp_path_factory.mktemp("distributed") / "tiny.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "validation_fraction": 0.1, "dtype": "float64", "stages": stages}))
    return file


def torchrun(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *map(str, arguments)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"},
    )


def results(folder):
    """Rows of the logs without their clock, and the final weights."""
    rows = [
        json.loads(line) for stage in STAGES for line in (folder / f"{stage['kind']}.jsonl").read_text().splitlines()
    ]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows], torch.load(
        folder / "hamiltonian.done.pt"
    )


#: The command, in which the second process dies in the middle of its run; torchrun starts both anew, and they resume.
MORTAL = """
import os, signal, sys
from ase_wander.cli import main
from ase_wander.training import distributed

steps, add_up = [], distributed.add_up

def deadly(*arguments):
    steps.append(1)
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1" and len(steps) == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    return add_up(*arguments)

distributed.add_up = deadly
sys.exit(main(sys.argv[1:]))
"""


def test_two_processes_equal_one(config, tmp_path):
    """Losses, validation errors and weights after ten steps of each stage, killed once in the second."""
    assert main(["train", str(config), "--out", str(tmp_path / "one")]) == 0
    (tmp_path / "mortal.py").write_text(MORTAL)
    done = torchrun("--max-restarts", 1, tmp_path / "mortal.py", "train", config, "--out", tmp_path / "two", "--resume")
    assert done.returncode == 0, done.stderr
    (one, weights), (two, own) = results(tmp_path / "one"), results(tmp_path / "two")
    assert len(one) == len(two) == 6
    for a, b in zip(one, two):
        assert a["step"] == b["step"] and a["train"] == pytest.approx(b["train"], rel=1e-10)
        assert a["validation"] == pytest.approx(b["validation"], rel=1e-9)
    assert weights.keys() == own.keys()
    assert max(float((own[k] - w).abs().max() / (1 + w.abs().max())) for k, w in weights.items()) < 1e-10
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    for line in ("forcefield 10/10", "hamiltonian 4/10", "hamiltonian 10/10"):  # one process speaks
        assert done.stderr.count(line) == 1


def test_bad_input_of_several_processes_is_one_line(config, tmp_path):
    (tmp_path / "bad.yaml").write_text(config.read_text() + "colour: red\n")
    done = torchrun("-m", "ase_wander.cli", "train", tmp_path / "bad.yaml", "--out", tmp_path / "run")
    assert done.returncode != 0 and done.stderr.count("colour: unknown") == 1 and not (tmp_path / "run").exists()
