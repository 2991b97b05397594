"""Errors on twisted bilayers: what each measure sees, and what it is blind to."""

import numpy as np
import pytest

from ase_wander.electronic.blocks import PairBlocks
from ase_wander.electronic.orbitals import expand_shells
from ase_wander.evaluation.twist import facing_atoms, facing_sum, gamma_lag, twist_errors
from tests.reference_model import Reference

PZ = 1  # p = (y, z, x)


@pytest.fixture
def bilayer(configurations):
    return next(c for c in configurations if c.name.startswith("p1") and c.layers.max() == 1)


class Disturbed(Reference):
    """The data as a model, with `delta` (eV) more on p_z - p_z of facing S closer than `reach` (Å) in the plane."""

    def __init__(self, configuration, delta, reach=3.0):
        super().__init__(configuration, 28.0)
        self.delta, self.reach, self.count = delta, reach, 0

    def compute(self, atoms, layers):
        return {"forces": self.configuration.results["forces"] + 0.003}

    def hamiltonian(self, atoms, layers):
        i, j, shift, block, ptr, n = super().hamiltonian(atoms, layers)
        facing, self.count = facing_atoms(self.configuration), 0
        for p, (a, b) in enumerate(zip(i, j)):
            d = atoms.positions[b] + shift[p] @ atoms.cell.array - atoms.positions[a]
            across = (a in facing[0] and b in facing[1]) or (a in facing[1] and b in facing[0])
            if across and np.hypot(*d[:2]) < self.reach:
                block[ptr[p] + 3 * PZ + PZ] += self.delta
                self.count += a in facing[0]
        return PairBlocks(i, j, shift, block, ptr, n)


def test_facing_atoms_are_the_inner_chalcogens(bilayer):
    z, symbols = bilayer.atoms.positions[:, 2], np.array(list(bilayer.atoms.symbols))
    below, above = facing_atoms(bilayer)
    assert set(symbols[np.r_[below, above]]) == {"S"} and len(below) == len(above) == 1
    metal = np.sort(z[symbols == "Mo"])
    assert metal[0] < z[below[0]] < z[above[0]] < metal[1]


def test_the_data_as_a_model_have_no_errors(bilayer):
    found = twist_errors(Disturbed(bilayer, 0.0), bilayer)
    assert found["elements"] == 0 and found["inter_r2"] == 1 and found["sum"] == 0
    assert found["force"] == pytest.approx(0.003)
    assert abs(found["gap"]) < 0.01 and abs(found["gamma"]) < 0.01  # pairs beyond those of the file


def test_a_common_shift_is_no_lag(bilayer):
    zero, shifted = (gamma_lag(Reference(bilayer, 28.0, e), bilayer) for e in (0.0, 0.2))
    assert shifted == pytest.approx(zero, abs=1e-9)


def test_too_small_a_coupling_lowers_the_sum_and_the_top_state(bilayer):
    """The error of every facing pair adds up in the sum over the lattice; the antibonding top at Γ loses with it."""
    model = Disturbed(bilayer, -0.006)
    found, without = twist_errors(model, bilayer), twist_errors(Disturbed(bilayer, 0.0), bilayer)
    assert model.count >= 1 and found["sum"] == pytest.approx(-0.006 * model.count, abs=1e-9)
    assert abs(found["gamma"] - without["gamma"]) > 1e-3 and found["inter_r2"] < 1


def test_sum_runs_over_the_lattice(bilayer):
    """Of a chain of equal elements it counts the pairs within the radius."""
    data = bilayer.load_blocks()
    arguments = [data[k] for k in ("pair_i", "pair_j", "pair_shift", "block", "block_ptr")]
    shells = Reference.shells
    whole, near = (facing_sum(bilayer, shells, *arguments, r) for r in (12.0, 3.0))
    assert [label for _, _, label in expand_shells(shells["S"])][PZ] == "pz"
    assert whole != near and facing_sum(bilayer, shells, *arguments, 0.5) == 0
    i, j = arguments[:2]
    below, above = facing_atoms(bilayer)
    ones = np.ones(len(arguments[3]))
    count = (np.isin(i, below) & np.isin(j, above) & (data["pair_distance"] < 7.0)).sum()
    assert facing_sum(bilayer, shells, *arguments[:3], ones, arguments[4], 7.0) == count > 10
