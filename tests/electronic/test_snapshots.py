"""Bands from snapshots: the bands of the exact solver within their bounds, with the right indices."""

import numpy as np
import pytest
from ase.dft.kpoints import BandPath

from ase_wander.electronic.properties.unfolding import unfold
from ase_wander.electronic.solvers import kpoints, parallel, snapshots
from ase_wander.electronic.solvers.counting import Counted, count_on, genuine
from ase_wander.electronic.solvers.interpolation import chebyshev_nodes, lagrange, node_count
from ase_wander.electronic.solvers.kpoints import solve_kpoints
from ase_wander.electronic.solvers.lines import representatives, straight_lines
from ase_wander.electronic.solvers.reduced import ReducedLine, Ritz, harmonic_ritz, lehmann
from ase_wander.electronic.supercell import make_supercell
from tests.electronic_helpers import graphene_model, interrupted_at_the_third_point, random_model


@pytest.fixture(scope="module")
def folded():
    """162 orbitals of graphene, whose folded bands cross without seeing each other: the hardest to count."""
    return make_supercell(graphene_model(), (9, 9, 1))


CORNERS = {"G": np.zeros(3), "M": np.array([0.5, 0, 0]), "K": np.array([1 / 3, 1 / 3, 0])}


def band_path(h, path="GMKG", npoints=40):
    """The path in fractional coordinates, whatever the cell."""
    return BandPath(h.atoms.cell, path=path, special_points=CORNERS).interpolate(npoints=npoints)


def on_path(h, path="GMKG", npoints=40):
    return band_path(h, path, npoints).kpts


def solved(data):
    return [k for k, info in enumerate(data.info) if info["method"] != "snapshots"]


@pytest.mark.parametrize("model", ["random", "complex", "graphene"])
def test_bands_are_those_of_the_exact_solver_within_their_bounds(model):
    """Also through graphene's Dirac points and the many-fold levels of folded graphene."""
    h = {
        "random": lambda: make_supercell(random_model(), (3, 2, 1)),
        "complex": lambda: make_supercell(random_model(1, complex_=True), (3, 2, 1)),
        "graphene": lambda: make_supercell(graphene_model(), (9, 9, 1)),
    }[model]()
    kpts = on_path(h, npoints=40 if model == "graphene" else 80)
    exact = h.eigenvalues(kpts, 10)
    data = solve_kpoints(h, kpts, 10, method="snapshots", tolerance=1e-4)
    assert len(solved(data)) < len(kpts)
    assert data.bounds.max() <= 1e-4 and data.bounds[solved(data)].max() == 0
    assert (np.abs(data.energies - exact) <= data.bounds + 1e-9).all()
    assert (data.first == h.band_window(10).start).all()


@pytest.mark.parametrize("n_bands, n_electrons", [(1, 162), (2, 162), (3, 0), (4, 324)])
def test_few_bands_and_windows_at_the_ends_of_the_spectrum(folded, n_bands, n_electrons):
    h = folded.replace(n_electrons=n_electrons)
    kpts = on_path(h)
    data = solve_kpoints(h, kpts, n_bands, method="snapshots")
    assert len(solved(data)) < 0.7 * len(kpts)
    assert (np.abs(data.energies - h.eigenvalues(kpts, n_bands)) <= data.bounds + 1e-9).all()


def test_states_are_eigenstates_in_the_lattice_gauge(folded):
    kpts = on_path(folded, npoints=24)
    data = solve_kpoints(folded, kpts, 6, method="snapshots", vectors=True, tolerance=1e-5)
    for k, energies, states in zip(kpts, data.energies, data.states):
        assert np.abs(states.conj().T @ states - np.eye(6)).max() < 1e-8
        assert np.linalg.norm(folded.at_k(k) @ states - states * energies, axis=0).max() < 0.02


def test_every_point_is_solved_where_the_margins_are_too_thin(folded, monkeypatch):
    """Bands just beyond the window's edge could come and go unseen: hardly an interval is accepted."""
    monkeypatch.setattr(kpoints, "margin", lambda n_bands: 1)
    kpts = on_path(folded, npoints=20)
    data = solve_kpoints(folded, kpts, 6, method="snapshots")
    assert len(solved(data)) >= 0.9 * len(kpts)
    assert np.abs(data.energies - folded.eigenvalues(kpts, 6)).max() < 1e-6


@pytest.mark.parametrize("path, npoints", [("G", 1), ("GM,KG", 30), ("GMGMG", 40), ("KG", 3)])
def test_short_broken_and_repeated_paths(folded, path, npoints):
    kpts = on_path(folded, path, npoints)
    data = solve_kpoints(folded, kpts, 6, method="snapshots")
    assert np.abs(data.energies - folded.eigenvalues(kpts, 6)).max() <= snapshots.TOLERANCE


