"""Damaged Wannier90 files and saved Hamiltonians: the message names file, line and what is wrong there."""

import re

import numpy as np
import pytest

from ase_wander import WannierHamiltonian
from ase_wander.archives import CHECKSUM, read_npz, write_npz
from ase_wander.electronic.io import win
from ase_wander.electronic.io.exports import read_petsc, read_wanniertools, write_petsc, write_wanniertools
from ase_wander.electronic.solvers.kpoints import solve_kpoints
from tests.electronic_helpers import graphene_model

# ------------------------------------------------------------------------------------------------ Wannier90
HR = "chain\n1\n3\n1 1 1\n-1 0 0 1 1 -1.0 0.0\n0 0 0 1 1 0.5 0.0\n1 0 0 1 1 -1.0 0.0\n"


TB = "chain\n3 0 0\n0 3 0\n0 0 9\n1\n1\n1\n\n0 0 0\n1 1 0.5 0.0\n\n0 0 0\n1 1 0.1 0 0.2 0 0.3 0\n"


WIN = """num_wann = 1
mp_grid = 2 2 1
spinors = false
begin unit_cell_cart
ang
3 0 0
0 3 0
0 0 20
end unit_cell_cart
begin atoms_frac
C 0.1 0.2 0.5
end atoms_frac
begin projections
C:pz
end projections
"""


