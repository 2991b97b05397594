"""Campaigns: every configuration once, whatever fails, and nothing of another recipe.

The engine is a toy of milliseconds.
"""

import numpy as np
import pytest

from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.campaign.run import run_campaign
from ase_wander.data.database import connect
from ase_wander.data.dataset import load_dataset
from tests import toy_engine
from tests.campaign_toy import SAMPLING, computed, write_config

pytestmark = pytest.mark.usefixtures("toy")


def test_a_campaign_makes_a_data_set(tmp_path, monkeypatch):
    """Workers compute; the folder reads as reference data and as database.

    H has the toy's eigenvalues and hoppings; nothing is done twice.
    """
    config, out = load_campaign(write_config(tmp_path)), tmp_path / "out"
    seen = []
    monkeypatch.setenv("TOY_FIGURES", "1")
    status = run_campaign(config, out, n_workers=2, progress=lambda s: seen.append(s.count("done")))
    assert status.count("done") == 4 and seen[0] == 0 and seen[-1] == 4 and status.time_left() == 0
    data = load_dataset(out)
    assert [c.name for c in data] == [a.info["config_id"] for a in config.configurations]
    for c, atoms in zip(data, config.configurations):
        arrays = c.load_blocks(np.ones(len(atoms), int))
        off = (arrays["pair_distance"] > 0) & (arrays["pair_distance"] < 5)
        assert arrays["block"][off] == pytest.approx(toy_engine.hopping(arrays["pair_distance"][off]), abs=1e-5)
        assert c.atoms.positions == pytest.approx(atoms.positions, abs=1e-8)
        assert c.info["vacuum_top"] == 0.1 and c.info["stacking"] == atoms.info["stacking"]
        work = toy_engine.compute(atoms, config.recipe)
        assert c.label("energy") == pytest.approx(work.energy) and c.label("forces") == pytest.approx(
            work.forces, abs=1e-7
        )
        assert (out / "bands" / f"{c.name}.png").exists()
    rows = list(connect(out / "ase.db").select(kind="p1"))
    assert len(rows) == 3 and rows[0].energy == pytest.approx(data[0].label("energy"))
    run_campaign(config, out)
    assert set(computed(out).values()) == {1}


def test_failures_keep_their_reason_and_are_retried_on_request(tmp_path):
    out = tmp_path / "out"
    config = load_campaign(write_config(tmp_path, {"fail": ["p1_0001"], "die": ["ml_0000"]}))
    status = run_campaign(config, out, n_workers=2)
    reasons = {e.name: e.reason for e in status.entries if e.state == "failed"}
    assert reasons == {"p1_0001": "the toy does not converge", "ml_0000": "killed by signal SIGKILL (out of memory?)"}
    assert "ValueError: the toy does" in (out / "failed" / "p1_0001.txt").read_text()
    assert len(load_dataset(out)) == 2
    run_campaign(config, out)
    assert computed(out)["p1_0001"] == 1
    run_campaign(config, out, retry=True)
    assert computed(out)["p1_0001"] == 2 and computed(out)["p1_0000"] == 1


def test_refused_hamiltonian_keeps_the_labels(tmp_path, inline):
    """A Hamiltonian that cannot be made (more semicore bands than there are) is a failure.

    With a better recipe no label is computed again.
    """
    out = tmp_path / "out"
    bad = write_config(tmp_path, recipe={**toy_engine.RECIPE, "semicore": {"C": 1}})
    status = run_campaign(load_campaign(bad, limit=1), out)
    assert "bands" in status.entries[0].reason and (out / "results" / "p1_0000.npz").exists()
    status = run_campaign(load_campaign(write_config(tmp_path), limit=1), out)
    assert status.count("done") == 1 and computed(out) == {"p1_0000": 1}


def test_wrong_bands_are_refused_with_a_figure(tmp_path, monkeypatch):
    """Without the long hoppings the bands of the toy are wrong: the configuration fails with the error's size, its
    figure shows why.
    """
    out = tmp_path / "out"
    config = load_campaign(write_config(tmp_path, recipe={**toy_engine.RECIPE, "extent": 2.0}), limit=1)
    monkeypatch.setenv("TOY_FIGURES", "1")
    status = run_campaign(config, out)
    assert "meV rms" in status.entries[0].reason and "max_band_error is 20 meV" in status.entries[0].reason
    assert (out / "bands" / "p1_0000.png").stat().st_size > 1000 and not (out / "structures.extxyz").exists()