def test_lines_end_at_corners_and_breaks():
    kpts = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [5, 5, 0], [5, 5, 0], [6, 6, 0]]) / 9
    assert straight_lines(kpts) == [(0, 2), (2, 4), (4, 5), (6, 7)]
    assert representatives(kpts).tolist() == [0, 1, 2, 3, 4, 5, 5, 7]
    assert straight_lines(kpts[:1]) == []


def test_interpolation_keeps_its_bound():
    """e^{ibt} in the number of nodes that the bound asks for."""
    for b in (0.1, 1.0, 3.0):
        n, error = node_count(np.array([b]), np.array([5.0]), 1e-8)
        nodes, t = chebyshev_nodes(n), np.linspace(-1, 1, 101)
        values = np.array([lagrange(nodes, x) @ np.exp(1j * b * nodes) for x in t])
        assert error < 1e-8 and 5 * np.abs(values - np.exp(1j * b * t)).max() <= error + 1e-14
        assert lagrange(nodes, nodes[1]).tolist() == [0, 1] + [0] * (n - 2)


def test_projection_is_that_of_the_matrix_itself(folded):
    start, stop = np.array([0.1, 0, 0]), np.array([0.2, 0.3, 0])
    rng = np.random.default_rng(0)
    line = ReducedLine(folded, start, stop, 0.3)
    for width in (4, 3):
        line.extend(rng.standard_normal((folded.n_orbitals, width)))
    line.extend(line.basis[:, :2])  # nothing new
    v = line.basis
    assert v.shape[1] == 7 and np.abs(v.conj().T @ v - np.eye(7)).max() < 1e-12
    for t in (-1, -0.3, 0.77):
        b, a = line.pencil(t, -0.5)
        g = folded.at_k((start + stop) / 2 + t * (stop - start) / 2, "atomic") @ v + 0.5 * v
        assert np.abs(b - v.conj().T @ g).max() < 1e-8 and np.abs(a - g.conj().T @ g).max() < 1e-7
    step = 1e-3
    difference = (line.pencil(0.2 + step, 0)[0] - line.pencil(0.2 - step, 0)[0]) / (2 * step)
    assert line.speed(0.2, np.eye(7)) == pytest.approx(np.linalg.norm(difference, 2), rel=1e-6)


def ritz_of(matrix, v, sigma):
    g = matrix @ v - sigma * v
    return harmonic_ritz(v.conj().T @ g, g.conj().T @ g, sigma, v.shape[1], v.shape[1])


