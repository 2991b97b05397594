"""Bands of other codes: what their files say comes back, whatever their zero of energy; damaged ones are named."""

import json

import numpy as np
import pytest

from ase_wander.cli import main
from ase_wander.electronic.io.foreign_bands import read_foreign_bands
from ase_wander.electronic.kpath import resolve_path
from ase_wander.evaluation.foreign import compare_bands, places_on_path
from tests.electronic_helpers import graphene_model

SHIFT, N = -4.321, 25


@pytest.fixture
def bands():
    """Graphene's two bands along G-M-K-G, with three flat ones below, on another zero."""
    h = graphene_model()
    path = resolve_path(h.atoms, "GMKG", N)
    energies = np.concatenate([np.full((N, 3), -20.0), h.eigenvalues(path.kpts)], axis=1) + SHIFT
    energies[:, :3] += [0.0, 0.1, 0.2]
    return h, path, energies


def aims(folder, path, energies):
    """Two pieces of a path, as FHI-aims writes them."""
    files = []
    for number, part in ((1, slice(0, 10)), (2, slice(10, None))):
        rows = [
            f"{n + 1:5d} "
            + " ".join(f"{x:12.7f}" for x in k)
            + "".join(f" {2.0 * (b < 4):8.5f} {x:15.5f}" for b, x in enumerate(e))
            for n, (k, e) in enumerate(zip(path.kpts[part], energies[part]))
        ]
        files.append(folder / f"band100{number}.out")
        files[-1].write_text("\n".join(rows) + "\n")
    return files


def vasp(folder, path, energies):
    lines = ["    2    2    1    1", " 0.1 2.46E-10 2.46E-10 1.2E-09 1.0E-15", " 1.E-004", "  CAR ", " graphene"]
    lines.append(f"      8 {len(energies):6d} {energies.shape[1]:6d}")
    for k, e in zip(path.kpts, energies):
        lines += ["", "  " + "  ".join(f"{x:.7E}" for x in k) + "  0.0400000E+00"]
        lines += [f"{b + 1:5d} {x:14.6f} {1.0 * (b < 4):10.6f}" for b, x in enumerate(e)]
    file = folder / "EIGENVAL"
    file.write_text("\n".join(lines) + "\n")
    return [file]


def espresso(folder, path, energies):
    x = path.get_linear_kpoint_axis()[0] * 0.39
    file = folder / "bands.dat.gnu"
    file.write_text("\n".join("".join(f"{a:10.4f}{e:10.4f}\n" for a, e in zip(x, band)) for band in energies.T))
    return [file]


def own(folder, path, energies):
    np.savez(folder / "g.npz", kpts=path.kpts, eigenvalues=energies, zero="none")
    return [folder / "g.npz"]


@pytest.mark.parametrize("write, matched", [(aims, "number"), (vasp, "number"), (espresso, "least"), (own, "least")])
def test_bands_come_back_with_one_shift(bands, tmp_path, write, matched):
    """The Hamiltonian that made them: no difference but the shift and the digits of the file."""
    h, path, energies = bands
    foreign = read_foreign_bands(write(tmp_path, path, energies))
    assert foreign.energies == pytest.approx(energies, abs=6e-5) and not foreign.from_vacuum
    found = compare_bands(h, foreign, "GMKG", window=2.0)
    assert found.shift == pytest.approx(-SHIFT, abs=1e-3) and matched in found.matched
    assert np.abs(found.error).max() < 4e-3 and found.gaps[0] == pytest.approx(found.gaps[1], abs=4e-3)
    assert found.summary()["n_levels"] == found.near.sum() >= 10


def test_our_own_levels_are_not_moved(bands, tmp_path):
    h, path, energies = bands
    np.savez(tmp_path / "v.npz", kpts=path.kpts, eigenvalues=energies - SHIFT + 0.05)
    found = compare_bands(h, read_foreign_bands(tmp_path / "v.npz"), n_occupied=4)
    assert found.shift == 0 and found.error == pytest.approx(-0.05)


