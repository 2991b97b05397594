"""Properties of a Hamiltonian: what is refused, and what the message names."""

import numpy as np
import pytest

from ase_wander.electronic.filling import fermi_level, level_at_density
from ase_wander.electronic.kpath import resolve_path, special_points
from ase_wander.electronic.properties.analysis import atomic_map, band_group, density_map, fat_bands, states_between
from ase_wander.electronic.properties.dos import density_of_states, local_density_of_states
from ase_wander.electronic.properties.optics import optical_conductivity
from ase_wander.electronic.properties.topology import berry_curvature, chern_number
from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.properties.velocities import effective_mass, velocities
from ase_wander.electronic.spinorbit import with_spin_orbit
from ase_wander.electronic.supercell import make_supercell
from ase_wander.electronic.transforms import difference, in_electric_field, reordered
from tests.electronic_helpers import bilayer, p_model, random_model, setting

K = [0.1, 0.2, 0]

REFUSED = {
    "weights of another number": (lambda h: density_of_states(h, kpts=[K], weights=[1, 2]), "for 1 k-points"),
    "negative weights": (lambda h: density_of_states(h, kpts=[K, K], weights=[2, -1]), "not negative"),
    "no weight at all": (lambda h: optical_conductivity(h, [1.0], kpts=[K], weights=[0]), "positive"),
    "weights that are none": (lambda h: fermi_level(h, [K], [np.nan]), "finite"),
    "weights without points": (lambda h: density_of_states(h, weights=[1.0]), "weights without kpts"),
    "orbital too high": (lambda h: fat_bands(h, K, project={"x": [99]}), "orbital 99: they are 0 to 11"),
    "orbital below zero": (lambda h: local_density_of_states(h, [-1], np.linspace(-1, 1, 5)), "orbital -1"),
    "orbitals that are none": (lambda h: fat_bands(h, K, project={"x": [0.5]}), "list of integers"),
    "other letters": (lambda h: fat_bands(h, "GX"), "unknown special point X"),
    "a comma too many": (lambda h: velocities(h, "GM,"), "comma"),
    "points of two numbers": (lambda h: velocities(h, [0.1, 0.2]), r"shape \(n_k, 3\)"),
    "no width of a line": (lambda h: optical_conductivity(h, [1.0], kpts=[K], width=0), "width is 0"),
    "a fourth axis": (lambda h: optical_conductivity(h, [1.0], kpts=[K], axes=(0, 3)), "axes are"),
    "half a band": (lambda h: effective_mass(h, K, 2.5), "band is 2.5"),
    "no width of an atom": (lambda h: density_map(h, np.ones(12), width=0.0), "width is 0"),
    "half a supercell": (lambda h: make_supercell(h, (1.5, 1, 1)), "integers"),
    "a flat supercell": (lambda h: make_supercell(h, (2, 2)), "3 or 3 x 3 integers"),
    "bands apart": (lambda h: chern_number(h, [3, 5]), "not next to each other"),
    "no bands": (lambda h: berry_curvature(h, K, []), "at least one"),
    "bands beyond": (lambda h: berry_curvature(h, K, [11, 12]), "there are 12"),
    "another lattice": (lambda h: unfold(h, 3 * np.eye(2), K), "no supercell"),
    "a lattice in another plane": (lambda h: unfold(h, np.eye(3)[1:] * 3, K), "do not lie in the plane"),
    "no constant": (lambda h: with_spin_orbit(h, {"B": {1: np.nan}}), r"of B, l = 1, is nan"),
    "constants without l": (lambda h: with_spin_orbit(h, {"B": 0.1}), "map species to"),
    "constants of no species": (lambda h: with_spin_orbit(h, [0.1]), "map species to"),
    "a field in words": (lambda h: in_electric_field(h, "up"), "field .* is 'up'"),
    "a threshold in words": (lambda h: h.truncate("small"), "threshold .* is 'small'"),
    "no number of carriers": (lambda h: level_at_density(h, np.nan), "carriers .* is nan"),
    "a shift in words": (lambda h: h.eigenvalues(K, 2, sigma="gap"), "sigma .* is 'gap'"),
    "a k-point beyond all digits": (lambda h: h.eigenvalues([1e300, 0, 0]), "kpts must be finite"),
    "a complex k-point": (lambda h: h.eigenvalues([0.1j, 0, 0]), "real numbers"),
    "True bands": (lambda h: h.eigenvalues(K, True), "n_bands is True"),
    "no reference": (lambda h: h.band_structure("GM", 2, reference=None), "reference .* is None"),
    "a width in words": (lambda h: density_of_states(h, kpts=K, width="wide"), "width is 'wide'"),
    "no groups": (lambda h: density_of_states(h, kpts=K, project={}), "empty dict"),
    "no width of a local level": (lambda h: local_density_of_states(h, [0], [0, 1, 2], width=0), "width is 0"),
    "energies the wrong way round": (lambda h: states_between(h, 1, 0), "lower one"),
    "no energy": (lambda h: states_between(h, np.nan, 0), "low .* is nan"),
    "a state of another size": (lambda h: density_map(h, np.ones(5)), "needs 12 rows"),
    "half a grid": (lambda h: density_map(h, np.ones(12), (1.5, 2)), "two positive integers"),
    "no grid": (lambda h: density_map(h, np.ones(12), (0, 0)), "two positive integers"),
    "an atom beyond": (lambda h: density_map(h, np.ones(12), atoms=[99]), "atom 99: they are 0 to"),
    "weights of no number": (lambda h: atomic_map(h.atoms, [np.nan] * len(h.atoms)), "finite number for each"),
    "bands of no group": (lambda h: band_group(np.ones((1, 2)), [0, 1], []), "no bands"),
    "unfolded onto no atom": (lambda h: unfold(h, h.atoms.cell.array, K, atoms=[]), "at least one"),
    "unfolded onto an atom beyond": (lambda h: unfold(h, h.atoms.cell.array, K, atoms=[99]), "atom 99"),
    "a lattice of no area": (lambda h: unfold(h, np.zeros((2, 2)), K), "span no plane"),
    "sites of other atoms": (lambda h: unfold(h, h.atoms.cell.array, K, sublattice=[0]), "sublattice has the shape"),
    "an endless field": (lambda h: in_electric_field(h, np.inf), "finite"),
    "orbitals left out": (lambda h: reordered(h, [0, 0]), "each of the 12 orbitals once"),
    "the difference of two crystals": (lambda h: difference(h, random_model()), "cannot be subtracted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_of_a_property(name):
    function, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        function(p_model(bilayer()))


@pytest.mark.parametrize(
    "function",
    [
        lambda h: velocities(h, K),
        lambda h: effective_mass(h, K, 2),
        lambda h: in_electric_field(h, 0.1),
        lambda h: fat_bands(h, K),
        lambda h: fat_bands(h, "GMK"),
        lambda h: density_of_states(h),
        lambda h: density_map(h, np.ones(12)),
        lambda h: make_supercell(h, (2, 1, 1)),
        lambda h: berry_curvature(h, K, [0]),
        lambda h: unfold(h, np.eye(2), K),
    ],
)
def test_what_needs_atoms_says_so(function):
    with pytest.raises(ValueError, match="this Hamiltonian has no atoms"):
        function(p_model(bilayer()).replace(atoms=None))


def test_a_layer_in_another_plane_needs_its_lattice_in_space():
    h = p_model(setting("another plane")[0])
    with pytest.raises(ValueError, match="three components"):
        unfold(h, bilayer().cell.array[:2, :2], K)


def test_differences_know_orbitals_and_cells():
    """The derivative along a displacement does not depend on the order of the orbitals; a wrapped atom is refused."""
    before = bilayer()
    after = before.copy()
    after.positions[2, 0] += 0.01
    h, moved = p_model(before), p_model(after)
    expected = difference(moved, h, 0.01)
    shuffled = reordered(moved, np.random.default_rng(2).permutation(12))
    found = difference(shuffled, h, 0.01)
    assert np.abs((found.at_k(K) - expected.at_k(K)).toarray()).max() < 1e-9
    after.positions[1] += after.cell.array[0]
    with pytest.raises(ValueError, match="atom 1 moved .* wrapped into another cell"):
        difference(p_model(after), h, 0.01)
    other = h.replace(orbitals=h.orbitals.copy())
    other.orbitals["m"][0] = 5
    with pytest.raises(ValueError, match="different orbitals"):
        difference(other, h)


def test_field_where_no_block_stands_on_the_diagonal():
    """H(R = 0) may be missing, as after a truncation of everything in it."""
    h = p_model(bilayer())
    home = h.cell_shifts.tolist().index([0, 0, 0])
    rest = [r for r in range(len(h.blocks)) if r != home]
    bare = h.replace(cell_shifts=h.cell_shifts[rest], blocks=[h.blocks[r] for r in rest])
    whole = h.replace(blocks=[b * 0 if r == home else b for r, b in enumerate(h.blocks)])
    assert in_electric_field(bare, 0.1).eigenvalues(K) == pytest.approx(in_electric_field(whole, 0.1).eigenvalues(K))


@pytest.mark.parametrize(
    "cell",
    [
        [[3, 0, 0], [0.7, 4, 0]],
        [[0.7, 4, 0], [3, 0, 0]],
        [[4, 0, 0], [0.7, 3, 0]],
        [[3, 0, 0], [-0.7, 4, 0]],
        [[4, 0, 0], [0, 3, 0]],
        [[3, 0, 0], [0, 3, 0]],
        [[0, 3, 0], [3, 0, 0]],
        [[3, 0, 0], [1.5, 2.2, 0]],
        [[3, 0, 0], [1.5, -2.2, 0]],
        [[3, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0]],
        [[3, 0, 0], [1.5, 1.5 * np.sqrt(3), 0]],
    ],
)
@pytest.mark.parametrize("third", [[0, 0, 0], [0, 0, 20], [1.1, 0.4, 20], [0, 0, -20]])
def test_special_points_lie_on_the_zone_boundary(cell, third):
    """All but Gamma are as near to another point of the reciprocal lattice as to the origin's image nearest to them."""
    atoms = bilayer()
    atoms.set_cell([*cell, third])
    reciprocal = np.linalg.inv(np.array(cell)[:, :2]).T
    lattice = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 2), axis=-1).reshape(-1, 2)
    points = special_points(atoms)
    assert len(points) >= 3
    for name, k in points.items():
        distance = np.sort(np.linalg.norm((k[:2] - lattice) @ reciprocal, axis=1))
        assert k[2] == 0 and (distance[1] - distance[0] < 1e-6) == (name != "G"), name
    assert np.abs(resolve_path(atoms, None, 25).kpts[:, 2]).max() == 0
