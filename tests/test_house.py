"""The house plan: an import goes down only, within a room and between rooms, without exemption."""

import ast
import importlib
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from ase_wander._moved import MODULES as OLD_MODULES

PACKAGE = Path(__file__).resolve().parents[1] / "ase_wander"

#: Rooms from the top floor to the ground; an import leads to the same room or to one further down.
FLOORS = [
    "__main__",
    "cli",
    "plugin",
    "view",
    "ase_format",
    "evaluation",
    "training",
    "relaxation",
    "calculator",
    "electrons",
    "domain",
    "loading",
    "data",
    "published",
    "model",
    "nn",
    "electronic",
    "moire",
    "plotting",
    "structure",
    "catalogue",
    "tables",
    "schema",
    "checks",
    "archives",
    "records",
    "files",
    "locks",
    "kernels",
    "__init__",
    "_moved",
]


def module_name(path: Path) -> str:
    """Dotted name below `ase_wander`; a package's own name for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(name: str) -> set:
    """Modules of the package that a module imports, anywhere in it, also inside functions."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" and name != "__init__" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".")[1:] for alias in node.names if alias.name.split(".")[0] == "ase_wander"]
            found |= {".".join(t) or "__init__" for t in targets}
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        elif (node.module or "").split(".")[0] == "ase_wander":
            base = node.module.split(".")[1:]
        else:
            continue
        for alias in node.names:  # `from . import x` names a module or something inside the package's __init__
            inner = ".".join([*base, alias.name])
            found.add(inner if inner in MODULES else ".".join(base) or "__init__")
    return found - {name}


GRAPH = {name: imports_of(name) for name in MODULES}


def room(name: str) -> str:
    return name.split(".")[0]


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES} <= set(FLOORS)


def test_no_import_climbs():
    climbing = [
        f"{name} -> {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if FLOORS.index(room(target)) < FLOORS.index(room(name))
    ]
    assert not climbing, climbing


def test_no_file_imports_itself_through_others():
    list(TopologicalSorter(GRAPH).static_order())  # CycleError names the circle


def test_no_test_module_imports_another():
    """What several tests need stands in a conftest.py or a helper module beside them."""
    tests = Path(__file__).parent
    for file in sorted(tests.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                found = [name for name in names if name.startswith("tests.") and ".test_" in name]
                assert not found, f"{file.relative_to(tests)} imports {found[0]}"


@pytest.mark.parametrize("name", ["electronic", "moire"])
def test_physics_knows_nothing_of_networks(name):
    for module, path in MODULES.items():
        if room(module) == name:
            text = path.read_text()
            assert "import torch" not in text and "from torch" not in text, module


def test_networks_know_nothing_of_calculators_or_files():
    for module, path in MODULES.items():
        if room(module) == "nn":
            text = path.read_text()
            assert "ase.calculators" not in text and "open(" not in text and "Path(" not in text, module


@pytest.mark.parametrize("old", sorted(OLD_MODULES))
def test_old_module_paths_import_with_a_warning(old, monkeypatch):
    new = OLD_MODULES[old]
    monkeypatch.delitem(sys.modules, f"ase_wander.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"has moved to ase_wander.{new}$"):
        module = importlib.import_module(f"ase_wander.{old}")
    assert module is importlib.import_module(f"ase_wander.{new}")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("model", "load_model"),
        ("published", "load_published"),
        ("data.sampling", "sample"),
        ("data.campaign", "run_campaign"),
        ("moire.commensurate", "commensurate_cells"),
        ("published.model", "load_published"),
    ],
)
def test_names_of_modules_that_became_packages(package, name):
    with pytest.warns(DeprecationWarning, match="has moved"):
        assert callable(getattr(importlib.import_module(f"ase_wander.{package}"), name))
