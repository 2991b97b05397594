"""Every tutorial runs as it stands and leaves what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ase_wander

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"


#: What a tutorial needs beside the package and its tests.
NEEDS = {"phonons.py": "phonopy"}


@pytest.mark.parametrize("name", [path.name for path in sorted(TUTORIALS.glob("*.py"))])
def test_tutorial_runs(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"NEEDS {NEEDS[name]}: pip install {NEEDS[name]}")
    environment = os.environ | {"PYTHONPATH": str(Path(ase_wander.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(TUTORIALS / name)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout and list(tmp_path.iterdir())
