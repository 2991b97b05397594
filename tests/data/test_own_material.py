"""The tutorial "Your own material": its configurations load, its commands are those of the text, a layer of a file
stands for a name.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import write

from ase_wander import cli
from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.dataset import is_validation
from ase_wander.data.dft.engines import labels_hash
from ase_wander.moire import monolayer
from ase_wander.moire.build import resolve_material
from ase_wander.moire.layer_file import is_layer_file, layer_of, read_layer
from ase_wander.training.config import load_config

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "tutorials" / "own_material"
TEXT = ROOT / "docs" / "own_material.md"


@pytest.mark.parametrize("name", ["toy-data.yaml", "data.yaml"])
def test_plan_fits_the_recipe(name):
    config = load_campaign(TUTORIAL / name)
    assert len({labels_hash(a, config.recipe_of(a.info["config_id"])) for a in config.configurations}) == len(
        config.configurations
    )
    for atoms in config.configurations:
        recipe = config.recipe_of(atoms.info["config_id"])
        assert (
            len(recipe.orbitals(atoms))
            == len(atoms)
            <= recipe.count("converged_bands", atoms)
            < recipe.count("bands", atoms)
        )
        # the Wigner-Seitz cell of the k-grid's period L ends between L/2 and L/sqrt(3): beyond it elements repeat
        assert recipe.extent <= 0.65 * min(
            n * length for n, length in zip(recipe.grid(atoms)[:2], atoms.cell.lengths())
        )


@pytest.mark.parametrize("plan, name", [("toy-data.yaml", "toy-train.yaml"), ("data.yaml", "train.yaml")])
def test_training_fits_the_plan(plan, name):
    recipe, config = load_campaign(TUTORIAL / plan).recipe, load_config(TUTORIAL / name)
    names = [a.info["config_id"] for a in load_campaign(TUTORIAL / plan).configurations]
    held_out = [is_validation(n, config.validation_fraction) for n in names]
    assert config.shells == recipe.shells and config.heads["cutoff"] <= recipe.extent
    assert 2 <= sum(held_out) < 0.4 * len(names)


def test_text_shows_the_commands_of_the_script():
    lines = (TUTORIAL / "own_material.sh").read_text().splitlines()
    commands = [line.split("|| ")[-1] for line in lines if "ase-wander " in line and not line.startswith("#")]
    assert len(commands) >= 8 and all(line in TEXT.read_text().splitlines() for line in commands)


# ---------------------------------------------------------------- a layer of a file
@pytest.fixture
def layer_file(tmp_path):
    """h-BN as others keep it: turned, in a supercell, another lattice constant, a third vector."""
    atoms = monolayer("hBN", 2.6).repeat((2, 1, 1))
    atoms.cell[2] = [0, 0, 15.0]
    atoms.pbc = True
    atoms.rotate(17, "z", rotate_cell=True)
    write(tmp_path / "boron-nitride.cif", atoms)
    return tmp_path / "boron-nitride.cif"


def test_layer_of_a_file_is_that_of_the_name(layer_file):
    known, own = (resolve_material(layer_of(str(m), 2.5), gap=3.3)[0] for m in ("hBN", layer_file))
    assert known.formula == own.formula and np.allclose(known.cell, own.cell, atol=1e-4)
    difference = (known.fractional[1] - known.fractional[0]) - (own.fractional[1] - own.fractional[0])
    turned = (known.fractional[1] - known.fractional[0]) + (own.fractional[1] - own.fractional[0])  # or by 60 degrees
    assert min(abs(d - np.round(d)).max() for d in (difference, turned)) < 1e-4


def test_thickness_of_a_file_is_scaled(tmp_path):
    atoms = monolayer("MoS2")
    atoms.cell[2] = [0, 0, 20.0]
    write(tmp_path / "layer.xyz", atoms)
    layer = layer_of(str(tmp_path / "layer.xyz"), 3.2, 3.0)
    assert np.ptp(layer.positions[:, 2]) == pytest.approx(3.0) and layer.cell.lengths()[0] == pytest.approx(3.2)


def test_a_known_name_comes_before_a_file_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "hBN").write_text("not a structure")
    monkeypatch.chdir(tmp_path)
    assert not is_layer_file("hBN") and is_layer_file("../" + tmp_path.name + "/hBN")


def test_what_is_no_layer_is_named(tmp_path):
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(ValueError, match="empty.xyz"):
        read_layer(tmp_path / "empty.xyz")
    with pytest.raises(ValueError, match="nothing.xyz: no such file, and no known material"):
        layer_of("nothing.xyz", 2.5)


def test_training_takes_a_file(layer_file):
    text = (TUTORIAL / "toy-train.yaml").read_text()
    config_file = layer_file.with_name("train.yaml")
    config_file.write_text(text.replace("material: hBN", f"material: {layer_file.name}"))
    config = load_config(config_file)
    assert config.material == "boron-nitride" and config.material_file == str(layer_file)


def test_the_gap_to_start_from_is_that_of_the_data(layer_file):
    from ase_wander.evaluation.release import layer_to_relax
    from ase_wander.moire import twisted_bilayer
    from ase_wander.structure import find_layers

    bilayers = [twisted_bilayer("hBN", angle=0.0, gap=gap) for gap in (3.2, 3.5, 4.4)]
    configurations = [SimpleNamespace(atoms=atoms, layers=find_layers(atoms)) for atoms in bilayers]
    atoms = layer_to_relax(SimpleNamespace(material="x", material_file=str(layer_file)), configurations)
    assert resolve_material(atoms)[1] == pytest.approx(3.5)
    assert layer_to_relax(SimpleNamespace(material="hBN", material_file=None), configurations) == "hBN"


def test_run_takes_a_file(tmp_path, monkeypatch, capsys):
    """The same cell from a name and from a file of it: the same Hamiltonian."""
    atoms = monolayer("MoS2")
    atoms.cell[2] = [0, 0, 20.0]
    write(tmp_path / "mine.xyz", atoms)
    monkeypatch.chdir(tmp_path)
    reports = {}
    for material in ("MoS2", "mine.xyz"):
        code = cli.main(
            [
                "run",
                material,
                "--m",
                "1",
                "--r",
                "0",
                "--fmax",
                "50",
                "--npoints",
                "5",
                "--n-bands",
                "4",
                "--out",
                Path(material).stem,
            ]
        )
        assert code in (0, None)
        reports[material] = capsys.readouterr().out
    edges = [
        line.split("band edges")[1] for text in reports.values() for line in text.splitlines() if "band edges" in line
    ]
    assert len(edges) == 2 and edges[0] == edges[1]


# ---------------------------------------------------------------- all of it
@pytest.mark.slow
def test_the_chain_runs(tmp_path):
    """All commands as they stand; the same again changes nothing."""
    missing = [name for name in ("gpaw", "dftd3") if find_spec(name) is None]
    if missing:
        pytest.skip(f"NEEDS {' AND '.join(missing).upper()}: pip install ase-wander[dft]")
    for file in TUTORIAL.glob("*"):
        shutil.copy(file, tmp_path)
    command = tmp_path / "bin" / "ase-wander"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ase_wander.cli "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(["sh", "own_material.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "10 of 10 configurations done" in done.stdout
    for file in (
        "campaign/bands/s_0000.png",
        "data/structures.extxyz",
        "run/learning.png",
        "model/card.md",
        "report/report.json",
        "twisted/bands.png",
    ):
        assert (tmp_path / file).stat().st_size > 0
