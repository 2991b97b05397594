"""Berry curvature: the same from plaquettes and from a sum over bands, with the crystal's symmetry and known limits."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ase_wander import WanderCalculator
from ase_wander.electronic.properties.topology import (
    berry_curvature,
    berry_flux,
    chern_number,
    wilson_loops,
)
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.moire import monolayer as monolayer_cell
from tests.electronic_helpers import COUPLING, bilayer, graphene_model, p_model, random_model


def plaquette_area(h, shape):
    """Of reciprocal space, 1/Å^2."""
    return (2 * np.pi) ** 2 / np.linalg.norm(np.cross(*h.atoms.cell.array[:2])) / np.prod(shape)


@pytest.fixture(scope="module")
def monolayer():
    """Monolayer MoS2 at the model's own lattice constant, with spin-orbit coupling."""
    atoms = monolayer_cell("MoS2")
    atoms.pbc = (True, True, False)
    return with_spin_orbit(WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(atoms))


def test_curvature_of_a_monolayer(monolayer):
    """-1.88 Å^2 here, as in WannierBerri, in PythTB and by the sum over bands; the lattice gauge has -7.85."""
    h, shape, group = monolayer, (60, 60), range(monolayer.n_occupied)
    flux = berry_flux(h, group, shape) / plaquette_area(h, shape)
    assert flux[5, 40] == pytest.approx(-1.88, abs=0.01)
    middle = [(5.5 / 60, 40.5 / 60, 0)]
    assert berry_curvature(h, middle, group)[0] == pytest.approx(flux[5, 40], rel=0.01)
    # no net flux with time reversal, and opposite curvatures at k and -k
    assert abs(flux.sum()) * plaquette_area(h, shape) < 1e-9 and chern_number(h, group, (12, 12)) == 0
    assert flux == pytest.approx(-flux[::-1, ::-1], abs=1e-6)


def test_curvature_has_the_threefold_axis(monolayer):
    """Turning k by 120 degrees leaves the curvature: (k1, k2) -> (-k1 - k2, k1) for vectors at 120 degrees."""
    turn = np.array([[-1, 1, 0], [-1, 0, 0], [0, 0, 1]])
    kpts = np.array([[0.11, 0.37, 0], [0.29, 0.31, 0], [0.05, 0.45, 0]])
    group = range(monolayer.n_occupied)
    energies = [monolayer.eigenvalues(k) for k in (kpts, kpts @ turn, kpts @ turn @ turn)]
    assert np.abs(energies[0] - energies[1]).max() < 1e-6  # the turn is one of the crystal
    values = [berry_curvature(monolayer, k, group) for k in (kpts, kpts @ turn, kpts @ turn @ turn)]
    assert values[1] == pytest.approx(values[0], rel=1e-4) and values[2] == pytest.approx(values[0], rel=1e-4)


def test_gapped_graphene():
    """Massive Dirac fermions: curvature v^2 D / (2 (D^2 + v^2 q^2)^{3/2}), of opposite sign in the two valleys."""
    h = graphene_model(onsite=0.0)
    home = h.cell_shifts.tolist().index([0, 0, 0])
    blocks = list(h.blocks)
    gap = 0.2
    blocks[home] = (blocks[home] + csr_matrix(np.diag([gap, -gap]))).tocsr()
    h = h.replace(blocks=blocks)
    v = np.sqrt(3) / 2 * 2.46 * 2.7
    at_k, at_other = berry_curvature(h, [[1 / 3, 1 / 3, 0], [-1 / 3, -1 / 3, 0]], [0])
    assert abs(at_k) == pytest.approx(v**2 / (2 * gap**2), rel=1e-6) and at_other == pytest.approx(-at_k, rel=1e-9)


def test_plaquettes_are_the_mean_curvature_inside():
    h, shape, group = with_spin_orbit(p_model(bilayer()), COUPLING), (48, 48), range(12)
    flux = berry_flux(h, group, shape) / plaquette_area(h, shape)
    corners = np.array([(3, 10), (20, 21), (40, 7)])
    middle = np.column_stack([(corners + 0.5) / 48, np.zeros(3)])
    assert berry_curvature(h, middle, group) == pytest.approx(flux[tuple(corners.T)], rel=0.05, abs=1e-3)


def test_curvature_does_not_know_in_which_cell_an_atom_is_listed():
    h = random_model(complex_=True)
    moved = h.atoms.copy()
    shift = np.array([[2, -1, 0], [0, 0, 0], [0, 3, 0], [-1, 0, 0]])
    moved.positions += shift @ h.atoms.cell.array
    on = h.orbitals["atom"]
    table = {}
    for r, block in zip(h.cell_shifts, h.blocks):
        coo = block.tocoo()
        for i, j, value in zip(coo.row, coo.col, coo.data):
            key = tuple((r - shift[on[j]] + shift[on[i]]).tolist())
            table.setdefault(key, np.zeros(block.shape, complex))[i, j] += value
    other = h.replace(atoms=moved, cell_shifts=np.array(list(table)), blocks=[csr_matrix(b) for b in table.values()])
    k = [[0.21, 0.34, 0]]
    assert berry_curvature(other, k, range(7)) == pytest.approx(berry_curvature(h, k, range(7)), rel=1e-8)
    assert berry_flux(other, range(7), (9, 9)) == pytest.approx(berry_flux(h, range(7), (9, 9)), abs=1e-9)


def test_hybrid_wannier_centres_are_places():
    """Decoupled atoms: each centre is the atom's own fraction of the first vector."""
    h = p_model(bilayer())
    home = h.cell_shifts.tolist().index([0, 0, 0])
    h = h.replace(cell_shifts=[[0, 0, 0]], blocks=[h.blocks[home].multiply(np.eye(12)).tocsr()])
    centres = wilson_loops(h, range(12), n_loops=2, n_points=6)
    assert centres[0] == pytest.approx(np.sort(np.repeat([0, 1 / 3, 0.36, 0.65], 3)), abs=1e-9)


def test_hamiltonians_without_atoms():
    h = random_model(complex_=True)
    bare = h.replace(atoms=None)
    assert chern_number(bare, range(7), (12, 12)) == chern_number(h, range(7), (12, 12))
    for function in (lambda: berry_flux(bare, range(7)), lambda: berry_curvature(bare, [[0.1, 0.2, 0]], range(7))):
        with pytest.raises(ValueError, match="no atoms"):
            function()
    assert wilson_loops(bare, range(7), 3, 6).shape == (3, 7)
    with pytest.raises(ValueError, match="touch another band"):
        berry_curvature(graphene_model(), [[1 / 3, 1 / 3, 0]], [0])
