"""Reference data as folder and as ASE database: round trips lose nothing."""

import os
import shutil

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from ase_wander.cli import main as cli
from ase_wander.data.compare import compare
from ase_wander.data.convert import convert, read_entries
from ase_wander.data.database import connect, write_row
from ase_wander.data.dataset import dataset_hash, load_dataset
from ase_wander.data.sampling.configurations import sample
from ase_wander.data.sampling.plan import read_plan


@pytest.fixture
def folder(tmp_path):
    """Five configurations with random labels; four have a Hamiltonian of on-site blocks."""
    rng = np.random.default_rng(0)
    plan = read_plan(
        {
            "material": "graphene",
            "kinds": [
                {"prefix": "p1", "count": 4, "gap": [3.2, 3.6], "sigma": [0.05]},
                {"prefix": "ml", "count": 1, "monolayer": True},
            ],
        }
    )
    path = tmp_path / "data"
    (path / "hamiltonians").mkdir(parents=True)
    frames = sample(plan)
    for atoms in frames:
        n, name = len(atoms), atoms.info["config_id"]
        energy, stress = rng.normal(), rng.normal(size=6)
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy, free_energy=energy, forces=rng.normal(size=(n, 3)), stress=stress
        )
        atoms.arrays["d3_forces"] = rng.normal(size=(n, 3))
        atoms.info.update(vacuum_top=rng.normal(), vacuum_bottom=rng.normal(), d3_stress=rng.normal(size=6))
        if name != "ml_0000":
            np.savez(
                path / "hamiltonians" / f"{name}.npz",
                numbers=atoms.numbers,
                positions=atoms.positions,
                pair_i=np.arange(n),
                pair_j=np.arange(n),
                pair_shift=np.zeros((n, 3), int),
                block=rng.normal(size=n),
                block_ptr=np.arange(n + 1),
            )
    ase.io.write(path / "structures.extxyz", frames)
    return path


def same(one, two):
    """Two folders hold the same to the last digit: structures, all labels, info, Hamiltonians."""
    assert dataset_hash(load_dataset(one)) == dataset_hash(load_dataset(two))
    for a, b in zip(ase.io.iread(one / "structures.extxyz"), ase.io.iread(two / "structures.extxyz")):
        assert (
            a.calc.results.keys() == b.calc.results.keys()
            and a.arrays.keys() == b.arrays.keys()
            and a.info.keys() == b.info.keys()
        )
        for x, y in ((a.calc.results, b.calc.results), (a.arrays, b.arrays), (a.info, b.info)):
            assert all(np.array_equal(x[k], y[k]) for k in x)
    files = [sorted(f.name for f in (x / "hamiltonians").iterdir()) for x in (one, two)]
    assert files[0] == files[1] and all(
        (one / "hamiltonians" / f).read_bytes() == (two / "hamiltonians" / f).read_bytes() for f in files[0]
    )


def test_round_trip_through_a_database(folder, tmp_path):
    assert convert(folder, tmp_path / "data.db") == 5
    assert convert(tmp_path / "data.db", tmp_path / "back") == 5
    same(folder, tmp_path / "back")
    rows = list(connect(tmp_path / "data.db").select("gap>3.4,kind=p1"))
    assert rows and all(row.gap > 3.4 and row.fmax > 0 for row in rows)


def test_round_trip_of_the_reference_data(reference_data, tmp_path):
    """The first frames of the real data, with what other programs wrote into them."""
    source = reference_data
    some = tmp_path / "some"
    (some / "hamiltonians").mkdir(parents=True)
    frames = ase.io.read(source / "structures.extxyz", ":4")
    ase.io.write(some / "structures.extxyz", frames)
    for atoms in frames:
        shutil.copy(source / "hamiltonians" / f"{atoms.info['config_id']}.npz", some / "hamiltonians")
    convert(some, tmp_path / "data.db")
    convert(tmp_path / "data.db", tmp_path / "back")
    same(some, tmp_path / "back")


def test_rows_of_the_same_name_are_replaced(folder, tmp_path):
    convert(folder, tmp_path / "data.db")
    convert(folder, tmp_path / "data.db")
    database = connect(tmp_path / "data.db")
    assert database.count() == 5
    atoms = next(iter(read_entries(folder)))[0]
    write_row(database, atoms, hash="new")
    atoms.calc.results["energy"] = 7.0
    write_row(database, atoms, hash="new")  # the hash is there: nothing to do
    name = atoms.info["config_id"]
    assert database.count() == 5 and database.get(config_id=name).energy != 7.0


def test_hamiltonians_beside_a_database_are_found(folder, tmp_path):
    """A campaign's database keeps no Hamiltonians: they lie beside it."""
    database = connect(folder / "ase.db")
    for atoms, _ in list(read_entries(folder)):
        write_row(database, atoms)
    convert(folder / "ase.db", tmp_path / "back")
    same(folder, tmp_path / "back")


