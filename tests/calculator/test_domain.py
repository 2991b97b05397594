"""Where a model may be believed: wide gaps, strained layers, Hamiltonians that are none; the calculator says so."""

import threading
import warnings

import numpy as np
import pytest

from ase_wander import WanderCalculator
from ase_wander.calculator import DomainWarning
from ase_wander.domain import KAPPA, LIMIT, NonsenseWarning, limited, stray_layers
from ase_wander.electronic.blocks import PairBlocks
from ase_wander.moire import twisted_bilayer, twisted_multilayer


def bilayer(gap=None):
    return twisted_bilayer("MoS2", angle=0.0, stacking="H", gap=gap)


def splitting(calculator, gap):
    """Of the two highest valence bands at Γ (eV), which the coupling of the layers makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        h = calculator.get_wannier_hamiltonian(bilayer(gap))
    energies = h.eigenvalues([[0, 0, 0]])[0]
    return energies[h.n_occupied - 1] - energies[h.n_occupied - 2]


@pytest.mark.filterwarnings("error::ase_wander.domain.DomainWarning")
def test_what_the_data_hold_is_no_news(calculator):
    for gap in (None, 6.6):
        calculator.get_forces(bilayer(gap))
        calculator.get_wannier_hamiltonian(bilayer(gap))
    assert not calculator.get_uncertainty(bilayer())["outside"].any()


def test_coupling_across_a_wide_gap_decays_as_a_wave_in_vacuum(calculator):
    """And joins the model's own where the data end: between 6.8 and 9 Å it decays faster than the model says it does
    from 5.8 to 6.8 Å, where the layers' own waves overlap, and no faster than a wave in vacuum.
    """
    assert np.log(splitting(calculator, 9.5) / splitting(calculator, 11.5)) == pytest.approx(2 * KAPPA, rel=0.05)
    own = np.log(splitting(calculator, 5.8) / splitting(calculator, 6.8))
    between = np.log(splitting(calculator, 6.8) / splitting(calculator, 9.0)) / 2.2
    assert own < between < KAPPA


def test_h_is_continuous_where_the_continuation_begins(calculator):
    values = np.array([splitting(calculator, gap) for gap in np.arange(7.0, 7.61, 0.1)])
    slopes = np.diff(np.log(values)) / 0.1
    assert (slopes < -0.5).all() and (slopes > -1.8).all()


@pytest.mark.parametrize("gap", [8.0, 9.0, 11.0, 20.0])
@pytest.mark.parametrize("ask", ["get_forces", "get_wannier_hamiltonian", "get_fermi_level"])
def test_a_wide_gap_is_named(calculator, gap, ask):
    with pytest.warns(DomainWarning, match="layers 0 and 1 are .* apart"):
        getattr(calculator, ask)(bilayer(gap))
    assert calculator.get_uncertainty(bilayer(gap))["outside"].all()


def test_a_slab_cut_by_the_cell_boundary(calculator):
    """The upper layer moved below the lower one, open along z: no error, no coupling, so a warning that says why."""
    atoms = bilayer()
    atoms.positions[atoms.arrays["layer"] == 1, 2] -= atoms.cell[2, 2]
    with pytest.warns(DomainWarning, match="cut by the cell boundary"):
        calculator.get_potential_energy(atoms)
    atoms.pbc = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WanderCalculator(calculator.model).get_potential_energy(atoms) == pytest.approx(
            calculator.get_potential_energy(bilayer()), abs=1e-9
        )


@pytest.mark.parametrize("strain", [0.09, -0.13])
def test_a_strained_layer_is_named(model, strain):
    atoms = bilayer()
    assert not stray_layers(model, atoms, atoms.arrays["layer"])
    atoms.set_cell(atoms.cell * [[1 + strain], [1 + strain], [1]], scale_atoms=True)
    findings = stray_layers(model, atoms, atoms.arrays["layer"])
    assert [finding.layers for finding in findings] == [(0,), (1,)] and "strained" in findings[0].reason


def test_three_layers_are_outside_the_data_of_two(calculator):
    with pytest.warns(DomainWarning, match="3 layers"):
        calculator.get_potential_energy(twisted_multilayer("MoS2", [0.0, 0.0, 0.0]))


def test_nonsense_is_limited_and_said_to_be(calculator):
    atoms = twisted_bilayer("MoS2", angle=0.0, gap=5.0)
    with pytest.warns(NonsenseWarning, match="mean nothing"):
        h = calculator.get_wannier_hamiltonian(atoms)
    assert np.abs(h.eigenvalues([[0.1, 0.2, 0]])).max() < 100 * LIMIT


def test_limited_blocks_stay_hermitian():
    block = np.random.default_rng(0).normal(size=(3, 5)) * 1e6
    pair = PairBlocks(
        np.array([0, 1]),
        np.array([1, 0]),
        np.zeros((2, 3), int),
        np.concatenate([block.ravel(), block.T.ravel()]),
        np.array([0, 15, 30]),
    )
    out, n = limited(pair)
    assert n == 2 and np.linalg.norm(out.of_pair(0)) == pytest.approx(LIMIT)
    assert np.array_equal(out.of_pair(0).reshape(3, 5), out.of_pair(1).reshape(5, 3).T)
    same, n = limited(PairBlocks(*pair[:3], pair.block * 1e-6, pair.block_ptr))
    assert n == 0 and np.array_equal(same.block, pair.block * 1e-6)


def test_warnings_point_at_the_line_of_the_user(calculator):
    atoms = bilayer(9.0)
    atoms.calc = calculator
    for ask in (atoms.get_forces, lambda: WanderCalculator(calculator.model).get_band_structure(atoms, npoints=2)):
        with pytest.warns(DomainWarning) as record:
            ask()
        assert record[0].filename == __file__


# ---------------------------------------------------------------- one calculator, many questions
def test_the_last_hamiltonian_is_kept(calculator, monkeypatch):
    calls, hamiltonian = [], calculator.model.hamiltonian
    monkeypatch.setattr(
        calculator.model, "hamiltonian", lambda *a, **o: calls.append(1) or hamiltonian(*a, **o), raising=False
    )
    atoms = bilayer()
    calculator.get_band_structure(atoms, npoints=3, n_bands=4)
    calculator.get_dos(kpts=(3, 3))  # of the last structure
    calculator.get_fermi_level()
    assert len(calls) == 1
    atoms.positions[0, 0] += 1e-3
    calculator.get_fermi_level(atoms)
    assert len(calls) == 2


def test_threads_share_a_calculator(calculator):
    """Each gets the energy of its own atoms."""
    structures = [bilayer(gap) for gap in (6.0, 6.2, 6.4, 6.6)]
    expected = [WanderCalculator(calculator.model).get_potential_energy(atoms) for atoms in structures]
    found = {}

    def work(k):
        found[k] = [calculator.get_potential_energy(structures[k]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert found[k] == pytest.approx([expected[k]] * 5, abs=1e-9)


def test_deviation_of_h_grows_with_its_nonsense(calculator):
    """Layers pressed far beyond the data: the largest element exceeds its deviation by less than a thousand times."""
    atoms = twisted_bilayer("MoS2", angle=0.0, stacking="R", gap=5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        h, u = calculator.get_wannier_hamiltonian(atoms), calculator.get_uncertainty(atoms)
    assert max(abs(block.data).max() for block in h.blocks) < 1e3 * u["hamiltonian"].max()
