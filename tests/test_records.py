"""Records and results that were changed after they were written."""

import pytest

from ase_wander.cli import main
from ase_wander.records import read_record, write_record
from tests.electronic_helpers import graphene_model


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.replace("1.25", "1.26"), "do not have the checksum"),
        (lambda t: t.replace('"gap"', '"gip"'), "do not have the checksum"),
        (lambda t: t[: len(t) // 2], "not valid JSON"),
        (lambda t: "[1]", "holds no mapping"),
        (lambda t: "[" * 100_000, "not valid JSON"),
        (lambda t: "", "not valid JSON"),
    ],
)
def test_records(tmp_path, change, message):
    file = tmp_path / "r.json"
    write_record(file, {"gap": 1.25, "k": (0, 1), "path": "Γ"})
    assert read_record(file) == {"gap": 1.25, "k": [0, 1], "path": "Γ"}
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=rf"r\.json: .*{message}"):
        read_record(file)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("bands.json", lambda t: t.replace("-5.", "-4.", 1), "bands.json: damaged or changed"),
        ("settings.json", lambda t: t.replace('"npoints": 3', '"npoints": 9'), "settings.json: damaged"),
        ("summary.json", lambda t: t.replace('"gap"', '"gip"'), "summary.json: damaged"),
    ],
)
def test_results_that_were_changed_are_not_taken_up(tmp_path, capsys, name, change, message):
    graphene_model().save(tmp_path / "h.npz")
    words = ["bands", "--hamiltonian", str(tmp_path / "h.npz"), "--npoints", "3", "--n-bands", "2"]
    words += ["--path", "GM", "--out", str(tmp_path / "out")]
    assert main(words) == 0 and main(words) == 0
    file = tmp_path / "out" / name
    before = file.read_text()
    file.write_text(change(before))
    capsys.readouterr()
    if file.read_text() == before:  # no such number in the bands: another change of the same file
        file.write_text(before + " ")
    assert main(words) == 2
    assert message in capsys.readouterr().err
