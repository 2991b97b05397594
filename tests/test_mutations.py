"""Damaged files of every reader: the same content, or a ValueError; no other error, no crash, no endless loop.

Binary files of our own carry a checksum, so that a changed byte never gives another content. Text files do not: of them
only what is refused, or read as a consistent Hamiltonian, is asked for.
"""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from ase.build import mx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_wander import WannierHamiltonian
from ase_wander.archives import read_npz, write_npz
from ase_wander.checks import read_mapping
from ase_wander.data.campaign.folder import CampaignFolder
from ase_wander.data.dft.labels import Labels
from ase_wander.data.dft.recipe import Recipe
from ase_wander.electronic.io.exports import read_petsc, read_wanniertools, write_petsc, write_wanniertools
from ase_wander.electronic.io.tbmodels import read_tbmodels, write_tbmodels
from ase_wander.files import read_structure
from ase_wander.model.files import load_uncertainty, read_config
from ase_wander.records import read_record, write_record
from tests.electronic_helpers import graphene_model

MODELS = Path(__file__).resolve().parents[1] / "models"

ARRAYS = {"a": np.arange(9.0), "text": np.array("words"), "b": np.eye(2, dtype=bool)}

#: A result of a reference calculation, of two atoms, one k-point and two bands.
LABELS = Labels(
    atoms=graphene_model().atoms,
    energy=-18.5,
    forces=np.arange(6.0).reshape(2, 3),
    stress=np.zeros(6),
    efermi=-4.5,
    kpts=np.zeros((1, 3)),
    kweights=np.ones(1),
    grid=np.ones(3, int),
    eigenvalues=np.array([[-7.0, -2.0]]),
    amplitudes=np.eye(2)[None] + 0j,
    vacuum_top=0.01,
    vacuum_bottom=-0.01,
    info={"labels_hash": "abc"},
)
PLAN = {
    "name": "x",
    "recipe": Recipe(
        engine="espresso", shells={"C": ["pz"]}, bands={"C": 6}, converged_bands={"C": 5}, window=(-3.0, 2.0)
    ).to_dict(),
    "configurations": {"p1_0000": {"n_atoms": 4, "cost": 1.0, "labels": "a", "hamiltonian": "b"}},
}
RECORD = {"gap": 1.25, "k": [0, 1], "model": {"name": "x", "sha256": None}}


def wsvec(h) -> str:
    """Text of `_wsvec.dat`: every element of every H(R) has itself for its one equivalent."""
    n = range(1, h.n_orbitals + 1)
    rows = [f"{' '.join(map(str, R))} {i} {j}\n1\n0 0 0\n" for R in h.cell_shifts.tolist() for i in n for j in n]
    return "# with use_ws_distance=.true.\n" + "".join(rows)


