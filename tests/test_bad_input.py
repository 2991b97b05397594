"""Bad input of every kind, and what is said of it: the file, the line or key, and what is wrong there."""

import json

import pytest

from ase_wander.checks import check_name, read_mapping
from ase_wander.cli import main
from ase_wander.data.campaign.config import load_campaign
from ase_wander.data.campaign.folder import CampaignFolder
from ase_wander.data.dataset import load_dataset
from tests.electronic_helpers import graphene_model

# ------------------------------------------------------------------------------------------------ YAML and campaigns
BOMB = "a: [&a [x,x,x,x,x,x,x,x,x]," + ",".join(
    f"&{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]" for k in range(8)
)
YAML = {
    "aliases": (BOMB + "]\n", "more than 100000 values"),
    "merge keys": (
        "".join(
            f"k{i}: &k{i}\n" + (f"  <<: [{','.join(['*k' + str(i - 1)] * 20)}]\n" if i else "  a: 1\n")
            for i in range(12)
        ),
        "more than 100000 values",
    ),
    "deep": ("a: " + "[" * 2000 + "]" * 2000, "nested more than 40"),
    "recursive": ("a: &a [*a]\n", "contains itself"),
    "long number": ("a: " + "1" * 5000, "a number of 5000 digits"),
    "twice": ("name: a\nname: b\n", "line 2: 'name' is given twice"),
    "python object": ("a: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
    "no mapping": ("- a\n", "expected keys name"),
    "nothing": ("", "expected keys name"),
    "tab": ("a:\n\t- b\n", "not readable as YAML"),
    "bytes": (b"\xff\xfe\x00", "not readable as YAML"),
    "unhashable key": ("? [a]\n: b\n", "not readable as YAML"),
}


@pytest.mark.parametrize("case", YAML)
def test_yaml_files(tmp_path, case):
    content, message = YAML[case]
    file = tmp_path / "p.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"p\.yaml: .*{message}"):
        read_mapping(file, ("name",))
    with pytest.raises(ValueError, match=r"p\.yaml: "):
        load_campaign(file)


PLAN = """name: x
sampling: {material: graphene, kinds: [{prefix: p1, count: 1, gap: 3.4}]}
recipe: {engine: espresso, dispersion: null, shells: {C: [pz]}, bands: {C: 6}, converged_bands: {C: 5},
  window: [-3., 2.]}
"""


@pytest.mark.parametrize(
    "change, message",
    [
        (("count: 1", "count: 1.5"), r"kinds\[0\].count: 1.5"),
        (("count: 1", f"count: {'1' * 60}"), r"kinds\[0\].count"),
        (("gap: 3.4", "gap: .nan"), r"kinds\[0\].gap: nan"),
        (("gap: 3.4", "gap: 3.4, strain: -1.0"), r"kinds\[0\].strain"),
        (("gap: 3.4", "gap: 3.4, strain: [-2.0, 0.1]"), r"kinds\[0\].strain"),
        (("prefix: p1", "prefix: ../p"), r"kinds\[0\].prefix"),
        (("{C: [pz]}", "{C: [pq]}"), "shells"),
        (("bands: {C: 6}", "bands: {C: .inf}"), "bands.C"),
        (("window: [-3., 2.]", "window: [2., -3.]"), "window"),
        (("name: x", "nxme: x"), "nxme: unknown"),
    ],
)
def test_plans(tmp_path, change, message, capsys):
    assert change[0] in PLAN
    file = tmp_path / "p.yaml"
    file.write_text(PLAN.replace(*change))
    with pytest.raises(ValueError, match=rf"p\.yaml: .*{message}"):
        load_campaign(file)
    assert main(["data", "make", str(file), "--out", str(tmp_path / "o"), "--dry-run"]) == 2
    assert "p.yaml: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x" * 300, "a\0b", "a b", 3])
def test_names_that_lead_out_of_a_folder(tmp_path, name):
    with pytest.raises(ValueError, match="is not a name"):
        check_name(name, "here")
    with pytest.raises(ValueError, match="is not a name"):
        CampaignFolder(tmp_path).result(name)


def test_reference_data_stay_in_their_folder(tmp_path):
    text = (
        '1\nLattice="3 0 0 0 3 0 0 0 9" Properties=species:S:1:pos:R:3 config_id="../../secret" pbc="T T F"\nC 0 0 0\n'
    )
    (tmp_path / "structures.extxyz").write_text(text)
    with pytest.raises(ValueError, match=r"structures\.extxyz, frame 0: config_id: '\.\./\.\./secret' is not a name"):
        load_dataset(tmp_path)


