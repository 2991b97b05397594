"""`ase-wander plot`: figures with numbers beside them that keep the sum rules of what they draw."""

import numpy as np
import pytest
from ase.io import write

from ase_wander import WanderCalculator
from ase_wander.archives import read_npz
from ase_wander.cli import main
from ase_wander.moire import twisted_bilayer
from tests.cli_helpers import fails


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Structure and saved Hamiltonian of six atoms."""
    folder = tmp_path_factory.mktemp("plot")
    atoms = twisted_bilayer("MoS2", angle=0, shift=(1 / 3, 2 / 3))
    write(folder / "atoms.extxyz", atoms)
    WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(atoms).save(folder / "h.npz")
    return folder


def drawn(files, tmp_path, kind, *words, file="h.npz"):
    """Numbers beside the figure, which is there and no empty picture."""
    from matplotlib.image import imread

    target = tmp_path / "figure.png"
    assert main(["plot", kind, str(files / file), "-o", str(target), *map(str, words)]) == 0
    picture = imread(target)
    assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05
    return read_npz(tmp_path / "figure.npz", required=True)


def test_fat_bands(files, tmp_path):
    found = drawn(files, tmp_path, "fat", "--npoints", 9)
    assert found["energies"].shape == (9, 22)
    np.testing.assert_allclose(found["weight_layer_0"] + found["weight_layer_1"], 1, atol=1e-9)
    assert found["energies"][:, 13].max() <= found["zero"] + 1e-9 < found["energies"][:, 14].min() - 1


def test_unfolding_an_aligned_bilayer_finds_its_own_bands(files, tmp_path):
    """Both layers together would have weights of one; the lowest alone carries half of all."""
    found = drawn(files, tmp_path, "unfold", "--npoints", 7, "--layer", 0)
    np.testing.assert_allclose(found["weights"].sum(axis=1), 11, atol=1e-6)
    assert found["weights"].max() <= 1 + 1e-9


def test_spins(files, tmp_path, capsys):
    found = drawn(files, tmp_path, "spin", "--spin-orbit", "--npoints", 7, "--n-bands", 8, file="atoms.extxyz")
    assert found["spins"].shape == (7, 8, 3) and np.abs(found["spins"]).max() <= 1 + 1e-9
    assert "--spin-orbit" in fails(capsys, tmp_path, "plot", "spin", files / "h.npz", "-o", tmp_path / "b.png")


def test_density_holds_the_states_between_the_energies(files, tmp_path):
    """All below the gap: 28 electrons, 14 on each layer up to what the layers exchange."""
    found = drawn(files, tmp_path, "density", "--between", -20, 0.5, "--kpts", 3, 3)
    assert found["states_on_atoms"].sum() == pytest.approx(28, abs=1e-8)
    cell = twisted_bilayer("MoS2", angle=0).cell.array
    area = np.linalg.norm(np.cross(cell[0], cell[1])) / found["density"].size
    assert found["density"].sum() * area == pytest.approx(28, abs=1e-6)
    one = drawn(files, tmp_path, "density", "--between", -20, 0.5, "--kpts", 3, 3, "--layer", 1, "--force")
    assert one["density"].sum() * area == pytest.approx(14, abs=0.2)


def test_dos_integrates_to_the_states(files, tmp_path):
    found = drawn(files, tmp_path, "dos", "--kpts", 3, 3, "--project", "species", "--zero", "vacuum")
    step = np.diff(found["energies"])[0]
    total = (found["dos_Mo"] + found["dos_S"]).sum() * step
    assert total == pytest.approx(2 * 22, rel=1e-4) and found["zero"] == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (["fat", "h.npz", "--project", "atom"], ""),
        (["unfold", "h.npz", "--layer", "2"], "--layer 2: the layers are 0 to 1"),
        (["density", "h.npz", "--between", "1", "0"], "LOW 1 eV is not below HIGH 0 eV"),
        (["density", "h.npz", "--between", "0.3", "0.5"], "no state lies between 0.3 and 0.5 eV"),
        (["density", "h.npz", "--between", "nan", "0.5"], "is not a finite number"),
        (["fat", "h.npz", "--path", "GXK"], "unknown special point X"),
        (["fat", "h.npz", "--n-bands", "999"], "--n-bands: 999; there are 22"),
        (["fat", "none.npz"], "none.npz: no such file"),
        (["dos", "h.npz", "--window", "90", "99"], "window (90.0, 99.0) eV"),
        (["fats", "h.npz"], "invalid choice: 'fats'"),
    ],
)
def test_refusals(files, tmp_path, capsys, words, message):
    words = [words[0], files / words[1], *words[2:], "-o", tmp_path / "f.png"]
    if "atom" in words:  # six groups can be told apart
        assert main(["plot", *map(str, words), "--npoints", "2"]) == 0
        return
    assert message in fails(capsys, tmp_path, "plot", *words)


def test_figures_are_not_overwritten(files, tmp_path, capsys):
    (tmp_path / "a.npz").write_text("mine")
    assert "--force" in fails(capsys, tmp_path, "plot", "fat", files / "h.npz", "-o", tmp_path / "a.png")
    assert "ends in .png" in fails(capsys, tmp_path, "plot", "fat", files / "h.npz", "-o", tmp_path / "a.txt")