#: A mutation: where (0 to 1), what is done there, with which bytes.
MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["change", "insert", "delete", "cut", "double"]),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=3,
)
MUCH = settings(
    max_examples=25, deadline=20_000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def mutated(content: bytes, mutations) -> bytes:
    for place, what, new in mutations:
        at = int(place * len(content))
        content = {
            "change": content[:at] + new + content[at + len(new) :],
            "insert": content[:at] + new + content[at:],
            "delete": content[:at] + content[at + len(new) :],
            "cut": content[:at],
            "double": content[:at] + content[max(at - 40, 0) :],
        }[what]
    return content


@cache
def valid(name: str) -> bytes:
    """Contents of a valid file."""
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        h = graphene_model()
        h.save(folder / "h.npz")
        write_npz(folder / "x.npz", ARRAYS, compressed=True)
        write_petsc(h, [0.1, 0.2, 0], folder / "h.petsc")
        h.write_wannier90(folder / "g")
        write_wanniertools(h, folder, "w")
        (folder / "g_wsvec.dat").write_text(wsvec(h))
        if name == "h.hdf5":
            write_tbmodels(h, folder / name)
        LABELS.save(folder / "labels.npz")
        CampaignFolder(folder).write_plan(PLAN)
        write_record(folder / "record.json", RECORD)
        for structure in ("a.extxyz", "POSCAR", "a.traj", "a.cif"):
            mx2("MoS2", vacuum=8.0).write(folder / structure)
        return (folder / name).read_bytes()


def same(a, b):
    return all(np.array_equal(x.toarray(), y.toarray()) for x, y in zip(a.blocks, b.blocks, strict=True)) and (
        np.array_equal(a.cell_shifts, b.cell_shifts) and np.array_equal(a.orbitals, b.orbitals) and a.atoms == b.atoms
    )


@MUCH
@given(mutations=MUTATIONS)
def test_saved_hamiltonians(tmp_path, mutations):
    h, file = graphene_model(), tmp_path / "h.npz"
    file.write_bytes(mutated(valid("h.npz"), mutations))
    try:
        back = WannierHamiltonian.load(file)
    except ValueError as error:
        assert "h.npz" in str(error)
    else:
        assert same(h, back) and back.n_electrons == h.n_electrons


@MUCH
@given(mutations=MUTATIONS)
def test_archives(tmp_path, mutations):
    file = tmp_path / "x.npz"
    file.write_bytes(mutated(valid("x.npz"), mutations))
    try:
        back = read_npz(file, required=True)
    except ValueError as error:
        assert "x.npz" in str(error)
    else:
        assert set(back) == set(ARRAYS) and all(np.array_equal(back[k], ARRAYS[k]) for k in ARRAYS)


@MUCH
@given(mutations=MUTATIONS)
def test_petsc(tmp_path, mutations):
    file = tmp_path / "h.petsc"
    file.write_bytes(mutated(valid("h.petsc"), mutations))
    try:
        matrix = read_petsc(file)
    except ValueError as error:
        assert "h.petsc" in str(error)
    else:
        assert np.isfinite(matrix.toarray()).all()


@pytest.mark.parametrize("suffix", ["_hr.dat", "_tb.dat", "_centres.xyz", ".win", "_wsvec.dat"])
@MUCH
@given(mutations=MUTATIONS)
def test_wannier90(tmp_path, suffix, mutations):
    for other in ("_hr.dat", "_centres.xyz", ".win") if suffix != "_tb.dat" else (".win",):
        (tmp_path / f"g{other}").write_bytes(valid(f"g{other}"))
    file = tmp_path / f"g{suffix}"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        back = WannierHamiltonian.from_wannier90(tmp_path / "g")
    except ValueError as error:
        assert str(tmp_path / "g") in str(error)
    else:
        assert back.is_hermitian and all(np.isfinite(b.data).all() for b in back.blocks)
        assert np.isfinite(back.eigenvalues([0.1, 0.2, 0])).all()


@MUCH
@given(mutations=MUTATIONS)
def test_wanniertools(tmp_path, mutations):
    file = tmp_path / "w_hr.dat"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        _, blocks = read_wanniertools(file)
    except ValueError as error:
        assert "w_hr.dat" in str(error)
    else:
        assert all(np.isfinite(b.data).all() for b in blocks)


@pytest.mark.parametrize("name", ["a.extxyz", "POSCAR", "a.traj", "a.cif"])
@MUCH
@given(mutations=MUTATIONS)
def test_structures(tmp_path, name, mutations):
    file = tmp_path / name
    file.write_bytes(mutated(valid(name), mutations))
    try:
        atoms = read_structure(file)
    except ValueError as error:
        assert name in str(error)
    else:
        assert np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()


@MUCH
@given(mutations=MUTATIONS)
def test_yaml(tmp_path, mutations):
    file = tmp_path / "c.yaml"
    file.write_bytes(
        mutated(b"name: a\nlist: [1, 2.5, {x: y}]\nmore: &m {a: 1}\nagain: *m\ntext: |\n  words\n", mutations)
    )
    try:
        raw = read_mapping(file, ("name",))
    except ValueError as error:
        assert "c.yaml" in str(error)
    else:
        assert isinstance(raw, dict)


@MUCH
@given(mutations=MUTATIONS)
def test_model_folders(tmp_path, mutations):
    file = tmp_path / "config.json"
    shutil.copy(MODELS / "graphene-bilayer" / "config.json", file)
    file.write_bytes(mutated(file.read_bytes(), mutations))
    try:
        assert isinstance(read_config(tmp_path), dict)
    except ValueError as error:
        assert "config.json" in str(error)
    file, digest = tmp_path / "trust.safetensors", "00" * 32
    file.write_bytes(mutated((MODELS / "graphene-bilayer" / file.name).read_bytes()[:4000], mutations))
    with pytest.raises(ValueError, match=r"trust\.safetensors"):
        load_uncertainty(file, digest)


@MUCH
@given(mutations=MUTATIONS)
def test_labels(tmp_path, mutations):
    file = tmp_path / "labels.npz"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        back = Labels.load(file)
    except ValueError as error:
        assert "labels.npz" in str(error)
    else:
        assert back.energy == LABELS.energy and np.array_equal(back.eigenvalues, LABELS.eigenvalues)
        assert np.array_equal(back.forces, LABELS.forces) and back.atoms == LABELS.atoms and back.info == LABELS.info


@MUCH
@given(mutations=MUTATIONS)
def test_campaigns(tmp_path, mutations):
    file = tmp_path / "campaign.json"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        back = CampaignFolder(tmp_path).read_plan()
    except ValueError as error:
        assert "campaign.json" in str(error)
    else:
        assert back["configurations"] == PLAN["configurations"] and back["name"] == "x"


@MUCH
@given(mutations=MUTATIONS)
def test_records(tmp_path, mutations):
    file = tmp_path / "record.json"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        back = read_record(file)
    except ValueError as error:
        assert "record.json" in str(error)
    else:
        assert back == RECORD or "checksum" not in file.read_text()  # without one it is a record of version 0.1


@settings(MUCH, max_examples=8, deadline=60_000)  # every file is read in a process of its own
@given(mutations=MUTATIONS)
def test_tbmodels(tmp_path, mutations):
    pytest.importorskip("h5py", reason="NEEDS h5py")
    file = tmp_path / "h.hdf5"
    file.write_bytes(mutated(valid(file.name), mutations))
    try:
        back = WannierHamiltonian(**read_tbmodels(file, n_electrons=2))
    except ValueError as error:
        assert "h.hdf5" in str(error) or "Hermitian" in str(error)
    else:
        assert all(np.isfinite(b.data).all() for b in back.blocks)