def test_a_kind_can_have_a_recipe_of_its_own(tmp_path, inline):
    """Only that kind is computed again when its settings change."""
    out = tmp_path / "out"
    assert (
        run_campaign(load_campaign(write_config(tmp_path, recipe_for={"ml": {"cutoff": 300.0}})), out).count("done")
        == 4
    )
    other = load_campaign(write_config(tmp_path, recipe_for={"ml": {"cutoff": 350.0}}))
    with pytest.raises(
        ValueError,
        match=r"1 results are of another recipe \(cutoff: 300.0 -> 350.0 for ml\) than planned, the first ml_0000",
    ):
        run_campaign(other, out)
    assert run_campaign(other, out, recompute=True).count("done") == 4
    assert computed(out) == {"p1_0000": 1, "p1_0001": 1, "p1_0002": 1, "ml_0000": 2}
    with pytest.raises(ValueError, match="recipe_for.p7: no configuration"):
        load_campaign(write_config(tmp_path, recipe_for={"p7": {"cutoff": 300.0}}))


def test_another_recipe_is_refused_or_computed_anew(tmp_path, inline):
    out = tmp_path / "out"
    run_campaign(load_campaign(write_config(tmp_path), limit=1), out)
    other = load_campaign(write_config(tmp_path, recipe={**toy_engine.RECIPE, "cutoff": 500.0}), limit=1)
    with pytest.raises(ValueError, match="cutoff: 400.0 -> 500.0"):
        run_campaign(other, out)
    assert run_campaign(other, out, recompute=True).count("done") == 1
    assert computed(out) == {"p1_0000": 2} and (out / "superseded" / "0" / "results" / "p1_0000.npz").exists()
    moved = load_campaign(
        write_config(tmp_path, sampling={**SAMPLING, "seed": 5}, recipe={**toy_engine.RECIPE, "cutoff": 500.0}), limit=1
    )
    with pytest.raises(
        ValueError, match="1 results are of another structure or recipe than planned, the first p1_0000"
    ):
        run_campaign(moved, out)


def test_results_computed_by_hand_are_taken(tmp_path, inline):
    """Labels.save in results/ is enough: labels are not computed again, Hamiltonians follow.

    A damaged file is computed anew.
    """
    out, config = tmp_path / "out", load_campaign(write_config(tmp_path))
    (out / "results").mkdir(parents=True)
    for atoms in config.configurations[:2]:
        toy_engine.compute(atoms, config.recipe).save(out / "results" / f"{atoms.info['config_id']}.npz")
    damaged = out / "results" / f"{config.configurations[2].info['config_id']}.npz"
    damaged.write_bytes(b"PK\x03\x04 half a file")
    assert run_campaign(config, out).count("done") == 4
    by_hand = {a.info["config_id"] for a in config.configurations[:2]}
    assert set(computed(out)) == {a.info["config_id"] for a in config.configurations} - by_hand


def test_structures_from_a_file_and_a_choice_of_them(tmp_path, inline):
    """A campaign on the structures of another one computes the same thing: its hashes agree through extended XYZ."""
    first = run_campaign(load_campaign(write_config(tmp_path)), tmp_path / "one")
    file = write_config(tmp_path, sampling=None, structures="one", only=["p1_0002", "ml_0000"])
    config = load_campaign(file)
    second = run_campaign(config, tmp_path / "two")
    hashes = {e.name: e.hashes for e in first.entries}
    assert [e.name for e in second.entries] == ["p1_0002", "ml_0000"] and all(
        e.hashes == hashes[e.name] for e in second.entries
    )
    a, b = ({c.name: c for c in load_dataset(tmp_path / name)} for name in ("one", "two"))
    assert b["ml_0000"].label("energy") == pytest.approx(a["ml_0000"].label("energy"), abs=1e-7)
