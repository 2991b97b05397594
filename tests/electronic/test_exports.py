"""Other codes get the same bands: WannierTools, PETSc, PythTB, sisl, TBmodels."""

import numpy as np
import pytest

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.io.exports import read_petsc, read_wanniertools, write_petsc, write_wanniertools
from ase_wander.electronic.io.tbmodels import read_tbmodels, write_tbmodels
from tests.electronic_helpers import graphene_model, random_model

K = np.array([[0.11, 0.37, 0], [0.5, 0, 0]])


def test_wanniertools_round_trip(tmp_path):
    h = random_model(complex_=True)
    write_wanniertools(h, tmp_path)
    shifts, blocks = read_wanniertools(tmp_path / "wander_hr.dat")
    back = WannierHamiltonian(h.atoms, h.orbitals, shifts, blocks, h.n_electrons)
    assert np.abs(back.eigenvalues(K) - h.eigenvalues(K)).max() < 1e-8
    text = (tmp_path / "wt.in").read_text()
    assert "Is_Sparse_Hr = T" in text and "NumOccupied = 7" in text and "Mo dxy dyz dz2 dxz dx2-y2" in text
    path = tmp_path / "wander_hr.dat"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:10]))
    with pytest.raises(ValueError, match=r"wander_hr\.dat:10: the file ends"):
        read_wanniertools(path)
    lines[5] = lines[5][:15] + "     999" + lines[5][23:]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"wander_hr\.dat:6: orbital 999"):
        read_wanniertools(path)


def test_petsc_round_trip(tmp_path):
    h = random_model()
    write_petsc(h, K[0], tmp_path / "h.petsc")
    assert np.abs(read_petsc(tmp_path / "h.petsc") - h.at_k(K[0])).max() == 0
    (tmp_path / "h.petsc").write_bytes((tmp_path / "h.petsc").read_bytes()[:-8])
    with pytest.raises(ValueError, match="h.petsc: no PETSc matrix"):
        read_petsc(tmp_path / "h.petsc")


@pytest.mark.parametrize("model", [graphene_model, random_model])
def test_pythtb_has_the_same_bands(model):
    pytest.importorskip("pythtb")
    h = model()
    other = h.to_pythtb()
    solve = other.solve_all if hasattr(other, "solve_all") else other.solve_ham
    values = np.asarray(solve(K[:, :2]))
    values = values.T if values.shape[0] == h.n_orbitals else values
    assert np.abs(np.sort(values, axis=1) - h.eigenvalues(K)).max() < 1e-8


@pytest.mark.parametrize("complex_", [False, True])
def test_sisl_has_the_same_bands(complex_):
    pytest.importorskip("sisl")
    h = random_model(complex_=complex_)
    other = h.to_sisl()
    for k in K:
        assert np.abs(other.eigh(k) - h.eigenvalues(k)[0]).max() < 1e-8


@pytest.mark.parametrize("complex_", [False, True])
def test_tbmodels_file_round_trip(complex_, tmp_path):
    pytest.importorskip("h5py", reason="NEEDS H5PY for TBmodels files")
    h = random_model(complex_=complex_)
    h.atoms.positions -= 0.7 * h.atoms.cell.array[0]  # orbitals outside the home cell
    path = tmp_path / "model.hdf5"
    write_tbmodels(h, path)
    back = WannierHamiltonian(**read_tbmodels(path))
    assert back.n_electrons == h.n_electrons and back.is_real is not complex_
    assert np.abs(back.eigenvalues(K) - h.eigenvalues(K)).max() < 1e-8
    away = (back.centres - h.centres) @ np.linalg.inv(h.atoms.cell.array)
    assert np.abs(away - np.rint(away)).max() < 1e-9
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="model.hdf5: not a readable TBmodels file"):
        read_tbmodels(path)


def test_tbmodels_has_the_same_bands(tmp_path):
    tbmodels = pytest.importorskip("tbmodels", reason="NEEDS TBMODELS")
    h = random_model(complex_=True)
    write_tbmodels(h, tmp_path / "ours.hdf5")
    theirs = tbmodels.io.load(str(tmp_path / "ours.hdf5"))
    for k in K:
        assert np.abs(theirs.eigenval(k) - h.eigenvalues(k)[0]).max() < 1e-8
    theirs.set_sparse(False)
    tbmodels.io.save(theirs, str(tmp_path / "theirs.hdf5"))
    assert (
        np.abs(WannierHamiltonian(**read_tbmodels(tmp_path / "theirs.hdf5")).eigenvalues(K) - h.eigenvalues(K)).max()
        < 1e-8
    )
