"""Benchmarks and tutorials import what is there: nobody runs all of them after a name has moved."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(p for folder in ("benchmarks", "tutorials") for p in (ROOT / folder).rglob("*.py"))


def is_there(module, name):
    try:
        found = importlib.import_module(module)
        return hasattr(found, name) or importlib.import_module(f"{module}.{name}") is not None
    except ImportError:
        return False


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_script_imports_names_that_exist(script):
    wanted = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ase_wander"
        for alias in node.names
    ]
    assert [pair for pair in wanted if not is_there(*pair)] == []
