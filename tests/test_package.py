"""The package as it is installed: contents, pins, entry points."""

import ast
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import find_packages

from ase_wander.catalogue import find_models, model_directories

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def normalised(requirement):
    return re.match(r"[\w.-]+", requirement.strip())[0].lower().replace("_", "-")


def test_every_subpackage_is_installed():
    """Discovery finds folders with an __init__.py only: a room without one would be missing in the wheel."""
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "ase_wander").rglob("*.py")}
    assert set(find_packages(str(ROOT), include=["ase_wander", "ase_wander.*"])) == there


def test_every_dependency_is_pinned(setup):
    pinned = {
        normalised(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    }
    needed = (
        setup["options"]["install_requires"]
        + setup["options.extras_require"]["test"]
        + setup["options.extras_require"]["lint"]
    )
    assert {normalised(line) for line in needed.strip().splitlines()} <= pinned
    assert all("==" in line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#")


def test_every_import_is_a_dependency(setup):
    """What the core imports at all is declared, as core dependency or extra."""
    alias = {"yaml": "pyyaml", "dask": "dask"}
    declared = {
        normalised(line)
        for section in ("options", "options.extras_require")
        for key, value in setup[section].items()
        if key in ("install_requires", "fast", "dft", "parallel", "interop")
        for line in re.split(r"[\n;]", value)
        if line.strip()
    }
    foreign = set()
    for file in (ROOT / "ase_wander").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                foreign |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                foreign.add(node.module.split(".")[0])
    foreign -= set(sys.stdlib_module_names) | {"ase_wander"}
    assert {alias.get(name, name) for name in foreign} <= declared


def test_readme_has_the_two_commands():
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(commands) == 2 and all("-c constraints.txt" in command for command in commands)
    assert "ase-wander run MoS2" in commands[0] and commands[1].endswith("pytest")


def test_the_command_line_starts_without_torch():
    code = "import sys, ase_wander.cli as cli; cli.build_parser('run'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_ase_finds_the_plugin():
    pytest.importorskip("ase._4.plugins.plugin", reason="plug-in registry of ASE 3.29")
    from ase_wander import WanderCalculator, plugin

    (offered,) = plugin.__ase_plugins__
    assert offered.implementation is WanderCalculator


def installed(folder):
    """Environment in which a package of these entry points is installed, whatever is installed here."""
    from configparser import ConfigParser

    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    info = folder / "probe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    section = config["options.entry_points"]["ase.ioformats"].strip()
    (info / "entry_points.txt").write_text(f"[ase.ioformats]\n{section}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_ase_finds_the_calculator_by_its_name(tmp_path):
    """After `import ase.io`, which every command of ASE does, without torch; and reads the atoms of a Hamiltonian."""
    from tests.electronic_helpers import graphene_model

    graphene_model().save(tmp_path / "hamiltonian.npz")
    code = (
        "import sys, ase.io; from ase.calculators.calculator import get_calculator_class as get\n"
        "assert get('wander').nolabel and 'torch' not in sys.modules\n"
        "assert str(ase.io.read(sys.argv[1]).symbols) == 'C2'"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "hamiltonian.npz")]
    subprocess.run(command, check=True, env=installed(tmp_path), cwd=tmp_path)


def test_ase_run(tmp_path):
    """ASE's own command computes an energy with this calculator."""
    from ase.build import mx2
    from ase.io import read, write

    write(tmp_path / "a.xyz", mx2("MoS2", a=3.16, vacuum=10), format="extxyz")
    words = ["run", "wander", "a.xyz", "-p", "model=mos2-bilayer", "-o", "b.extxyz", "--properties", "ef"]
    command = [sys.executable, "-W", "ignore", "-m", "ase", *words]
    subprocess.run(command, check=True, env=installed(tmp_path), cwd=tmp_path, capture_output=True)
    assert read(tmp_path / "b.extxyz").get_potential_energy() < -20


def test_folders_of_the_user_come_first(tmp_path, monkeypatch):
    own = tmp_path / "mine" / "mos2-bilayer"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    shipped = model_directories()
    monkeypatch.setenv("ASE_WANDER_MODELS", str(tmp_path / "mine"))
    assert model_directories() == [tmp_path / "mine", *shipped] and find_models()["mos2-bilayer"] == own
    monkeypatch.setenv("ASE_WANDER_MODELS", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="elsewhere"):
        model_directories()


@pytest.mark.slow
def test_models_travel_inside_the_wheel(tmp_path):
    """Installed without the checkout in sight, the shipped model loads from any directory."""
    from shutil import copytree, ignore_patterns

    source = tmp_path / "source"  # the build leaves files beside setup.cfg
    copytree(
        ROOT, source, ignore=ignore_patterns(".git", ".venv", "venv", "build", "runs", "*.egg-info", "__pycache__")
    )
    target = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, source], check=True)
    assert (target / "ase_wander/models/mos2-bilayer/card.md").is_file() and not list(target.rglob("hamiltonians"))
    code = (
        "import ase_wander, sys; from ase_wander.catalogue import find_models; "
        "assert ase_wander.__file__.startswith(sys.argv[1]), ase_wander.__file__; "
        "assert str(find_models()['mos2-bilayer']).startswith(sys.argv[1]); ase_wander.WanderCalculator('mos2-bilayer')"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(target)],
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
    )


def test_numbers_of_the_readme_are_those_of_the_card():
    readme, card = (
        (ROOT / name).read_text(encoding="utf-8").splitlines() for name in ("README.md", "models/mos2-bilayer/card.md")
    )
    rows = [line for line in readme if line.startswith("|") and "MAE" in line]
    assert len(rows) >= 5 and set(rows) <= set(card)