def test_lehmann_counts_eigenvalues():
    """At least j eigenvalues on either side of rho within the j-th bound, of any trial space."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        matrix = rng.standard_normal((14, 14))
        matrix = matrix + matrix.T
        exact, vectors = np.linalg.eigh(matrix)
        trial, _ = np.linalg.qr(vectors[:, 4:9] + 0.1 * rng.standard_normal((14, 5)))
        rho = rng.normal()
        below, above = lehmann(ritz_of(matrix, trial, 0.1), rho)
        assert len(below) + len(above) == 5
        for j, energy in enumerate(below):
            assert ((exact >= energy - 1e-9) & (exact < rho)).sum() >= j + 1
        for j, energy in enumerate(above):
            assert ((exact <= energy + 1e-9) & (exact > rho)).sum() >= j + 1


def test_a_ritz_value_without_a_band_is_not_taken_for_one():
    """A mixture of far states with an energy in the middle of the window has a large residual, whatever its energy."""
    matrix = np.diag([-5.0, -0.1, 0.0, 0.1, 5.0])
    trial = np.eye(5)[:, 1:4]
    trial = np.column_stack([trial, np.array([1, 0, 0, 0, 1]) / np.sqrt(2)])
    ritz = ritz_of(matrix, trial, 0.03)
    assert len(ritz.energies) == 4
    assert genuine(ritz).energies == pytest.approx([-0.1, 0, 0.1])


def test_indices_follow_bands_across_the_cut():
    """A band that climbs through all others keeps the count right; a band that is lost ends it."""
    n = 9

    def pairs(chosen, energies):
        order = np.argsort(energies)
        return Ritz(np.asarray(energies, float)[order], np.eye(n)[:, chosen][:, order], np.zeros((len(order),) * 2))

    before = Counted(pairs(list(range(8)), [0, 1, 2, 3, 4, 5, 6, 7]), 100)
    # the lowest has become the highest, and the space begins one band later
    after = count_on(before, pairs(list(range(8)), [8, 1, 2, 3, 4, 5, 6, 7]), 102, 106)
    assert after.first == 100
    after = count_on(before, pairs([0, 2, 3, 4, 5, 6, 7, 8], [6.5, 2, 3, 4, 5, 6, 7, 8]), 102, 106)
    assert after.first == 101
    assert count_on(before, pairs([0, 1, 2, 4, 5, 6, 7, 8], [0, 1, 2, 4, 5, 6, 7, 8]), 102, 106) is None


def test_an_interrupted_run_ends_in_the_same_numbers(folded, tmp_path, monkeypatch):
    kpts, path = on_path(folded), tmp_path / "bands.npz"
    options = {"method": "snapshots", "vectors": True}
    calls = interrupted_at_the_third_point(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        solve_kpoints(folded, kpts, 6, restart=path, **options)
    kept = len(np.load(path)["points"])
    assert kept == 3  # one before the tasks, two of them
    again = solve_kpoints(folded, kpts, 6, restart=path, **options)
    calls[:] = [None] * 10
    whole = solve_kpoints(folded, kpts, 6, **options)
    assert (again.energies == whole.energies).all() and (again.states == whole.states).all()
    assert (again.bounds == whole.bounds).all()
    calls[:] = [None] * 10
    assert (solve_kpoints(folded, kpts, 6, restart=path, **options).energies == whole.energies).all()
    assert len(calls) == 10  # nothing left to solve
    with pytest.raises(ValueError, match=r"bands\.npz.*another"):
        folded.eigenvalues(kpts, 6, restart=path)


def test_processes_give_the_same_numbers(folded):
    kpts = on_path(folded)
    serial = solve_kpoints(folded, kpts, 6, method="snapshots")
    several = solve_kpoints(folded, kpts, 6, method="snapshots", n_jobs=2)
    # up to rounding: a worker has one BLAS thread, this process as many as it likes
    assert np.abs(several.energies - serial.energies).max() < 1e-10


def test_band_structures_take_snapshots_where_they_pay(folded, monkeypatch):
    assert not snapshots.worthwhile(folded, on_path(folded), 6)
    monkeypatch.setattr(snapshots, "SMALLEST", 90)
    assert not snapshots.worthwhile(folded, on_path(folded), None)
    assert not snapshots.worthwhile(folded, on_path(folded, npoints=8), 6)
    assert not snapshots.worthwhile(folded, on_path(folded), 100)
    exact = folded.band_structure(band_path(folded, npoints=40), None, 6, method="exact")
    assert exact.error_bound == 0
    fast = folded.band_structure(band_path(folded, npoints=40), None, 6)
    assert 0 < fast.error_bound <= snapshots.TOLERANCE
    assert np.abs(fast.energies - exact.energies).max() <= fast.error_bound + 1e-9
    assert fast.reference == pytest.approx(exact.reference, abs=1e-4)
    assert (fast.band_indices == exact.band_indices).all()


def test_unfolded_weights_are_those_of_the_exact_states(folded, monkeypatch):
    """Also at Dirac points of other valleys; weights of degenerate bands are compared together."""
    cell = graphene_model().atoms.cell.array[:2, :2]
    kpts = np.linspace([0.3, 0.3, 0], [0.36, 0.36, 0], 40)
    monkeypatch.setattr(snapshots, "SMALLEST", 90)
    solved_at = []
    solve = parallel.solve_one
    monkeypatch.setattr(parallel, "solve_one", lambda *args: solved_at.append(args[1]) or solve(*args))
    energies, weights = unfold(folded, cell, kpts, 8)
    assert 0 < len(solved_at) < 20
    exact_energies, exact_weights = unfold(folded, cell, kpts, 8, method="exact")
    assert np.abs(energies - exact_energies).max() < 1e-4
    for e, w, w_exact in zip(exact_energies, weights, exact_weights):
        # The two bands of this k carry the whole weight, whatever crosses them.
        for group in np.split(np.arange(8), np.flatnonzero(np.diff(e) > 1e-4) + 1):
            assert w[group].sum() == pytest.approx(w_exact[group].sum(), abs=2e-2)


def test_what_snapshots_cannot_do_is_named(folded):
    kpts = on_path(folded)
    with pytest.raises(ValueError, match="needs n_bands"):
        solve_kpoints(folded, kpts, method="snapshots")
    with pytest.raises(ValueError, match="no sigma"):
        solve_kpoints(folded, kpts, 4, 0.0, method="snapshots")
    with pytest.raises(ValueError, match="tolerance is -1"):
        solve_kpoints(folded, kpts, 4, method="snapshots", tolerance=-1)
    crooked = random_model()
    blocks = [b.copy() for b in crooked.blocks]
    blocks[0].data[0] += 1
    crooked = crooked.replace(blocks=blocks)
    del crooked.__dict__["is_hermitian"]
    with pytest.raises(ValueError, match="not Hermitian"):
        solve_kpoints(crooked, kpts, 4, method="snapshots")
    assert snapshots.path_method(crooked, kpts, 4) == "auto"