#: Suffix of the file, its content by replacements in a valid one, message.
WANNIER90 = [
    ("_hr.dat", HR, ("\n1\n", "\none\n"), r":2: expected number of Wannier functions \(integers\)"),
    ("_hr.dat", HR, ("\n1\n3", "\n0\n3"), r":3: 0 Wannier functions and 3 cells"),
    ("_hr.dat", HR, ("\n1\n3", "\n-1\n3"), ":3: -1 Wannier functions"),
    ("_hr.dat", HR, ("\n1\n3", "\n9000000\n3"), "the file ends before 9000000 x 9000000 elements"),
    ("_hr.dat", HR, ("\n1\n3", f"\n{'9' * 30}\n3"), r":2: expected number of Wannier functions \(integers\)"),
    ("_hr.dat", HR, ("1 1 1\n", "1 0 1\n"), ":4: degeneracy 0"),
    ("_hr.dat", HR, ("1 1 1\n", "1 1\n"), ":5: "),
    ("_hr.dat", HR, ("\n3\n1 1 1", "\n2\n1 1"), ":7: the file goes on after 2 cells R"),
    ("_hr.dat", HR, ("0.5 0.0", "nan 0.0"), ":6: not finite"),
    ("_hr.dat", HR, ("0.5 0.0", "1e999 0.0"), ":6: not finite"),
    ("_hr.dat", HR, ("0.5 0.0", "0.5"), r":6: expected R1 R2 R3 m n Re Im \(7 fields\), found 6"),
    ("_hr.dat", HR, ("0.5 0.0", "0.5 1_0"), ":6: expected numbers"),
    ("_hr.dat", HR, ("0 0 0 1 1", "0 0 0 1 2"), ":6: Wannier function 1, 2: there are 1"),
    ("_hr.dat", HR, ("0 0 0 1 1", "0 0 0 1 0"), ":6: Wannier function 1, 0"),
    ("_hr.dat", HR, ("0 0 0 1 1", "0 0 0 1e300 1"), ":6: Wannier function 1e.300"),
    ("_hr.dat", HR, ("0 0 0 1 1", "0.5 0 0 1 1"), r":6: R = \[0.5, 0.0, 0.0\] is no cell"),
    ("_hr.dat", HR, ("0 0 0 1 1", "9e9 0 0 1 1"), ":6: R = .* is no cell of integers up to"),
    ("_hr.dat", HR, ("0 0 0 1 1", "1 0 0 1 1"), r"R = \[1, 0, 0\] appears twice"),
    ("_hr.dat", HR, ("-1.0 0.0\n0", "-1.1 0.0\n0"), "not Hermitian"),
    ("_hr.dat", HR, ("chain", "chain n_electrons=many"), ":1: n_electrons=many is no number"),
    ("_hr.dat", HR, ("chain", "chain n_electrons=7"), "7 electrons do not fit 1 orbitals"),
    ("_tb.dat", TB, ("3 0 0\n0 3 0", "3 0 0\n3 0 0"), r":4: the lattice vectors .* span no cell"),
    ("_tb.dat", TB, ("1 1 0.5", "2 1 0.5"), ":10: Wannier function 2, 1: there are 1"),
    ("_tb.dat", TB, ("1 1 0.1", "1 900000 0.1"), ":13: Wannier function 1, 900000"),
    ("_tb.dat", TB, ("\n0 0 0\n1 1 0.1", "\n1 0 0\n1 1 0.1"), r":12: R = \[1, 0, 0\] of a position block"),
    ("_tb.dat", TB, ("9\n1\n1\n", "9\n5000\n1\n"), "the file ends before 5000 x 5000 elements"),
    ("_wsvec.dat", "#\n0 0 0 1 1\n", ("\n", "\n"), "the file ends before number of cells"),
    ("_wsvec.dat", "#\n5 0 0 1 1\n1\n0 0 0\n", ("\n", "\n"), r":2: R = \[5, 0, 0\], m = 1, n = 1 is not in"),
    ("_wsvec.dat", "#\n0 0 0 1 1\n1000000000\n0 0 0\n", ("\n", "\n"), "the file ends before equivalent cells"),
    ("_wsvec.dat", "#\n0 0 0 1 1\n2\n0 0 0\n0 0 0\n", ("\n", "\n"), r":5: equivalent cells .* repeat"),
    ("_wsvec.dat", "#\n0 0 0 1 1\n1\n0 0 0\n0 0 0 1 1\n1\n0 0 0\n", ("\n", "\n"), ":5: .* appears twice"),
    ("_centres.xyz", "2\n\nX 0 0 0\nC 0 0 0\n", ("X 0 0 0", "X 0 0 inf"), ":3: not finite"),
    ("_centres.xyz", "2\n\nX 0 0 0\nC 0 0 0\n", ("C", "Qq"), ":4: unknown element 'Qq'"),
    ("_centres.xyz", "2\n\nX 0 0 0\nC 0 0 0\n", ("X", "C"), r"0 centres \(X\), the Hamiltonian has 1"),
    (".win", WIN, ("num_wann = 1", "num_wann = 2"), "num_wann is 2, the Hamiltonian has 1 functions"),
    (".win", WIN, ("num_wann = 1", "num_wann = one"), ":1: 'one' is not 1 positive integer"),
    (".win", WIN, ("num_wann", "num_wnan"), ":1: keyword 'num_wnan' is not known"),
    (".win", WIN, ("spinors", "num_wann"), ":3: keyword 'num_wann' for the second time"),
    (".win", WIN, ("spinors = false", "spinors = maybe"), ":3: 'maybe' is neither true nor false"),
    (".win", WIN, ("mp_grid = 2 2 1", "mp_grid = 2 2"), ":2: '2 2' is not 3 positive integers"),
    (".win", WIN, ("0 3 0", "3 0 0"), "unit_cell_cart holds 3 vectors that span no cell"),
    (".win", WIN, ("0 3 0", "0 nan 0"), ":7: expected three finite numbers"),
    (".win", WIN, ("C 0.1", "Cx 0.1"), ":11: unknown element 'cx'"),
    (".win", WIN, ("C 0.1 0.2 0.5", "C 0.1 0.2"), ":11: expected three finite numbers"),
    (".win", WIN, ("begin projections", "begin projektions"), ":13: block projektions is not known"),
    (".win", WIN, ("end projections", "end atoms_frac"), ":15: end atoms_frac without its begin"),
    (".win", WIN, ("end projections\n", ""), "the file ends inside projections"),
    (".win", WIN, ("C:pz", "C:pz(u)"), r":14: \(u\) of a projection, but spinors is not true"),
    (".win", WIN, ("C 0.1 0.2 0.5", "C 1e9 0.2 0.5"), r"position of atom 0 \(C\) is .* longer than"),
]


@pytest.mark.parametrize("suffix, valid, change, message", WANNIER90)
def test_wannier90_files(tmp_path, suffix, valid, change, message):
    assert change[0] in valid
    if suffix != "_tb.dat":
        (tmp_path / "a_hr.dat").write_text(HR if suffix != "_wsvec.dat" else "c\n1\n1\n1\n0 0 0 1 1 0.5 0.0\n")
    (tmp_path / f"a{suffix}").write_text(valid.replace(*change, 1))
    with pytest.raises(ValueError, match=rf"(?s)a({re.escape(suffix)})?.*{message}"):
        WannierHamiltonian.from_wannier90(tmp_path / "a")


