"""The ablation command: splits, resumption, judgement, tables; and how errors of H become errors of bands."""

import json
import re

import pytest
import yaml

from ase_wander.cli import main
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.blocks import PairBlocks
from ase_wander.evaluation.ablation.noise import Disturbed, band_errors, disturbance
from ase_wander.evaluation.ablation.results import update_document
from ase_wander.evaluation.ablation.run import judge
from ase_wander.evaluation.ablation.table import Table, load_result
from tests import graphene_toy

STAGE = {"batch": 4, "lr": 1e-3, "validate_every": 1000}
TABLE = {
    "name": "toy",
    "data": "data",
    "document": "doc.md",
    "figure": "figure.png",
    "train": ["g1_*"],
    "range": {"gap": [3.2, 3.7], "a": [2.43, 2.49]},
    "judge": {"range": ["g1_*"], "kind": ["g2_*"]},
    "validation_fraction": 0.3,
    "seeds": [1, 2],
    "base": {
        "material": "graphene",
        "species": ["C"],
        "shells": {"C": ["pz"]},
        "electrons": {"C": 1},
        "force_field": {"n_channels": 4, "n_radial": 4, "cutoff": 4.0, "n_raer": 4, "hidden": 8},
        "heads": {"cutoff": 5.0, "taper": 4.5, "l_max": 2, "n_channels": 4, "n_scalars": 4, "hidden": 8, "n_gated": 4},
    },
    "stages": [
        {"kind": "forcefield", "steps": 3, "weights": {"energy": 1.0, "forces": 1.0}, **STAGE},
        {"kind": "hamiltonian", "name": "elements", "steps": 4, "weights": {"onsite": 0.1, "spread": 0.25}, **STAGE},
        {"kind": "hamiltonian", "name": "bands", "steps": 2, "weights": {"onsite": 0.1, "eigenvalues": 0.04}, **STAGE},
    ],
    "groups": {
        "inputs": {
            "title": "Inputs",
            "columns": ["held-out.elements", "range.eigenvalues", "kind.inter_r2", "nonzeros_per_row"],
        }
    },
    "rows": [
        {"name": "default", "groups": {"inputs": "tensors"}},
        {
            "name": "distance",
            "groups": {"inputs": "R alone"},
            "heads": {"intra_input": "distance", "inter_input": "distance"},
        },
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    graphene_toy.write_dataset(folder / "data", 16, sigma=0.02, mesh=(3, 3, 1))
    graphene_toy.write_dataset(folder / "data", 2, sigma=0.02, mesh=(2, 3, 1), cells=(2, 1, 1), prefix="g2")
    return folder


@pytest.fixture
def table(data, tmp_path):
    """The table's file, with a document that has its markers."""
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(TABLE | {"data": str(data / "data")}))
    names = ["splits", "state", "inputs", "noise"]
    (tmp_path / "doc.md").write_text("".join(f"text\n<!-- {n} -->\nold {n}\n<!-- end {n} -->\n" for n in names))
    return tmp_path / "table.yaml"


class Perfect:
    """The reference itself, or with a function of the raveled blocks added."""

    shells, kind, name = {"C": ("pz",)}, "wander", "perfect"

    def __init__(self, configurations, change=lambda c, data: 0.0):
        self.of = {len(c.atoms) * 1000 + round(1e5 * c.atoms.positions[0, 2]): c for c in configurations}
        self.change = change

    def configuration(self, atoms):
        return self.of[len(atoms) * 1000 + round(1e5 * atoms.positions[0, 2])]

    def compute(self, atoms, layers):
        return self.configuration(atoms).results

    def hamiltonian(self, atoms, layers):
        c = self.configuration(atoms)
        data = c.load_blocks()
        return PairBlocks.from_arrays({**data, "block": data["block"] + self.change(c, data)}, len(atoms))

    def count_electrons(self, atoms):
        return len(atoms)

    def refusal(self, atoms, layers):
        return None


def test_splits_are_disjoint_and_lie_where_they_should(table):
    splits = Table(table).splits
    inside = lambda c: 3.2 <= c.info["gap"] <= 3.7 and 2.43 <= c.info["a"] <= 2.49
    assert all(inside(c) and c.kind == "g1" for name in ("train", "held-out") for c in splits[name])
    assert all(not inside(c) and c.kind == "g1" for c in splits["range"]) and {c.kind for c in splits["kind"]} == {"g2"}
    names = [c.name for chosen in splits.values() for c in chosen]
    assert len(set(names)) == len(names) == 18


def test_the_command_trains_judges_resumes_and_writes(table, capsys, monkeypatch):
    """A budget that ends after one run leaves partial tables; the next call finishes; a third one trains nothing."""
    out = ["--out", str(table.parent / "out")]
    assert main(["ablation", str(table), *out, "--seeds", "1", "--budget-hours", "1e-9"]) == 0
    assert "Partial: 0 of 4" in capsys.readouterr().out and not (table.parent / "results" / "default-s1.json").exists()
    assert main(["ablation", str(table), *out, "--seeds", "1"]) == 0
    shown, text = capsys.readouterr().out, (table.parent / "doc.md").read_text()
    assert "Partial: 2 of 4 runs are done." in shown and "Partial: 2 of 4" in text and "old inputs" not in text
    results = {
        name: json.loads((table.parent / "results" / f"{name}-s1.json").read_text()) for name in ("default", "distance")
    }
    for result in results.values():
        assert result["held-out"]["elements"] > 0 and result["range"]["n"] and result["kind"]["force"] > 0
        assert f"{result['held-out']['elements']:.3f}" in text
    # one force field for both rows, and the same errors of it
    assert len(list((table.parent / "out" / "forcefields").iterdir())) == 1
    assert results["default"]["kind"]["force"] == results["distance"]["kind"]["force"]
    assert results["default"]["kind"]["elements"] != results["distance"]["kind"]["elements"]
    assert (table.parent / "figure.png").stat().st_size > 10_000

    import ase_wander.evaluation.ablation.run as ablation_run

    monkeypatch.setattr(ablation_run, "train_run", lambda *a: pytest.fail("trained again"))
    assert main(["ablation", str(table), *out, "--seeds", "1"]) == 0


def test_a_killed_run_goes_on_to_the_same_weights(table):
    """Interrupted while it trains the heads, the run resumes from its checkpoint and ends where an undisturbed one
    does.
    """
    from ase_wander.evaluation.ablation.run import train_run

    def interrupt(row):
        if row.get("stage") == "bands" and row.get("step") == 1:
            raise KeyboardInterrupt

    (run,) = Table(table).runs(["default"])[:1]
    whole = train_run(run, table.parent / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(run, table.parent / "parts", interrupt)
    resumed = train_run(run, table.parent / "parts")
    assert resumed.digest == whole.digest


def test_a_changed_row_is_run_anew(table):
    """A result counts for the configuration it was made with only."""
    run = Table(table).runs(["distance"])[0]
    results = table.parent / "results"
    results.mkdir()
    (results / "distance-s1.json").write_text(json.dumps({"key": run.key}))
    assert load_result(results, run) == {"key": run.key}
    raw = yaml.safe_load(table.read_text())
    raw["rows"][1]["heads"]["inter_input"] = "raer"
    table.write_text(yaml.safe_dump(raw))
    assert load_result(results, Table(table).runs(["distance"])[0]) is None


# ---------------------------------------------------------------- judgement
def test_the_reference_has_no_errors_and_a_shifted_layer_shows_as_such(data):
    configurations = load_dataset(data / "data")[:4]
    found = judge(Perfect(configurations), configurations)
    assert (
        found["n"] == 4 and found["elements"] == found["force"] == found["layer_level"] == 0 and found["inter_r2"] == 1
    )
    assert found["eigenvalues"] < 1e-3

    def lift(c, data):  # 10 meV on the upper layer
        onsite = (data["pair_distance"] < 1e-6) & (c.layers[data["pair_i"].astype(int)] == 1)
        return 0.01 * onsite

    found = judge(Perfect(configurations, lift), configurations)
    assert found["layer_level"] == pytest.approx(10) and found["onsite"] == pytest.approx(5) and found["intra"] == 0


def test_errors_of_bands_follow_from_errors_of_h(data):
    """Noise keeps H Hermitian and has the size asked for; small errors of bands are linear in it.

    Random signs cancel more than common ones.
    """
    configurations = load_dataset(data / "data")[:3]
    stand_in = Perfect(configurations)
    for kind in ("even", "proportional", "common"):
        one, two = (band_errors(stand_in, configurations, kind, level) for level in (1e-4, 2e-4))
        assert one["elements"] == pytest.approx(0.1, rel=1e-3) and two["elements"] == pytest.approx(0.2, rel=1e-3)
        assert two["eigenvalues"] == pytest.approx(2 * one["eigenvalues"], rel=0.05)
    c = configurations[0]
    i, j, shift, block, *_ = Disturbed(stand_in, disturbance("even", 1e-3)).hamiltonian(c)
    h = dict(zip(zip(i.tolist(), j.tolist(), *shift.T.tolist()), block))
    assert max(abs(x - h[b, a, -p, -q, -r]) for (a, b, p, q, r), x in h.items()) < 1e-15
    cut = [band_errors(stand_in, configurations, "cut", radius) for radius in (2.0, 4.0, 9.0)]
    assert cut[0]["eigenvalues"] > cut[1]["eigenvalues"] > cut[2]["eigenvalues"] and cut[2]["elements"] == 0


# ---------------------------------------------------------------- input
@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": TABLE["rows"] * 2}, "rows: names repeat: default, distance"),
        ({"colour": 1}, "colour: unknown"),
        (
            {"rows": [{"name": "x", "groups": {"inputs": "x"}, "heads": {"intra_input": "all"}}]},
            r"row x: heads.intra_input: 'all'",
        ),
        ({"rows": [{"name": "x", "groups": {"colours": "x"}}]}, "row x: groups: 'colours' has no title"),
        ({"range": {"gap": [4, 3]}}, r"range.gap: \[4, 3\] is not"),
        ({"judge": {"range": ["g1_*"], "kind": ["g1_*"]}}, "belongs to the configurations"),
        ({"judge": {"range": ["g1_*"], "kind": ["q9_*"]}}, "belongs to 'kind'"),
        (
            {"groups": {"inputs": {"title": "x", "columns": ["held-out.colour"]}}},
            "groups.inputs: no column 'held-out.colour'",
        ),
    ],
)
def test_bad_tables_are_named(table, capsys, change, message):
    table.write_text(yaml.safe_dump(yaml.safe_load(table.read_text()) | change))
    assert main(["ablation", str(table), "--out", str(table.parent / "out")]) == 2
    found = capsys.readouterr().err
    assert len(found.splitlines()) == 1 and "table.yaml" in found and re.search(message, found), found


def test_bad_requests_are_named(table, capsys):
    for arguments, message in (
        (["--rows", "nothing"], "no row nothing; rows: default, distance"),
        (["--seeds", "7"], "has 1, 2"),
        (["--budget-hours", "-1"], "positive number of hours"),
    ):
        assert main(["ablation", str(table), "--out", str(table.parent / "out"), *arguments]) == 2
        assert message in capsys.readouterr().err
    (table.parent / "doc.md").write_text("no markers")
    with pytest.raises(ValueError, match="doc.md: no pair of markers <!-- splits -->"):
        update_document(table.parent / "doc.md", {"splits": []})
