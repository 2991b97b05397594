"""The real wannier90.x on tight-binding bands whose gauge is known exactly, and on GPAW's states."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ase_wander.data.dft.labels import Labels
from ase_wander.data.dft.recipe import Recipe
from ase_wander.data.wannier.wannier90_files import (
    read_amn,
    read_eig,
    read_matrices,
    read_neighbours,
    read_spreads,
    write_amn,
    write_eig,
)
from ase_wander.data.wannier.wannier90_run import (
    Wannier90Error,
    bands_of_labels,
    equivalent_points,
    localised,
    wannierise,
)
from tests.wannier_toy import ENTANGLED, ISOLATED, SHELLS, A, Toy

needs_program = pytest.mark.skipif(
    shutil.which("wannier90.x") is None, reason="NEEDS wannier90.x: apt-get install wannier90"
)


@needs_program
def test_isolated_manifold_in_its_own_gauge(tmp_path):
    """Projected on its orbitals a tight-binding model is its own Wannier Hamiltonian: no spread, centres on the
    atoms.
    """
    toy = Toy()
    result = wannierise(toy.bands(), toy.overlaps, tmp_path)
    assert result.omega["total"] == pytest.approx(0, abs=1e-8) and result.converged is None
    assert result.centres == pytest.approx(toy.atoms.positions, abs=1e-6)
    for k in toy.rng.random((4, 3)) * [1, 1, 0]:
        assert result.hamiltonian.at_k(k).toarray() == pytest.approx(toy.hamiltonian(k), abs=1e-6)


@needs_program
def test_localisation_finds_the_orbitals_back(tmp_path):
    """From a wrong start (real orbitals mixed by 0.4 rad) the iterations go to zero spread."""
    toy, c, s = Toy(), np.cos(0.4), np.sin(0.4)
    mix = np.array([[c, -s], [s, c]])
    start = wannierise(toy.bands(mix), toy.overlaps, tmp_path / "start")
    done = wannierise(toy.bands(mix), toy.overlaps, tmp_path / "done", num_iter=60)
    assert start.omega["total"] > 0.1 and done.omega["total"] == pytest.approx(0, abs=1e-6)
    assert start.omega["I"] == pytest.approx(done.omega["I"], abs=1e-6)  # gauge invariant
    k = np.array([0.13, 0.41, 0])
    assert np.abs(done.hamiltonian.at_k(k).toarray()) == pytest.approx(np.abs(toy.hamiltonian(k)), abs=1e-4)


@needs_program
@pytest.mark.parametrize("third", [None, 7.0])
def test_projection_in_memory_is_wannier90_without_iterations(tmp_path, third):
    """H(k) of `Labels.hamiltonian` and that of wannier90.x from the same projections; entangled: dis_num_iter = 0."""
    toy, recipe = Toy(third=third), ENTANGLED if third else ISOLATED
    labels = toy.labels()
    _, hk = labels.hamiltonian(recipe)
    window = {"dis_froz_min": -4.0, "dis_froz_max": 3.2} if third else {}
    result = wannierise(bands_of_labels(labels, recipe), None, tmp_path, **window)
    assert result.omega == {}
    reference = np.array([result.hamiltonian.at_k(k).toarray() for k in labels.kpts])
    assert hk == pytest.approx(reference, abs=2e-6)
    if third:  # not trivially so: the frozen window changes H
        _, unfrozen = labels.hamiltonian(replace(recipe, window=(-0.01, 0.01)))
        assert np.abs(unfrozen - hk).max() > 0.01


@needs_program
def test_weights_of_the_disentanglement_pass_through_wannier90(tmp_path):
    """The in-memory gauge, given as projections, is what wannier90.x stays at."""
    toy = Toy(third=7.0)
    labels, recipe = toy.labels(), replace(ENTANGLED, fade={"height": 100.0, "centre": 2.0, "width": 3.0, "gate": 0.1})
    _, hk = labels.hamiltonian(recipe)
    result = wannierise(bands_of_labels(labels, recipe, gauge=True), None, tmp_path)
    assert np.array([result.hamiltonian.at_k(k).toarray() for k in labels.kpts]) == pytest.approx(hk, abs=2e-6)


@needs_program
def test_localised_labels_give_the_hamiltonian_of_wannier90(tmp_path):
    """Disentangled and localised by wannier90.x: frozen bands stay, spread falls, and the new labels repeat its H."""
    toy = Toy(third=7.0)
    labels = toy.labels()
    bands = bands_of_labels(labels, ENTANGLED, gauge=True)
    # overlaps of the very states of the labels: on the half not computed they are complex conjugates
    source, sign = equivalent_points(bands.kpts, labels.kpts)
    full = np.array([np.linalg.eigh(toy.hamiltonian(k))[1] for k in labels.kpts])
    phase = np.einsum("kmn,knm->kn", full[:, :2].conj(), labels.amplitudes)  # the labels' arbitrary phases
    states = full * (phase / np.abs(phase))[:, None, :]
    toy.vectors = {
        tuple(k.tolist()): states[q] if s > 0 else states[q].conj() for k, q, s in zip(bands.kpts, source, sign)
    }
    start = wannierise(bands, toy.overlaps, tmp_path / "start", dis_froz_min=-4.0, dis_froz_max=3.2)
    after, result = localised(labels, ENTANGLED, toy.overlaps, tmp_path / "end", dis_num_iter=200, num_iter=50)
    assert result.omega["total"] < start.omega["total"] - 1e-4
    _, hk = after.hamiltonian(ENTANGLED)
    assert hk == pytest.approx(np.array([result.hamiltonian.at_k(k).toarray() for k in after.kpts]), abs=2e-6)
    inside = (after.eigenvalues > -4.0) & (after.eigenvalues < 3.2)
    for values, kept, h in zip(after.eigenvalues, inside, hk):
        for e in values[kept]:
            assert np.abs(np.linalg.eigvalsh(h) - e).min() < 1e-6


@needs_program
def test_wannier90_says_why_it_stopped(tmp_path):
    with pytest.raises(Wannier90Error, match="num_print_cycles"):
        wannierise(Toy().bands(), None, tmp_path, num_print_cycles="many")
    toy = Toy(third=7.0)
    with pytest.raises(Wannier90Error, match="frozen"):
        wannierise(toy.bands(), None, tmp_path / "b", dis_froz_min=-50.0, dis_froz_max=50.0)


def test_missing_program_and_missing_overlaps(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="need overlaps"):
        wannierise(Toy().bands(), None, tmp_path, num_iter=10)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Wannier90Error, match="wannier90.x: not found on PATH.*apt-get"):
        wannierise(Toy().bands(), None, tmp_path)


def test_files_there_and_back(tmp_path, rng=np.random.default_rng(1)):
    values, a = rng.random((4, 3)), rng.random((4, 3, 2)) + 1j * rng.random((4, 3, 2))
    write_eig(tmp_path / "x.eig", values)
    write_amn(tmp_path / "x.amn", a)
    assert read_eig(tmp_path / "x.eig") == pytest.approx(values, abs=1e-11) and read_amn(
        tmp_path / "x.amn"
    ) == pytest.approx(a, abs=1e-13)


@pytest.mark.parametrize(
    "name, reader, text, message",
    [
        ("x.nnkp", read_neighbours, "begin nnkpts\n 2\n 1 2 0 0\nend nnkpts\n", "x.nnkp:3: expected five integers"),
        (
            "x.nnkp",
            read_neighbours,
            "begin nnkpts\n 2\n 1 2 0 0 0\nend nnkpts\n",
            "1 pairs of k-points, not a multiple of 2",
        ),
        ("x.amn", read_amn, "h\n 1 1 1\n 2 1 1 0 0\n", "index beyond 1 bands"),
        ("x.eig", read_eig, "1 1 0.5\n3 1 0.7\n", "2 energies for 3 bands"),
        ("x_u.mat", read_matrices, "h\n 1 1 1\n\n 0 0 0\n 1 x\n", "_u.mat:5"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, reader, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        reader(tmp_path / name)


def test_run_without_final_state():
    with pytest.raises(ValueError, match="no final state of 2"):
        read_spreads("nothing", 2)


def test_grid_and_bands_must_fit():
    bands = Toy().bands()
    with pytest.raises(ValueError, match=r"grid of \(5, 5, 1\)"):
        replace(bands, mp_grid=(5, 5, 1))
    with pytest.raises(ValueError, match="1 bands cannot hold 2"):
        replace(bands, eigenvalues=bands.eigenvalues[:, :1], projections=bands.projections[:, :1])
    with pytest.raises(ValueError, match=r"\[0.5, 0.1, 0.0\] is not on the grid"):
        equivalent_points([[0.5, 0.1, 0]], [[0.5, 0, 0]])


@pytest.fixture(scope="module")
def graphene():
    """A small GPAW calculation of monolayer graphene and its labels."""
    pytest.importorskip("gpaw", reason="NEEDS gpaw: pip install ase-wander[dft]")
    from ase.build import graphene as build

    from ase_wander.data.dft import gpaw as gpaw_dft

    recipe = Recipe.from_dict(
        {
            "shells": SHELLS,
            "cutoff": 250.0,
            "length": 9.0,
            "dispersion": None,
            "bands": {"C": 6},
            "converged_bands": {"C": 5},
            "window": [-2.5, 2.5],
        }
    )
    atoms = build(a=A, vacuum=4.0)
    atoms.pbc = (True, True, False)
    atoms.positions[1] += atoms.cell[0]  # outside the cell: phases must follow
    calculator = gpaw_dft._calculator(recipe, atoms, None)
    atoms.calc = calculator
    atoms.get_potential_energy()
    kpts, weights, values, amplitudes = gpaw_dft.bloch_states(calculator, atoms, recipe)
    labels = Labels(
        atoms=atoms,
        energy=0.0,
        forces=np.zeros((2, 3)),
        stress=np.zeros(6),
        efermi=calculator.get_fermi_level(),
        kpts=kpts,
        kweights=weights,
        grid=np.array(recipe.grid(atoms)),
        eigenvalues=values,
        amplitudes=amplitudes,
        vacuum_top=0.0,
        vacuum_bottom=0.0,
    )
    return calculator, recipe, labels


@pytest.mark.slow
def test_overlaps_of_gpaw(graphene):
    """<psi|psi> = 1 with the PAW correction; M(k, -b at k + b) = M(k, b)^dagger; M(-k, -b) = M(k, b)*."""
    from ase_wander.data.wannier.overlaps import overlap, paw_corrections, plane_wave_states

    calculator, _, labels = graphene
    corrections, n = paw_corrections(calculator), labels.grid[0]
    reciprocal = 2 * np.pi * calculator.atoms.cell.complete().reciprocal().array
    left, right = (plane_wave_states(calculator, k, 10) for k in ([0, 0, 0], [1 / n, 0, 0]))
    assert overlap(left, left, np.zeros(3), *corrections) == pytest.approx(np.eye(10), abs=1e-12)
    b = np.array([1 / n, 0, 0]) @ reciprocal
    m = overlap(left, right, b, *corrections)
    assert overlap(right, left, -b, *corrections) == pytest.approx(m.conj().T, abs=1e-12)
    assert overlap(left.reversed(), right.reversed(), -b, *corrections) == pytest.approx(m.conj(), abs=1e-12)
    assert np.linalg.svd(m[:4, :4])[1].max() < 1 + 1e-3
    # beside the zone's edge: k + b = k' + g
    edge, start = plane_wave_states(calculator, [(n - 1) / n, 0, 0], 10), left.shifted([1, 0, 0])
    assert np.linalg.svd(overlap(edge, start, b, *corrections)[:4, :4])[1] == pytest.approx(
        np.linalg.svd(m[:4, :4])[1], abs=1e-5
    )


@pytest.mark.slow
@needs_program
def test_entangled_graphene_through_wannier90(graphene, tmp_path):
    """p_z of GPAW's states: dis_num_iter = 0 repeats the projection in memory.

    Iterations lower the spread and keep the window.
    """
    from ase_wander.data.wannier.overlaps import all_overlaps

    calculator, recipe, labels = graphene
    _, hk = labels.hamiltonian(recipe)
    bands = bands_of_labels(labels, recipe)
    n_bands, window = (
        bands.eigenvalues.shape[1],
        {"dis_froz_min": labels.efermi - 2.5, "dis_froz_max": labels.efermi + 2.5},
    )

    def overlaps(kpts, neighbours):
        return all_overlaps(calculator, kpts, neighbours, n_bands)

    start = wannierise(bands, overlaps, tmp_path / "start", **window)
    assert np.array([start.hamiltonian.at_k(k).toarray() for k in labels.kpts]) == pytest.approx(hk, abs=1e-5)
    faded = replace(recipe, fade={"height": 250.0, "centre": 5.0, "width": 6.0, "gate": 0.1})
    smooth = wannierise(bands_of_labels(labels, faded, gauge=True), overlaps, tmp_path / "faded")
    assert smooth.centres == pytest.approx(labels.atoms.positions, abs=0.01)  # three-fold axes through the atoms
    assert smooth.omega["total"] < start.omega["total"]
    _after, result = localised(labels, recipe, overlaps, tmp_path / "end", dis_num_iter=100, num_iter=20)
    assert result.omega["total"] < start.omega["total"]
    inside = np.abs(labels.eigenvalues - labels.efermi) < 2.5
    for k, values, kept in zip(labels.kpts, labels.eigenvalues, inside):
        for e in values[kept]:
            assert np.abs(np.linalg.eigvalsh(result.hamiltonian.at_k(k).toarray()) - e).min() < 1e-5