def test_round_trip_through_a_server(folder, tmp_path):
    """A real PostgreSQL server, named by POSTGRESQL_URL; rows of other names are left alone."""
    url = os.environ.get("POSTGRESQL_URL")
    if not url:
        pytest.skip(
            "NEEDS A SERVER: POSTGRESQL_URL=postgresql://user:password@host/database, and pip install ase-db-backends"
        )
    database = connect(url)
    before = database.count()
    convert(folder, url)
    convert(folder, url)
    assert database.count() in (before, before + 5)
    convert(url, tmp_path / "back")
    ours, back = load_dataset(folder), {c.name: c for c in load_dataset(tmp_path / "back")}
    for c in ours:
        other = back[c.name]
        assert np.array_equal(c.atoms.positions, other.atoms.positions) and c.results.keys() == other.results.keys()
        assert np.array_equal(c.label("forces"), other.label("forces")) and c.label("free_energy") == other.label(
            "free_energy"
        )
        assert (c.hamiltonian is None) == (other.hamiltonian is None)
        if c.hamiltonian:
            assert c.hamiltonian.read_bytes() == other.hamiltonian.read_bytes()


def test_comparison_finds_what_was_changed(folder, tmp_path, capsys):
    """Energies, forces and elements moved by known amounts; labels that one set lacks are no difference.

    Other structures are refused.
    """
    other = shutil.copytree(folder, tmp_path / "other")
    frames = ase.io.read(other / "structures.extxyz", ":")
    for atoms in frames:
        atoms.calc.results["energy"] += 0.002
        atoms.calc.results["forces"][1, 2] -= 0.03
        file = other / "hamiltonians" / f"{atoms.info['config_id']}.npz"
        if file.exists():
            with np.load(file) as archive:
                arrays = dict(archive)
            arrays["block"][2] += 0.004
            np.savez(file, **arrays)
    ase.io.write(other / "structures.extxyz", frames[1:])
    found = compare(folder, other)
    assert [d.name for d in found] == [a.info["config_id"] for a in frames[1:]]
    for d in found:
        assert (d.energy, d.forces, d.stress) == pytest.approx((0.002, 0.03, 0.0), abs=1e-7) and np.isnan(d.eigenvalues)
        assert np.isnan(d.elements) if d.name == "ml_0000" else d.elements == pytest.approx(0.004)
    assert cli(["data", "compare", str(folder), str(other)]) == 0 and "30" in capsys.readouterr().out
    frames[1].positions[0, 0] += 0.1
    ase.io.write(other / "structures.extxyz", frames[1:])
    shutil.rmtree(other / "hamiltonians")
    with pytest.raises(ValueError, match="the structures differ"):
        compare(folder, other)


def test_wannier90_output_becomes_a_data_set(tmp_path):
    """Elements of `seed_hr.dat` arrive in the blocks: H(k) of the data set is that of the model."""
    from ase_wander.electronic.hamiltonian import WannierHamiltonian
    from tests.electronic_helpers import graphene_model

    h = graphene_model()
    (tmp_path / "w").mkdir()
    h.write_wannier90(tmp_path / "w" / "g")
    convert(tmp_path / "w", tmp_path / "set")
    (c,) = load_dataset(tmp_path / "set")
    data = c.load_blocks()
    assert c.name == "g" and len(c.atoms) == len(h.atoms)
    ours = WannierHamiltonian.from_blocks(
        c.atoms,
        {"C": ["pz"]},
        *(data[n] for n in ("pair_i", "pair_j", "pair_shift", "block", "block_ptr")),
        n_electrons=None,
    )
    k = [[0.1, 0.23, 0], [1 / 3, 1 / 3, 0]]
    assert ours.eigenvalues(k) == pytest.approx(h.eigenvalues(k), abs=1e-5)


def test_a_foreign_database_becomes_a_data_set(tmp_path):
    """Rows that this program did not write keep their key-value pairs and get a name."""
    from ase.build import graphene

    atoms = graphene(vacuum=6)
    atoms.pbc = (True, True, False)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((2, 3)))
    connect(tmp_path / "x.db").write(atoms, origin="elsewhere")
    convert(tmp_path / "x.db", tmp_path / "out")
    (c,) = load_dataset(tmp_path / "out")
    assert (
        c.name == "row_0001" and c.info["origin"] == "elsewhere" and c.label("energy") == -1.0 and c.hamiltonian is None
    )


@pytest.mark.parametrize(
    "source, target, message",
    [
        ("none.db", "x", "none.db: no such file"),
        ("none", "x.db", "none"),
        ("data", "data", "holds reference data already"),
        ("data", "x.extxyz", "a target is a folder or an ASE database"),
        ("data", "postgresql://me:pw@127.0.0.1:1/x", "postgresql://me@127"),
    ],
)
def test_refusals_are_one_line(folder, tmp_path, capsys, monkeypatch, source, target, message):
    monkeypatch.chdir(tmp_path)
    assert cli(["data", "convert", source, target]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "pw@" not in error


def test_damaged_hamiltonian_is_named(folder, tmp_path):
    (folder / "hamiltonians" / "p1_0001.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="p1_0001.npz: not a readable Hamiltonian file"):
        convert(folder, tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()


def test_command_line(folder, tmp_path, capsys):
    assert cli(["data", "convert", str(folder), str(tmp_path / "x.db")]) == 0
    assert "5 configurations" in capsys.readouterr().out
