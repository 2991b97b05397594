"""Band structures as ASE objects, and the letters of nearly hexagonal cells."""

import numpy as np
import pytest
from ase.io.jsonio import decode, encode
from ase.spectrum.band_structure import BandStructure

from ase_wander.electronic.kpath import resolve_path, special_points
from ase_wander.electronic.solvers import eigensolvers, factorisation
from ase_wander.electronic.supercell import make_supercell
from tests.electronic_helpers import graphene_model, random_model


def test_band_structure_is_the_eigenvalues_on_the_path():
    h = random_model()
    bs = h.band_structure(npoints=12, reference="vacuum")
    assert isinstance(bs, BandStructure) and bs.energies.shape == (1, 12, h.n_orbitals) and bs.reference == 0
    assert np.abs(bs.energies[0] - h.eigenvalues(bs.path)).max() == 0
    some = h.band_structure(npoints=12, n_bands=5, reference=-1.5)
    assert some.reference == -1.5 and some.band_indices.tolist() == list(h.band_window(5))
    assert np.abs(some.energies[0] - bs.energies[0][:, some.band_indices]).max() < 1e-10


def test_json_round_trip():
    bs = graphene_model().band_structure("GMKG", npoints=9)
    back = decode(encode(bs))
    assert (back.energies == bs.energies).all() and back.path.path == "GMKG" and back.reference == bs.reference


def test_fermi_reference_lies_in_the_gap():
    h = graphene_model(onsite=0.7)
    assert h.band_structure("GMKG", npoints=30).reference == pytest.approx(0.7, abs=1e-9)


@pytest.mark.parametrize("gamma, corner", [(120, (1 / 3, 1 / 3, 0)), (60, (2 / 3, 1 / 3, 0))])
def test_strained_cells_keep_their_letters(gamma, corner):
    h = graphene_model(onsite=0.0)
    atoms = h.atoms.copy()
    if gamma == 60:
        atoms.set_cell(np.array([atoms.cell[0], atoms.cell[0] + atoms.cell[1], atoms.cell[2]]))
    # K is where the bands of graphene meet: as far from Gamma as M is not.
    points = special_points(atoms)
    assert points["K"] == pytest.approx(corner)
    lengths = {x: np.linalg.norm(points[x] @ atoms.cell.reciprocal()) for x in "MK"}
    assert lengths["K"] / lengths["M"] == pytest.approx(2 / np.sqrt(3))
    atoms.set_cell(atoms.cell @ np.array([[1.02, 0.01, 0], [0, 0.99, 0], [0, 0, 1]]))
    assert set(special_points(atoms)) == {"G", "M", "K"}
    assert resolve_path(atoms, npoints=20).path == "GMKG" and len(resolve_path(atoms).kpts) == 60


def test_other_cells_get_their_own_letters():
    atoms = graphene_model().atoms
    atoms.set_cell([2.5, 4.3, 20])
    assert set(special_points(atoms)) == {"G", "X", "Y", "S"}
    assert (resolve_path(atoms, "GXSYG", 21).kpts[:, 2] == 0).all()


@pytest.mark.parametrize(
    "path, message",
    [("GXK", "unknown special point X; this cell has G, K, M"), ("", "none given"), (5, "BandPath or letters")],
)
def test_bad_paths_are_named(path, message):
    with pytest.raises(ValueError, match=message):
        graphene_model().band_structure(path)


def test_bad_references_are_named():
    with pytest.raises(ValueError, match="reference is 'Fermi'"):
        graphene_model().band_structure(reference="Fermi")
    with pytest.raises(ValueError, match="must be a finite number"):
        graphene_model().band_structure(reference=np.nan)


def test_a_back_end_that_cannot_count_is_replaced(monkeypatch):
    h = make_supercell(random_model(), (4, 4, 1))
    matrix = h.at_k([0.1, 0.2, 0])
    monkeypatch.setattr(factorisation.SuperLU, "n_below", None)
    pairs = eigensolvers.window_bands(matrix, 100, 106, method="superlu")
    assert pairs.info["method"] == "ldl"
    assert np.abs(pairs.energies - np.linalg.eigvalsh(matrix.toarray())[100:106]).max() < 1e-9