def test_levels_that_a_calculation_did_not_reach_are_left_out(bands, tmp_path):
    _, path, energies = bands
    kept = np.ones(energies.shape, bool)
    kept[0, -1] = False
    np.savez(tmp_path / "v.npz", kpts=path.kpts, eigenvalues=energies, kept=kept)
    assert read_foreign_bands(tmp_path / "v.npz").energies.shape[1] == energies.shape[1] - 1


def test_equivalent_points_lie_on_the_path(bands):
    """M and its images, K and K' of the honeycomb: each where the letter stands; a point inside the zone nowhere."""
    h, _, _ = bands
    bs = h.band_structure("GMKG", 40)
    _, ticks, _ = bs.get_labels()
    on = places_on_path(
        [[0, 0.5, 0], [0.5, 0.5, 0], [2 / 3, 2 / 3, 0], [-1 / 3, 2 / 3, 0], [0.2, 0.13, 0]], bs, h.atoms
    )
    assert {n: x for n, x in on} == pytest.approx({0: ticks[1], 1: ticks[1], 2: ticks[2], 3: ticks[2]}, abs=1e-4)
    (quarter,) = places_on_path([[0.25, 0, 0]], bs, h.atoms)
    assert quarter[1] == pytest.approx(ticks[1] / 2, abs=1e-4)


def damaged(kind, folder, bands):
    _, path, energies = bands
    write = {"aims": aims, "vasp": vasp, "gnu": espresso}[kind]
    file = write(folder, path, energies)[0]
    return file, file.read_text().splitlines()


@pytest.mark.parametrize(
    "kind, line, text, message",
    [
        ("aims", 4, "    5  0.1 0.2 0.3  2.0", "found 5 fields"),
        ("aims", 4, "    5  0.1 0.2 0.3  2.0 x", r"band1001\.out:5: expected numbers"),
        ("vasp", 0, "    2    2    1    2", "2 spins"),
        ("vasp", 9, "    2   nan  1.0", "not finite"),
        ("vasp", 5, "      7     25      5", "7 electrons"),
        ("gnu", 3, "0.1", "found 1 fields"),
        ("gnu", 3, "", "not all the same number"),
    ],
)
def test_damaged_files_are_named(bands, tmp_path, kind, line, text, message):
    file, lines = damaged(kind, tmp_path, bands)
    lines[line] = text
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=message):
        read_foreign_bands(file)


@pytest.mark.parametrize(
    "name, message", [("bands.txt", "known: FHI-aims"), ("band2001.out", "second spin"), ("gone.gnu", "no such file")]
)
def test_foreign_files_are_refused(tmp_path, name, message):
    if "gone" not in name:
        (tmp_path / name).write_text("1 2 3\n")
    with pytest.raises(ValueError, match=message):
        read_foreign_bands(tmp_path / name)


def test_the_command_draws_and_says_it(bands, tmp_path, capsys):
    """A saved Hamiltonian against a file: dots in the figure, one shift, the numbers in summary.json."""
    h, path, energies = bands
    h.save(tmp_path / "h.npz")
    file = vasp(tmp_path, path, energies)[0]
    command = ["bands", "--hamiltonian", str(tmp_path / "h.npz"), "--out", str(tmp_path / "out"), "--npoints", "30"]
    assert main([*command, "--compare", str(file)]) == 0
    assert "one shift for all" in capsys.readouterr().out.replace("\n", " ")
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["comparison"]
    assert found["shift"] == pytest.approx(-SHIFT, abs=1e-3) and found["levels_drawn"] == 2 * (N + 2)  # Γ at both ends
    assert found["mae"] < 1e-3 and found["n_kpoints"] == N
    assert main([*command, "--compare", str(tmp_path / "no.gnu")]) == 2
    assert "no such file" in capsys.readouterr().err
