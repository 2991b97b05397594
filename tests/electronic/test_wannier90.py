"""Wannier90 files: round trips, and errors that name the line."""

import numpy as np
import pytest

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from tests.electronic_helpers import graphene_model, random_model

K = np.random.default_rng(0).random((5, 3)) * [1, 1, 0]


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("source", ["_hr.dat", "_tb.dat"])
def test_round_trip(tmp_path, complex_, source):
    h = random_model(complex_=complex_)
    h.write_wannier90(tmp_path / "w")
    (tmp_path / {"_hr.dat": "w_tb.dat", "_tb.dat": "w_hr.dat"}[source]).unlink()
    back = WannierHamiltonian.from_wannier90(tmp_path / "w")
    assert np.abs(back.eigenvalues(K) - h.eigenvalues(K)).max() < 1e-8
    assert np.abs(back.at_k(K[0], "atomic") - h.at_k(K[0], "atomic")).max() < 1e-8
    assert back.n_electrons == h.n_electrons and back.is_real is not complex_
    assert (back.orbitals == h.orbitals).all()
    assert np.abs(back.atoms.positions - h.atoms.positions).max() < 1e-9


def test_hr_alone_is_enough(tmp_path):
    h = random_model()
    h.write_wannier90(tmp_path / "w", files=("hr",))
    back = WannierHamiltonian.from_wannier90(tmp_path / "w", n_electrons=12)
    assert np.abs(back.eigenvalues(K) - h.eigenvalues(K)).max() < 1e-8
    assert back.atoms is None and back.n_electrons == 12
    with pytest.raises(ValueError, match="no atoms"):
        back.band_structure()


def test_degeneracies_and_wsvec(tmp_path):
    """A chain with two sites on a ring of two cells: H(1) = H(-1) shared out, one element moved by wsvec."""
    (tmp_path / "c_hr.dat").write_text(" chain\n 1\n 2\n 1 2\n 0 0 0 1 1 0.5 0.0\n 1 0 0 1 1 -2.0 0.0\n")
    with pytest.raises(ValueError, match="not Hermitian"):
        WannierHamiltonian.from_wannier90(tmp_path / "c")
    (tmp_path / "c_wsvec.dat").write_text("# ws\n 0 0 0 1 1\n 1\n 0 0 0\n 1 0 0 1 1\n 2\n 0 0 0\n -2 0 0\n")
    h = WannierHamiltonian.from_wannier90(tmp_path / "c")
    k = np.array([[x, 0, 0] for x in np.linspace(0, 1, 5)])
    # -2 / degeneracy 2, shared between R = 1 and R = -1: 0.5 - cos(2 pi k)
    assert np.allclose(h.eigenvalues(k)[:, 0], 0.5 - np.cos(2 * np.pi * k[:, 0]))


def test_species_projections_and_bohr(tmp_path):
    h = graphene_model()
    h.write_wannier90(tmp_path / "g", files=("hr",))
    cell = h.atoms.cell.array / 0.529177210903
    rows = [
        "begin unit_cell_cart",
        "bohr",
        *(" ".join(map(str, v)) for v in cell),
        "end unit_cell_cart",
        "begin atoms_frac",
        *("C " + " ".join(map(str, s)) for s in h.atoms.get_scaled_positions()),
        "end atoms_frac",
        "begin projections",
        "C:pz  ! comment",
        "end projections",
    ]
    (tmp_path / "g.win").write_text("\n".join(rows))
    back = WannierHamiltonian.from_wannier90(tmp_path / "g")
    assert (back.orbitals == h.orbitals).all()
    assert np.allclose(back.atoms.cell, h.atoms.cell, atol=1e-8) and back.atoms.pbc.tolist() == [True, True, False]


def test_damage_is_reported_with_its_line(tmp_path):
    path = tmp_path / "g_hr.dat"
    graphene_model().write_wannier90(tmp_path / "g", files=("hr",))
    lines = path.read_text().splitlines()

    def broken(number, text):
        path.write_text("\n".join(lines[: number - 1] + ([text] if text is not None else []) + lines[number:]))
        return pytest.raises(ValueError, match=rf"g_hr\.dat:{number}: ")

    with broken(6, lines[5].replace("0.", "0x", 1)):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    with broken(9, " ".join(lines[8].split()[:6])):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    with broken(7, " ".join([*lines[6].split()[:4], "9", "0", "0"])):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    with broken(2, "two"):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    with broken(8, "   44" + lines[7][5:]):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    path.write_text("\n".join(lines[:12]))
    with pytest.raises(ValueError, match=r"g_hr\.dat:12: the file ends"):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    path.write_text("")
    with pytest.raises(ValueError, match="empty"):
        WannierHamiltonian.from_wannier90(tmp_path / "g")
    with pytest.raises(FileNotFoundError, match="nothing_hr.dat"):
        WannierHamiltonian.from_wannier90(tmp_path / "nothing")


def test_size_guard(tmp_path):
    with pytest.raises(ValueError, match="would take"):
        random_model().write_wannier90(tmp_path / "w", max_bytes=1e4)
    assert not list(tmp_path.iterdir())
