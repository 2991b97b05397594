"""What is refused before a campaign starts: wrong keys, databases, packages; which settings a hash sees."""

from datetime import date

import ase.io
import numpy as np
import pytest
from ase import Atoms

from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.campaign.run import run_campaign
from ase_wander.data.campaign.status import read_status
from ase_wander.data.database import redacted
from ase_wander.data.dft import engines
from ase_wander.data.dft.recipe import Recipe, orbitals_per_atom
from ase_wander.data.sampling.configurations import sample
from ase_wander.data.sampling.plan import read_plan
from ase_wander.electronic.orbitals import orbital_table
from tests import toy_engine
from tests.campaign_toy import SAMPLING, write_config

pytestmark = pytest.mark.usefixtures("toy")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"recipe": None}, "recipe: missing"),
        ({"sampling": None}, "either sampling"),
        ({"structures": "x.extxyz"}, "either sampling"),
        ({"walers": 1}, "walers: unknown"),
        ({"only": ["p1_0099"]}, "only: no configuration 'p1_0099'"),
        ({"only": "p1_0000"}, "only: 'p1_0000' is not a list"),
        ({"database": 3}, "database"),
        ({"sampling": None, "structures": "none.extxyz"}, "none.extxyz: no such file"),
        ({"recipe": {"shells": {"C": [0]}, "engine": "vasp"}}, "engine: 'vasp'"),
        ({"recipe": {"shells": {"C": [0]}, "semicore": {"C": 0}, "bands": {"H": 2}}}, "recipe: bands: nothing for C"),
        ({"recipe": {"shells": {"H": [0]}, "semicore": {"H": 0}}}, "shells: nothing for C"),
        ({"recipe": {**toy_engine.RECIPE, "options": {"when": date(2020, 1, 1)}}}, "recipe: not plain values"),
        ({"recipe_for": {"ml": {"cutof": 3}}}, "recipe_for.ml: cutof: unknown"),
    ],
)
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
    for name, message in (
        ("results.txt", "an ASE database is"),
        ("postgresql://me:secret@127.0.0.1:1/none", "postgresql://me@127"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            run_campaign(load_campaign(write_config(tmp_path, database=name)), out)
        assert "secret" not in str(error.value) and not list((out / "results").iterdir())
    assert redacted("postgresql://me:se/cret@host:1/x") == "postgresql://me@host:1/x"


def test_a_missing_package_stops_before_the_first_process(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    config = load_campaign(
        write_config(
            tmp_path,
            recipe={"shells": {"C": ["pz"]}, "bands": {"C": 6}, "converged_bands": {"C": 5}, "window": [-1, 1]},
        )
    )
    with pytest.raises(ValueError, match=r"gpaw and dftd3 cannot be imported here: pip install ase-wander\[dft\]"):
        run_campaign(config, tmp_path / "out")
    assert read_status(tmp_path / "out").count("left") == 4


def test_hash_ignores_what_comes_afterwards_and_new_settings():
    """A setting at its default counts nothing: old results stay valid when the recipe grows.

    Extended XYZ's eight digits are enough.
    """
    atoms = sample(read_plan(SAMPLING), 1)[0]
    recipe = Recipe.from_dict({"shells": {"C": [0]}, "semicore": {"C": 0}})
    same = Recipe.from_dict({"shells": {"C": [0]}, "semicore": {"C": 1}, "extent": 9.0})
    assert (
        engines.labels_hash(atoms, recipe) == engines.labels_hash(atoms, same) != engines.hamiltonian_hash(atoms, same)
    )
    assert engines.labels_hash(atoms, Recipe.from_dict({**recipe.to_dict(), "cutoff": 401.0})) != engines.labels_hash(
        atoms, recipe
    )
    rounded = atoms.copy()
    rounded.positions = np.round(rounded.positions, 8)
    assert engines.labels_hash(rounded, recipe) == engines.labels_hash(atoms, recipe)
    rounded.positions[0, 0] += 1e-6
    assert engines.labels_hash(rounded, recipe) != engines.labels_hash(atoms, recipe)


def test_orbitals_of_several_shells_stand_shell_by_shell():
    """In the order of the recipe, atom by atom: as `expand_shells` and the Hamiltonian's table have them."""
    atoms = Atoms("BN", positions=[[0, 0, 0], [0, 0, 1.5]])
    recipe = Recipe.from_dict({"shells": {"B": [0, 1], "N": [0, 1, 2]}})
    found = recipe.orbitals(atoms)
    table = orbital_table(atoms.symbols, recipe.shells)
    assert found == [(int(row["atom"]), int(row["l"]), int(row["m"])) for row in table]
    assert orbitals_per_atom(found, 2).tolist() == [4, 9]


@pytest.mark.parametrize("shells", [[], [1, 1], [0, "pz"], ["pz", "dz2"]])
def test_shells_that_are_no_set_are_refused(shells):
    with pytest.raises(ValueError, match=r"shells\.C: .*(list of shells|different complete shells)"):
        Recipe.from_dict({"shells": {"C": shells}})
