"""A fine-tuning without a configuration: what is made of a model and data alone."""

import numpy as np
import pytest
import torch
import yaml
from ase.io import read, write

from ase_wander.cli import main
from ase_wander.training import finetune
from ase_wander.training.config import load_config
from ase_wander.training.finetune import electrons, finetuning, sorted_species
from ase_wander.training.record import read_record
from ase_wander.training.train import new_model
from tests.mos2_small import DATA
from tests.training_setup import CONFIG


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(3)
    return new_model({**CONFIG, "heads": {**CONFIG["heads"], "inter_input": "paths", "facing": ["S"]}}).save(
        tmp_path / "trained"
    )


@pytest.fixture
def diselenide(tmp_path):
    """Energies and forces of a diselenide: those of the tests' data under other names."""
    images = read(DATA / "structures.extxyz", ":")
    for atoms in images:
        atoms.symbols = [{"Mo": "W", "S": "Se"}[s] for s in atoms.symbols]
    write(tmp_path / "wse2.extxyz", images)
    return tmp_path / "wse2.extxyz"


@pytest.fixture
def one_step(monkeypatch):
    for stage in (finetune.FORCE_FIELD, finetune.ELEMENTS, finetune.BANDS):
        monkeypatch.setitem(stage, "steps", 1)


def test_new_elements_take_shells_and_valence_electrons_of_their_relatives(trained, diselenide):
    made = finetuning(trained, [diselenide], "selenide")
    assert (made["species"], made["material"]) == (["W", "Se"], "WSe2")
    assert made["shells"] == {"W": [2], "Se": [1]} and made["electrons"] == {"W": 6, "Se": 4}
    assert made["heads"]["facing"] == ["Se"] and made["force_field"] == CONFIG["force_field"]
    assert [stage["kind"] for stage in made["stages"]] == ["forcefield"]  # the file has no Hamiltonian
    both = finetuning(trained, [diselenide], "both", replay=0.3)
    assert (both["species"], both["material"]) == (["Mo", "W", "S", "Se"], "MoS2")


def test_groups_of_the_periodic_table_count_electrons():
    """pz of boron nitride from that of graphene: none from boron, two from nitrogen."""
    assert (electrons("B", "C", 1), electrons("N", "C", 1), electrons("Te", "S", 4)) == (0, 2, 4)
    with pytest.raises(ValueError, match="Be starts from C, which brings 1"):
        electrons("Be", "C", 1)
    assert sorted_species({"Se", "W", "S", "Mo", "Te"}, ["Mo", "S"]) == ["Mo", "W", "S", "Se", "Te"]


def test_the_command_writes_trains_and_goes_on(tmp_path, trained, diselenide, one_step):
    """The file it makes is one that `train` reads; the run knows where its elements come from."""
    command = ["train", "--from", str(trained), "--data", str(diselenide), "--out", str(tmp_path / "selenide")]
    assert main(command) == 0
    config = load_config(tmp_path / "selenide.yaml")
    assert (config.name, config.start_from) == ("selenide", str(trained))
    assert read_record(tmp_path / "selenide" / "run.json")["start"]["relatives"] == {"W": "Mo", "Se": "S"}
    assert main([*command, "--resume"]) == 0


def test_data_with_hamiltonians_train_both_parts(tmp_path, trained, one_step):
    out = tmp_path / "again"
    options = ["--freeze", "force_field", "--name", "tuned", "--material", "MoS2"]
    made = finetuning(trained, [DATA], "tuned")
    assert [stage["name"] for stage in made["stages"]] == ["forces", "elements", "bands"]
    command = ["train", "--from", str(trained), "--data", str(DATA), "--out", str(out), *options]
    assert main(command) != 0  # nothing of the stage of forces is left to train
    written = yaml.safe_load((tmp_path / "again.yaml").read_text())
    assert written["freeze"] == ["force_field"] and written["name"] == "tuned"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "run"], "give a configuration, or --from MODEL and --data DATA"),
        (["train", "--out", "run", "--from", "mos2-bilayer"], "give a configuration, or --from MODEL and --data DATA"),
        (["train", "a.yaml", "--out", "run", "--from", "x"], "a configuration names both itself"),
        (["train", "--out", "run", "--from", "nowhere", "--data", str(DATA)], "no model named 'nowhere'"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) != 0
    assert message in " ".join(capsys.readouterr().err.split())


def test_unlabelled_data_are_refused(tmp_path, trained):
    atoms = read(DATA / "structures.extxyz", "0")
    atoms.calc = None
    atoms.info = {}
    atoms.arrays = {k: v for k, v in atoms.arrays.items() if k in ("numbers", "positions")}
    assert np.isfinite(atoms.positions).all()
    write(tmp_path / "bare.extxyz", atoms)
    with pytest.raises(ValueError, match="no energy, force, Hamiltonian or band structure"):
        finetuning(trained, [tmp_path / "bare.extxyz"], "bare")
