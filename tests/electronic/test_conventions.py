"""One crystal in many settings: every property is the same, or turns with the crystal.

The settings are those that files of other codes come in: atoms and orbitals in another order, the first two lattice
vectors exchanged (a left-handed cell), a third vector tilted or turned round, a slab cut by the cell boundary, another
plane than xy, atoms in other cells. The model is a two-centre one of p shells, made anew of every setting's atoms.
"""

import numpy as np
import pytest

from ase_wander.electronic.filling import default_grid
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.io.exports import read_wanniertools, write_wanniertools
from ase_wander.electronic.properties.analysis import density_map, fat_bands
from ase_wander.electronic.properties.optics import optical_conductivity
from ase_wander.electronic.properties.spin import spin_texture
from ase_wander.electronic.properties.topology import berry_curvature, chern_number
from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.properties.velocities import effective_mass, velocities
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.supercell import make_supercell
from ase_wander.electronic.transforms import in_electric_field, layer_of_orbitals, reordered
from ase_wander.structure import find_layers, slab_heights
from tests.electronic_helpers import COUPLING, SETTINGS, bilayer, p_model, setting

ORBITALS = ["as they come", "shuffled"]

#: A general point of the plane, 1/Å.
K = np.array([0.37, 0.61, 0.0])


class Case:
    """The reference crystal and the same one in a setting, with k as fractions of each cell."""

    def __init__(self, name, orbitals, spin=False):
        self.reference = p_model(bilayer())
        atoms, self.turn, self.order = setting(name)
        self.h = p_model(atoms)
        if spin:
            self.reference, self.h = (with_spin_orbit(x, COUPLING) for x in (self.reference, self.h))
        if orbitals == "shuffled":
            self.h = reordered(self.h, np.random.default_rng(1).permutation(self.h.n_orbitals))
        self.k = [self.fractional(x.atoms, q) for x, q in ((self.reference, np.eye(3)), (self.h, self.turn))]

    @staticmethod
    def fractional(atoms, turn, k=K):
        return atoms.cell.array @ (turn @ k) / (2 * np.pi)

    def both(self, function):
        return function(self.reference, self.k[0]), function(self.h, self.k[1])


@pytest.fixture(params=[(s, o) for s in SETTINGS for o in ORBITALS], ids="/".join)
def case(request):
    return Case(*request.param)


@pytest.fixture(params=[(s, o) for s in SETTINGS for o in ORBITALS], ids="/".join)
def spinor_case(request):
    return Case(*request.param, spin=True)


def same(pair, tolerance=1e-8):
    assert np.abs(np.asarray(pair[0]) - np.asarray(pair[1])).max() < tolerance


def test_bands_and_layers(case):
    same(case.both(lambda h, k: h.eigenvalues(k)))
    layers = find_layers(case.reference.atoms)
    assert layers.tolist() == [0, 0, 1, 1]
    assert np.array_equal(find_layers(case.h.atoms), layers[case.order])
    heights = slab_heights(case.reference.atoms)[case.order] - slab_heights(case.h.atoms)
    assert np.ptp(heights) < 1e-9


def test_field_from_the_bottom_to_the_top(case):
    same(case.both(lambda h, k: in_electric_field(h, 0.2).eigenvalues(k)))
    assert np.abs(in_electric_field(case.h, 0.2).eigenvalues(case.k[1]) - case.h.eigenvalues(case.k[1])).max() > 0.1


def test_field_where_centres_are_wrapped_otherwise_than_atoms():
    """Wannier90 folds centres into the home cell: heights are still those of the orbitals' atoms."""
    for name in ("periodic and cut", "periodic, tilted and cut"):
        case = Case(name, "shuffled")
        folded = np.linalg.solve(case.h.atoms.cell.array.T, case.h.centres.T).T % 1.0
        h = case.h.replace(centres=(folded + [0, 0, 3]) @ case.h.atoms.cell.array)
        same(
            (
                in_electric_field(case.reference, 0.2).eigenvalues(case.k[0]),
                in_electric_field(h, 0.2).eigenvalues(case.k[1]),
            )
        )


def test_velocities_and_masses(case):
    one, other = case.both(velocities)
    same((one[1][0] @ case.turn.T, other[1][0]), 1e-6)
    same(case.both(lambda h, k: effective_mass(h, k, 5)[0]), 1e-4)


def test_weights(case):
    one, other = (weights for _, weights in case.both(lambda h, k: fat_bands(h, k)))
    assert set(one) == set(other)
    for name in one:
        same((one[name], other[name]))
    one, other = (weights for _, weights in case.both(lambda h, k: fat_bands(h, k, project="shell")))
    same((one["N p"], other["N p"]))


def test_optical_conductivity(case):
    grid = np.linspace(1, 8, 15)
    trace = [
        sum(optical_conductivity(h, grid, k[None], fermi_level=0.0, width=0.3, axes=(a, a)) for a in range(3))
        for h, k in zip((case.reference, case.h), case.k)
    ]
    same(trace)


def test_density_map(case):
    """The largest density lies on the same atom, and the integral is the norm."""
    for h, k in zip((case.reference, case.h), case.k):
        state = h.eigenstates(k)[1][0][:, 5]
        density = density_map(h, state, (60, 60), width=0.35)[1]
        area = np.linalg.norm(np.cross(*h.atoms.cell.array[:2]))
        assert density.mean() * area == pytest.approx(1, abs=1e-6)
    same(
        case.both(
            lambda h, k: np.sort(density_map(h, h.eigenstates(k)[1][0][:, 5], (60, 60), width=0.7)[1].ravel())[-1]
        ),
        2e-3,
    )


