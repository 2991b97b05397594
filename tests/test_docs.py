"""The documentation says what is true: examples run, links lead somewhere, commands are understood."""

import doctest
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from ase_wander.cli import build_parser
from ase_wander.cli.data import with_action

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/howto/*.md"), ROOT / "README.md"])

#: Modules whose examples are complete. Others show a line or two that need atoms of yours.
WITH_EXAMPLES = ["moire.build", "moire.cell_search", "training.progress", "training.terms"]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"ase_wander.{name}"))
    assert result.attempted and not result.failed


def load(name):
    """A module of the folder `docs`."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    repository = load("_repository")
    for _, _, link in repository.LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link and not link.startswith("#"):
            path = link.partition("#")[0]
            assert (page.parent / path).exists(), link


def test_links_out_of_the_documentation_become_pages_of_the_site():
    repository = load("_repository")
    source = ROOT / "docs" / "howto" / "train.md"
    text = "[a](../../models/mos2-bilayer/card.md#errors) [b](../../tutorials/first_light.py) "
    text += "[c](../../setup.cfg) [d](../data.md)"
    assert repository.for_site(text, source, "howto/train.md") == (
        "[a](../generated/mos2-bilayer.md#errors) [b](../gallery/first_light.rst) c (`setup.cfg`) [d](../data.md)"
    )
    with pytest.raises(ValueError, match="no such file"):
        repository.for_site("[a](nowhere.md)", source, "howto/train.md")


def commands():
    """Lines of code blocks that start with `ase-wander`, but for those with an ellipsis or a bracket."""
    for page in PAGES:
        for block in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"\s+#.*", "", line.strip().removeprefix("srun "))
                if line.startswith("ase-wander ") and not re.search(r"\.\.\.|\[|…|<", line):
                    yield pytest.param(line, id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_of_the_pages_are_understood(line):
    words = shlex.split(re.sub(r"\$\w+", "1", line))[1:]
    arguments = with_action(words) if words[0] == "data" else words
    build_parser(words[0]).parse_args(arguments)


def test_interface_page_names_what_there_is():
    """Every public name of the package stands on the page, and every name on the page is there."""
    import ase_wander
    import ase_wander.moire

    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    module, names = "ase_wander", set()
    for line in text.splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.match(r"   ([\w.]+)$", line):
            parent, _, name = f"{module}.{match[1]}".rpartition(".")
            assert hasattr(importlib.import_module(parent), name), f"{parent}.{name}"
            names.add(match[1])
    assert set(ase_wander.__all__) | set(ase_wander.moire.__all__) <= names


def test_every_tutorial_stands_in_the_gallery():
    assert {path.name for path in (ROOT / "tutorials").glob("*.py")} == set(load("_tutorials").ORDER)