def test_the_valid_files_are_read(tmp_path):
    (tmp_path / "a_hr.dat").write_text(HR)
    (tmp_path / "a.win").write_text(WIN)
    h = WannierHamiltonian.from_wannier90(tmp_path / "a")
    assert h.orbitals["label"].tolist() == ["pz"] and np.isclose(h.eigenvalues([0, 0, 0])[0, 0], -1.5)
    (tmp_path / "b_tb.dat").write_text(TB)
    h = WannierHamiltonian.from_wannier90(tmp_path / "b", n_electrons=1)  # alone: no elements, sites at the centres
    assert list(h.atoms.symbols) == ["X"]
    assert np.allclose(h.centres, [[0.1, 0.2, 0.3]]) and h.band_structure("GM", npoints=3).energies.shape == (1, 3, 1)


@pytest.mark.parametrize(
    "projection, labels",
    [
        ("C:p", ["pz", "px", "py"]),
        ("C:py;px", ["px", "py"]),
        ("C:l=1,mr=3,2", ["px", "py"]),
        ("C:d;s", ["s", "dz2", "dxz", "dyz", "dx2-y2", "dxy"]),
        ("C:s,p", ["s", "pz", "px", "py"]),
        ("C:pz;pz", ["pz"]),
        ("C:sp2", None),
        ("C:pz:z=1,0,0", None),
        ("f=0.4,0.4,0.4:s", None),
    ],
)
def test_functions_stand_in_the_order_of_wannier90(tmp_path, projection, labels):
    """It goes through a table of l and mr for every site, whatever the line says; what is not plain is not guessed."""
    (tmp_path / "a.win").write_text(WIN.replace("C:pz", projection))
    rows = win.read(tmp_path / "a.win")["projections"]
    assert (labels is None and rows is None) or [row[-1] for row in rows] == labels


def test_spin_goes_fastest(tmp_path):
    (tmp_path / "a.win").write_text(WIN.replace("spinors = false", "spinors = .true.").replace("C:pz", "C:s;pz"))
    rows = win.read(tmp_path / "a.win")["projections"]
    assert [(row[-1], row[3]) for row in rows] == [("s", 1), ("s", -1), ("pz", 1), ("pz", -1)]


def test_functions_of_unknown_sites_are_on_no_atom(tmp_path):
    (tmp_path / "a_hr.dat").write_text(HR)
    (tmp_path / "a.win").write_text(WIN.replace("C:pz", "random"))
    h = WannierHamiltonian.from_wannier90(tmp_path / "a")
    assert h.orbitals["atom"].tolist() == [-1] and h.eigenvalues([0, 0, 0]).shape == (1, 1)
    with pytest.raises(ValueError, match="on which atoms the Wannier functions sit is not known"):
        h.at_k([0, 0, 0], "atomic")


# ------------------------------------------------------------------------------------------------ binary Hamiltonians
def changed(path, required=True, **arrays):
    """The file with some arrays changed, in the format without a checksum."""
    found = read_npz(path)
    found["format"] = np.array("ase_wander WannierHamiltonian 1")
    np.savez(path, **{**found, **{k: f(found[k].copy()) for k, f in arrays.items()}})


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


HAMILTONIAN = {
    "nan": ({"data": put(0, np.nan)}, "element 0 is nan"),
    "one element": ({"data": lambda x: x + np.eye(1, len(x))[0]}, "not Hermitian"),
    "column beyond": ({"indices": put(0, 10**6)}, "column 1000000 of 2"),
    "column before": ({"indices": put(0, -1)}, "column -1 of 2"),
    "pointers fall": ({"indptr": put((0, 1), 10**6)}, "row pointers"),
    "pointers negative": ({"indptr": put((0, -1), -5)}, "row pointers"),
    "atom beyond": ({"orbital_atom": put(0, 99)}, "orbital_atom: 99"),
    "l beyond": ({"orbital_l": put(0, 9)}, "orbital_l: 9"),
    "m beyond l": ({"orbital_m": put(0, 3)}, "orbital 0 has l = 1 and m = 3"),
    "no numbers": ({"orbital_l": lambda x: x.astype(str)}, "orbital_l of shape"),
    "position": ({"atoms_positions": put((0, 0), np.nan)}, "position of atom 0"),
    "cell": ({"cell": lambda x: 0 * x}, "does not span"),
    "shift": ({"cell_shifts": put((0, 0), 10**9)}, "cell_shifts: 1000000000"),
    "shifts twice": ({"cell_shifts": lambda x: 0 * x}, ""),
    "electrons": ({"n_electrons": lambda x: np.array(99.0)}, "99 electrons do not fit"),
    "spin": ({"spin_degeneracy": lambda x: np.array(7)}, "spin_degeneracy is 7"),
    "element 200": ({"atoms_numbers": put(0, 200)}, "numbers: 200"),
    "info": ({"info": lambda x: np.array("[1")}, "damaged"),
}


