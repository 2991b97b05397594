"""Files appear whole or not at all; structures are read or refused, with the file's name and in bounded time."""

import bz2
import gzip
import os
import stat
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import graphene, mx2
from ase.io import write

from ase_wander.files import PARTIAL, atomic_write, check_structure, read_frames, read_structure, sweep, writing


def leftovers(folder):
    return [file.name for file in folder.iterdir() if file.name.startswith(PARTIAL)]


@pytest.mark.parametrize("content", [b"abc", "abc", lambda file: file.write(b"abc")])
def test_content_of_every_kind_arrives(tmp_path, content):
    file = tmp_path / "x.txt"
    file.write_text("before")
    assert atomic_write(file, content) == file and file.read_bytes() == b"abc" and not leftovers(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~os.umask(os.umask(0o22) or 0o22)


def test_a_failure_keeps_the_old_file(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("before")

    def fails(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(file, fails)
    assert file.read_text() == "before" and not leftovers(tmp_path)


def test_links_are_not_followed(tmp_path):
    """Neither one planted under the old fixed names of temporary files, nor one in the place of the file."""
    secret, file = tmp_path / "secret", tmp_path / "x.txt"
    secret.write_text("keep")
    for name in ("x.txt", "x.txt.part", ".partial-x.txt", f".{os.getpid()}.x.txt", "x.part"):
        (tmp_path / name).symlink_to(secret)
    atomic_write(file, "new")
    assert secret.read_text() == "keep" and file.read_text() == "new" and not file.is_symlink()


def test_temporary_names_keep_their_ending(tmp_path):
    """Writers choose the format by it, also of names at the limit of the file system."""
    for name in ("a.extxyz", "b@1.extxyz", "c" * 240 + ".extxyz", "é" * 120 + ".xyz"):
        with writing(tmp_path / name) as temporary:
            write(temporary, graphene(), format="extxyz")
        assert temporary.name.endswith(name[-6:]) and len(read_structure(tmp_path / name)) == 2


def test_errors_name_the_file_that_was_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/x\.txt"):
        atomic_write(tmp_path / "nowhere" / "x.txt", "")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        atomic_write(tmp_path, "")
    with pytest.raises(OSError, match=r"no regular file.*/dev/null"):
        atomic_write("/dev/null", "")

    def full(stream):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: .*x\.txt'") as caught:
        atomic_write(tmp_path / "x.txt", full)
    assert caught.value.errno == 28 and not list(tmp_path.iterdir())


def layer(vacuum=10.0):
    return mx2("MoS2", vacuum=vacuum)


@pytest.mark.parametrize("name", ["a.extxyz", "a@b.xyz", "postgres.xyz", "POSCAR", "a.traj", "a.xyz.gz", "[bold]x.cif"])
def test_structures_of_many_formats(tmp_path, name):
    layer().write(tmp_path / name)
    atoms = read_structure(tmp_path / name)
    assert sorted(atoms.symbols) == sorted(layer().symbols) and len(list(read_frames(tmp_path / name))) == 1


def test_last_frame_and_all_frames(tmp_path):
    write(tmp_path / "x.extxyz", [layer(), graphene(vacuum=5.0)])
    assert str(read_structure(tmp_path / "x.extxyz").symbols) == "C2"
    assert [len(a) for a in read_frames(tmp_path / "x.extxyz")] == [3, 2]


XYZ = 'Lattice="3 0 0 0 3 0 0 0 9" Properties=species:S:1:pos:R:3\n'
#: File name, content, message.
BAD = {
    "empty": ("x.xyz", b"", "the file is empty"),
    "no structure": ("x.xyz", b"hello", r"x\.xyz.*: no structure that ASE can read"),
    "endless": (
        "x.xyz",
        f"900000000000\n{XYZ}C 0 0 0\n".encode(),
        r"x\.xyz:1: no structure, 900000000000 atoms announced",
    ),
    "cut": ("x.extxyz", f"3\n{XYZ}C 0 0 0\n".encode(), r"x\.extxyz:1: no structure, 3 atoms announced"),
    "negative": ("x.xyz", f"-2\n{XYZ}C 0 0 0\n".encode(), "no structure that ASE can read"),
    "no atoms": ("x.xyz", f"0\n{XYZ}".encode(), r"x\.xyz.*"),
    "nan": ("x.xyz", f"1\n{XYZ}C 0 nan 0\n".encode(), "position of atom 0 .C. is not finite"),
    "infinite cell": ("x.xyz", f"1\n{XYZ.replace('9', 'inf')}C 0 0 0\n".encode(), "lattice vector 2 is not finite"),
    "far": ("x.xyz", f"1\n{XYZ}C 0 1e300 0\n".encode(), "position of atom 0 .C. is .*longer than 1e.06"),
    "huge cell": ("x.xyz", f"1\n{XYZ.replace('9', '1e15')}C 0 0 0\n".encode(), "lattice vector 2 is .*longer than"),
    "no element": ("x.xyz", f"1\n{XYZ}Qq 0 0 0\n".encode(), r"x\.xyz.*Qq"),
    "element 200": (
        "x.xyz",
        b'1\nLattice="3 0 0 0 3 0 0 0 9" Properties=Z:I:1:pos:R:3\n200 0 0 0\n',
        r"x\.xyz.*(200|no such element|IndexError)",
    ),
    "binary": ("x.traj", b"- of Ulm" + bytes(100), r"x\.traj"),
    "poscar": ("POSCAR", b"x\n1\n3 0 0\n0 3 0\n0 0 9\nC\n90000000000\nDirect\n0 0 0\n", "90000000000 atoms announced"),
    "cut gzip": ("x.xyz.gz", gzip.compress(b"1\n")[:-3], r"x\.xyz\.gz: cannot be unpacked"),
    "no gzip": ("x.xyz.gz", b"1\nabc", r"x\.xyz\.gz: cannot be unpacked"),
    "bomb": ("x.xyz.bz2", bz2.compress(bytes(30_000_000)), r"grows to more than"),
    "unknown type": ("x.foo", b"abc", r"x\.foo.*: no structure"),
    "not text": ("x.xyz", bytes(range(128, 256)) * 9, r"x\.xyz"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_structures_are_refused_by_name(tmp_path, case):
    name, content, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_structure(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        list(read_frames(tmp_path / name))


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_structure(tmp_path / "x")
    with pytest.raises(ValueError, match="is a folder"):
        read_structure(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_structure(tmp_path / "pipe")


def test_atoms_a_thousand_times_too_small():
    """Cells and positions given in nm, or in km: a neighbour list of them would fill the memory."""
    atoms = layer().repeat((5, 5, 1))
    check_structure(atoms)
    for factor in (1e-1, 1e-3, 1e-12):
        small = atoms.copy()
        small.set_cell(atoms.cell * factor, scale_atoms=True)
        with pytest.raises(ValueError, match="are in Å"):
            check_structure(small)
        cluster = Atoms(small.numbers, small.positions * (1e-3 if factor == 1e-1 else 1))
        with pytest.raises(ValueError, match="within 1 Å of atom"):
            check_structure(cluster)
    tiny = layer(vacuum=None)
    tiny.set_cell(np.diag([1e-4, 1e-4, 0.0]))
    with pytest.raises(ValueError, match="3 atoms in a cell"):
        check_structure(tiny)


def test_a_reader_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("ase_wander.files.TIME_LIMIT", 0.2)

    def endless(*args, **kwargs):
        while True:
            pass

    monkeypatch.setattr("ase.io.read", endless)
    layer().write(tmp_path / "x.xyz")
    with pytest.raises(ValueError, match=r"x\.xyz: .*no end after 0\.2 s"):
        read_structure(tmp_path / "x.xyz")


def test_what_killed_processes_left_is_swept(tmp_path):
    """Old partial files go; young ones, other files, links and their targets stay."""
    target = tmp_path / "target"
    target.write_text("mine")
    for name, age in ((".partial-old", 7200), (".partial-young", 10), ("old.txt", 7200)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / ".partial-link").symlink_to(target)
    os.utime(target, (time.time() - 7200,) * 2)
    assert [file.name for file in sweep(tmp_path)] == [".partial-old"]
    assert {p.name for p in tmp_path.iterdir()} == {".partial-young", ".partial-link", "old.txt", "target"}
