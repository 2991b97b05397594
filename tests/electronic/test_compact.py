"""Compact Hamiltonian files: half of the pairs says all, to a microelectronvolt."""

import shutil

import ase.io
import numpy as np
import pytest

from ase_wander.cli import main
from ase_wander.data.convert import convert
from ase_wander.data.dataset import load_dataset
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.io.compact import STEP, block_sizes, compact, expanded, pair_distances
from tests.electronic_helpers import random_model


def arrays_of(h, cutoff=100.0):
    """A Hamiltonian file's arrays of a random model, its elements rounded as a compact file keeps them."""
    pairs = {}
    first = np.append(0, np.cumsum(np.bincount(h.orbitals["atom"])))
    for shift, matrix in zip(h.cell_shifts, h.blocks):
        dense = matrix.toarray()
        for i in range(len(h.atoms)):
            for j in range(len(h.atoms)):
                block = dense[first[i] : first[i + 1], first[j] : first[j + 1]]
                if block.any():
                    pairs[(i, j, *shift)] = np.round(block.real / STEP).ravel() * STEP
    keys = np.array(list(pairs))
    out = {
        "pair_i": keys[:, 0],
        "pair_j": keys[:, 1],
        "pair_shift": keys[:, 2:],
        "block": np.concatenate(list(pairs.values())),
        "block_ptr": np.append(0, np.cumsum([len(b) for b in pairs.values()])),
        "numbers": h.atoms.numbers,
        "positions": h.atoms.positions,
        "cell": h.atoms.cell.array,
        "pbc": h.atoms.pbc,
    }
    return out | {"pair_distance": pair_distances(out)}


def blocks_by_pair(data):
    keys = zip(data["pair_i"].tolist(), data["pair_j"].tolist(), *np.asarray(data["pair_shift"]).T.tolist())
    return {k: data["block"][a:b] for k, a, b in zip(keys, data["block_ptr"][:-1], data["block_ptr"][1:])}


def test_half_of_the_pairs_says_all():
    whole = arrays_of(random_model())
    half = compact(whole, 100.0)
    n = len(whole["positions"])
    assert len(half["pair_i"]) == (len(whole["pair_i"]) + n) / 2 and block_sizes(half).tolist() == [5, 3, 5, 3]
    one, two = blocks_by_pair(whole), blocks_by_pair(expanded(half))
    assert one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)
    again = compact(half, 100.0)  # a compact file stays what it is
    assert all(np.array_equal(half[k], again[k]) for k in half)


def test_pairs_beyond_the_cutoff_go():
    whole = arrays_of(random_model())
    cutoff = np.median(whole["pair_distance"])
    back = expanded(compact(whole, cutoff))
    assert back["pair_distance"].max() <= cutoff < whole["pair_distance"].max()
    assert len(back["pair_i"]) == (whole["pair_distance"] <= cutoff).sum()


@pytest.mark.parametrize(
    ("damage", "message"), [("element", "not the transpose"), ("pair", "has no reverse pair"), ("onsite", "no on-site")]
)
def test_what_is_not_hermitian_is_refused(damage, message):
    data = arrays_of(random_model())
    p = int(np.argmax(data["pair_distance"] > 0.1))
    if damage == "element":
        data["block"][data["block_ptr"][p]] += 1e-4
    else:
        keep = np.arange(len(data["pair_i"])) != (p if damage == "pair" else int(np.argmin(data["pair_distance"])))
        size = np.diff(data["block_ptr"])
        data["block"] = data["block"][np.repeat(keep, size)]
        data["block_ptr"] = np.append(0, np.cumsum(size[keep]))
        data |= {k: data[k][keep] for k in ("pair_i", "pair_j", "pair_shift", "pair_distance")}
    with pytest.raises(ValueError, match=message):
        compact(data, 100.0)


@pytest.fixture
def monolayer(reference_data, tmp_path):
    """A folder with one configuration of the shipped model's data."""
    folder = tmp_path / "part"
    (folder / "hamiltonians").mkdir(parents=True)
    frames = ase.io.iread(reference_data / "structures.extxyz")
    ase.io.write(folder / "structures.extxyz", next(a for a in frames if a.info["config_id"] == "ml_0000"))
    shutil.copy(reference_data / "hamiltonians" / "ml_0000.npz", folder / "hamiltonians")
    return folder


def test_files_are_read_as_whole_ones(monolayer, tmp_path, capsys):
    """Shipped data, made more compact still: the same labels; all pairs up to 12.8 Å carry the bands to a few meV."""
    file = monolayer / "hamiltonians" / "ml_0000.npz"
    with np.load(file) as data:
        assert len(data["pair_i"]) < len(expanded(dict(data))["pair_i"]) and data["block"].dtype == np.float32
    assert main(["data", "convert", str(monolayer), str(tmp_path / "some"), "--compact", "9"]) == 0
    a, b = (load_dataset(folder)[0].load_blocks([5, 3, 3]) for folder in (monolayer, tmp_path / "some"))
    assert a["pair_distance"].max() > 12 > 9 >= b["pair_distance"].max()
    assert np.array_equal(a["eigenvalues"], b["eigenvalues"])
    h = WannierHamiltonian.from_dataset_file(file)
    difference = h.eigenvalues(a["kpts"]) - a["eigenvalues"]
    assert h.is_hermitian and h.n_electrons == 14 and np.sqrt((difference**2).mean()) < 5e-3
    assert main(["data", "convert", str(monolayer), str(tmp_path / "x"), "--compact", "-1"]) == 2
    assert "--compact" in capsys.readouterr().err


def test_a_database_takes_compact_files(monolayer, tmp_path):
    assert convert(monolayer, tmp_path / "one.db", cutoff=5.0) == 1
    assert convert(tmp_path / "one.db", tmp_path / "back") == 1
    (back,) = load_dataset(tmp_path / "back")
    assert back.load_blocks()["pair_distance"].max() <= 5.0


def test_a_folder_of_folders_is_one_data_set(monolayer, tmp_path):
    shutil.copytree(monolayer, tmp_path / "all" / "one")
    shutil.copytree(monolayer, tmp_path / "all" / "two")
    assert [c.source.split("/")[-2] for c in load_dataset(tmp_path / "all")] == ["one", "two"]