@pytest.mark.parametrize("case", HAMILTONIAN)
def test_saved_hamiltonians(tmp_path, case):
    file = tmp_path / "h.npz"
    graphene_model().save(file)
    change, message = HAMILTONIAN[case]
    changed(file, **change)
    with pytest.raises(ValueError, match=rf"h\.npz.*{message}"):
        WannierHamiltonian.load(file)


def test_every_element_is_under_the_checksum(tmp_path):
    """Also a change that keeps H Hermitian, and a file whose checksum was taken away."""
    file = tmp_path / "h.npz"
    graphene_model().save(file)
    arrays = dict(np.load(file))
    onsite = int(np.argmax(arrays["data"] == arrays["data"][0]))
    arrays["data"][onsite] += 0.0
    arrays["n_electrons"] = np.array(3.0)
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"h\.npz: damaged, its contents do not have the checksum"):
        WannierHamiltonian.load(file)
    del arrays[CHECKSUM]
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"h\.npz: damaged, its checksum is missing"):
        WannierHamiltonian.load(file)


def test_archives_that_ask_for_memory(tmp_path):
    file = tmp_path / "x.npz"
    np.savez_compressed(file, x=np.zeros(30_000_000))
    with pytest.raises(ValueError, match=r"x\.npz: not a readable .npz file \(.* bytes of arrays in a file of"):
        read_npz(file)
    np.savez(file, x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"x\.npz: .*neither numbers nor text"):
        read_npz(file)
    write_npz(file, {"x": np.arange(3)})
    content = file.read_bytes()
    file.write_bytes(content.replace(b"(3,)", b"(9,)"))
    with pytest.raises(ValueError, match=r"x\.npz: not a readable"):
        read_npz(file)
    for size in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"x\.npz: not a readable"):
            read_npz(file)


def test_petsc_matrices(tmp_path):
    file = tmp_path / "h.petsc"
    write_petsc(graphene_model(), [0.1, 0.2, 0], file)
    good = file.read_bytes()
    assert read_petsc(file).shape == (2, 2)

    def broken(at, value, message):
        file.write_bytes(good[:at] + np.array([value], ">i4").tobytes() + good[at + 4 :])
        with pytest.raises(ValueError, match=rf"h\.petsc: .*{message}"):
            read_petsc(file)

    broken(0, 7, "class id 7")
    broken(4, -2, "no PETSc matrix")
    broken(12, 10**9, "no PETSc matrix")
    broken(16, -1, "row 0 has -1 elements")
    broken(16, 10**6, "row pointers")
    broken(24, 10**6, "column 1000000 of 2")
    broken(24, -1, "column -1 of 2")


@pytest.mark.parametrize(
    "change, message",
    [
        ((3, "1000000000000"), "the file ends before elements"),
        ((3, "0 ! none"), "0 elements"),
        ((4, "1"), ":.*: orbital 2, there are 1"),
        ((5, "0 0 0 1 1 nan 0"), ":5: not finite"),
        ((5, "0.5 0 0 1 1 1 0"), ":5: R = .* is no cell"),
        ((5, "1e7 0 0 1 1 1 0"), ":5: R = .* is no cell"),
        ((6, None), "appears twice"),
    ],
)
def test_wanniertools_files(tmp_path, change, message):
    write_wanniertools(graphene_model(), tmp_path, "w")
    file = tmp_path / "w_hr.dat"
    lines = file.read_text().splitlines()
    number, text = change
    lines[number - 2 if number < 5 else number - 1] = lines[number - 2] if text is None else text
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"w_hr\.dat{message if message.startswith(':') else '.*' + message}"):
        read_wanniertools(file)


def test_restart_files(tmp_path):
    """A changed energy is no result, with a checksum or without."""
    h, kpts, file = graphene_model(), np.random.default_rng(0).random((3, 3)), tmp_path / "r.npz"
    solve_kpoints(h, kpts, 2, None, vectors=False, restart=file)
    arrays = dict(np.load(file))
    arrays["energies"][0, 0] += 1e-3
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"r\.npz: damaged, its contents"):
        solve_kpoints(h, kpts, 2, None, vectors=False, restart=file)
    del arrays[CHECKSUM]
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"r\.npz: damaged, its checksum is missing"):
        solve_kpoints(h, kpts, 2, None, vectors=False, restart=file)