def test_records_of_a_campaign(tmp_path):
    """What was changed is refused with the file's name, whatever it has become."""
    folder = CampaignFolder(tmp_path)
    recipe = load_campaign(_written(tmp_path, PLAN)).recipe.to_dict()
    entry = {"n_atoms": 4, "cost": 1.0, "labels": "a", "hamiltonian": "b"}
    folder.write_plan({"name": "x", "recipe": recipe, "configurations": {"p1_0000": entry}})
    good = json.loads((tmp_path / "campaign.json").read_text())
    assert folder.read_plan()["configurations"] == {"p1_0000": entry}

    def refused(change, message):
        (tmp_path / "campaign.json").write_text(change if isinstance(change, str) else json.dumps(change))
        with pytest.raises(ValueError, match=rf"campaign\.json: damaged.*{message}"):
            folder.read_plan()

    refused({**good, "name": "y"}, "checksum")
    old = {k: v for k, v in good.items() if k != "sha256"}
    for change in ("[]", "{", "null", "[" * 100_000, '"x"', "{}"):
        refused(change, "")
    refused({**old, "configurations": [1]}, "")
    refused({**old, "configurations": {"../x": entry}}, "is not a name")
    refused({**old, "configurations": {"x": {**entry, "n_atoms": -1}}}, "n_atoms")
    refused({**old, "configurations": {"x": {**entry, "cost": float("nan")}}}, "cost")
    refused({**old, "configurations": {"x": {"n_atoms": 1}}}, "missing: 'cost'")
    refused({**old, "recipe": {**recipe, "window": 3}}, "window")
    refused({**old, "name": 3}, "name")


def _written(folder, text):
    (folder / "p.yaml").write_text(text)
    return folder / "p.yaml"


# ------------------------------------------------------------------------------------------------ command line
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["relax", "{}/none.xyz", "--out", "{}/out"], "none.xyz: no such file"),
        (["relax", "{}", "--out", "{}/out"], "is a folder"),
        (["bands", "{}/h.npz", "--out", "{}/out"], "h.npz: "),
        (["relax", "{}/a@b[red].xyz", "--out", "{}/out"], "a@b[red].xyz"),
        (["relax", "{}/a@b[red].xyz", "--out", "{}/out", "--threads", "0"], "'0' is not a positive integer"),
        (["relax", "{}/a@b[red].xyz", "--out", "{}/out", "--threads", "1000000"], "threads"),
        (["build", "graphene", "--m", "2", "--r", "1", "-o", "{}/nowhere/x.xyz"], "no such folder"),
        (["build", "graphene", "--m", "2", "--r", "1", "--shift", "nan", "0"], "shift takes two numbers"),
        (["build", "graphene", "--angles", "nan", "2"], "angles takes one number"),
        (["build", "MoS2", "--top", "nothing"], "unknown material 'nothing'"),
        (["bands", "{}/g.npz", "--out", ""], "an empty name is no folder"),
        (
            ["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--window", "-1e-3", "-2e-1"],
            "LOW -0.001 eV is not",
        ),
        (["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--window", "-1e400", "1"], "not a finite number"),
        (["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--compare", "{}/none"], "none: no such file"),
        (["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--path", ""], "(none given)"),
        (["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--jobs", "0"], "'0' is not a positive integer"),
        (["bands", "--hamiltonian", "{}/g.npz", "--out", "{}/out", "--spin-orbit"], "no spin-orbit constant"),
        (["bands", "--hamiltonian", "{}/a@b[red].xyz", "--out", "{}/out"], "not a readable .npz file"),
        (["run", "MoS2", "--out", "{}/out"], "give either both m and r, or an angle"),
        (["run", "MoS2", "--angle", "inf", "--out", "{}/out"], "twist angle inf"),
        (["run", "MoS2", "--m", "1", "--r", "1", "--fmax", "nan", "--out", "{}/out"], "'nan' is not a positive number"),
        (["run", "MoS2", "--m", "1", "--r", "1", "--dmax", "-1e-3", "--out", "{}/out"], "'-1e-3' is not a positive"),
        (["run", "MoS2", "--m", "1", "--r", "1", "--path", "XYZ", "--out", "{}/out"], "unknown special point X, Y, Z"),
        (["run", "nothing.xyz", "--m", "1", "--r", "1", "--out", "{}/out"], "nothing.xyz: no such file"),
        (["run", "WSe2", "--m", "1", "--r", "1", "--out", "{}/out"], "no model of WSe2"),
        (["plot", "fat", "{}/g.npz", "-o", "{}/nowhere/x.png"], "no such folder"),
        (["plot", "fat", "{}/g.npz", "-o", "{}/x.xyz"], "ends in .png"),
        (["plot", "dos", "{}/g.npz", "-o", "{}/x.png", "--width", "nan"], "'nan' is not a positive number"),
        (["plot", "unfold", "{}/g.npz", "-o", "{}/x.png", "--layer", "-1"], "the layers are 0 to 0"),
        (["plot", "spin", "{}/g.npz", "-o", "{}/x.png", "--strengths", "C:p=0.01"], "L.S needs a complete shell"),
        (["models", "export"], "takes two paths"),
        (["evaluate", "nope"], "no model named 'nope'"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_commands(tmp_path, capsys, arguments, message):
    (tmp_path / "h.npz").write_bytes(b"PK\x03\x04")
    graphene_model().save(tmp_path / "g.npz")
    (tmp_path / "a@b[red].xyz").write_text("1\n\nC 0 0 nan\n")
    try:
        code = main([argument.format(tmp_path) for argument in arguments])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1