def test_unfolding(case):
    """A perfect supercell unfolds to weights 0 and 1 at the primitive bands, orbitals and atoms in any order."""
    big = make_supercell(case.h, [[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    big = reordered(big, np.random.default_rng(2).permutation(big.n_orbitals))
    energies, weights = unfold(big, case.h.atoms.cell.array, case.k[1])
    assert np.abs(weights - np.rint(weights)).max() < 1e-7
    assert np.abs(energies[weights > 0.5] - case.reference.eigenvalues(case.k[0])[0]).max() < 1e-8


def test_berry_curvature_about_the_upward_normal(spinor_case):
    same(spinor_case.both(lambda h, k: berry_curvature(h, k, range(12))), 1e-5)
    assert abs(berry_curvature(spinor_case.reference, spinor_case.k[0], range(12))[0]) > 0.01
    assert chern_number(spinor_case.h, range(12), (6, 6)) == 0


def test_spins_turn_with_the_crystal(spinor_case):
    (energies, one), (_, other) = spinor_case.both(spin_texture)
    assert np.diff(energies[0]).min() > 1e-4  # no degenerate pair, whose spins would be a choice
    same((one[0] @ spinor_case.turn.T, other[0]), 1e-6)
    assert (np.linalg.norm(one[0], axis=1) <= 1 + 1e-9).all() and np.abs(one).max() > 0.3


def test_layers_of_orbitals(spinor_case):
    layers, atoms = layer_of_orbitals(spinor_case.h), spinor_case.h.orbitals["atom"]
    assert np.array_equal(layers, np.array([0, 0, 1, 1])[spinor_case.order[atoms]])


def test_fermi_level_and_grid_of_a_slab(case):
    """No k-points along the third direction of a slab, also where the cell boundary cuts it."""
    assert default_grid(case.h)[2] == 1
    assert case.h.band_gap() == pytest.approx(case.reference.band_gap(), abs=0.02)


def test_crystals_disperse_along_the_third_vector():
    atoms = bilayer()
    atoms.set_cell([*atoms.cell.array[:2], [0, 0, 6.0]])
    atoms.pbc = True
    assert default_grid(p_model(atoms))[2] == 6


@pytest.mark.parametrize("spin", [False, True])
def test_files_of_wanniertools_do_not_depend_on_the_order_of_orbitals(spin, tmp_path):
    """Its projectors stand atom by atom, spin up before spin down, and its H follows them."""
    h = p_model(bilayer())
    h = with_spin_orbit(h, COUPLING) if spin else h
    texts = []
    for name, order in (("sorted", np.arange(h.n_orbitals)), ("shuffled", None)):
        order = np.random.default_rng(0).permutation(h.n_orbitals) if order is None else order
        (tmp_path / name).mkdir()
        paths = write_wanniertools(reordered(h, order), tmp_path / name)
        shifts, blocks = read_wanniertools(paths[0])
        # inside an atom the order is free, but H and the list of projectors must agree on it
        projectors = [line.split()[1:] for line in paths[1].read_text().splitlines() if line[:2] in ("B ", "N ")][-4:]
        energies = WannierHamiltonian(
            h.atoms, h.orbitals, shifts, blocks, h.n_electrons, spin_degeneracy=h.spin_degeneracy
        ).eigenvalues(K)
        assert energies == pytest.approx(h.eigenvalues(K), abs=1e-8)
        home = blocks[shifts.tolist().index([0, 0, 0])].toarray()
        texts.append((projectors, np.diag(home).real))
        on = np.tile(np.repeat(np.arange(4), 3), 2 if spin else 1)
        assert np.diag(home).real == pytest.approx(np.where(h.atoms.numbers[on] == 5, 1.5, -1.5), abs=1e-9)
    assert [sorted(p) for p in texts[0][0]] == [sorted(p) for p in texts[1][0]]


@pytest.mark.parametrize("spin", [False, True])
def test_files_of_wannier90_keep_the_order_of_orbitals(spin, tmp_path):
    h = p_model(bilayer())
    h = with_spin_orbit(h, COUPLING) if spin else h
    h = reordered(h, np.random.default_rng(7).permutation(h.n_orbitals))
    h.write_wannier90(tmp_path / "seed")
    back = WannierHamiltonian.from_wannier90(tmp_path / "seed")
    for name in ("atom", "l", "m", "spin", "label"):
        assert np.array_equal(back.orbitals[name], h.orbitals[name]), name
    assert back.eigenvalues(K) == pytest.approx(h.eigenvalues(K), abs=1e-8)
    assert np.abs((back.at_k(K) - h.at_k(K)).toarray()).max() < 1e-9


def test_size_threshold_and_progress_of_wannier90_files(tmp_path, monkeypatch):
    h, calls = p_model(bilayer()), []
    h.write_wannier90(tmp_path / "all", progress=lambda done, total: calls.append((done, total)))
    n = len(h.blocks)
    assert calls == [(k, 2 * n) for k in range(1, 2 * n + 1)]
    cut = h.truncate(0.2)
    assert len(cut.blocks) < n
    h.write_wannier90(tmp_path / "cut", threshold=0.2)
    back = WannierHamiltonian.from_wannier90(tmp_path / "cut")
    assert back.eigenvalues(K) == pytest.approx(cut.eigenvalues(K), abs=1e-8)
    monkeypatch.setattr("ase_wander.electronic.io.wannier90.LARGE", 1000)
    with pytest.warns(UserWarning, match=r"_hr.dat and .*_tb.dat take \d+ MB.*threshold="):
        h.write_wannier90(tmp_path / "large")
    with pytest.raises(ValueError, match="_tb.dat would take .*GB"):
        h.write_wannier90(tmp_path / "refused", files=("tb",), max_bytes=1e3)
