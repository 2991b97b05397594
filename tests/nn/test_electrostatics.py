"""The slab potential against direct sums and analytic limits."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_wander.model.graphs import build_graph
from ase_wander.nn.electrostatics import COULOMB, DIRECT, SlabPotential, half_reciprocal_lattice, kernel, slab_energies
from ase_wander.nn.forcefield import ForceField, energy_and_gradients

CELL = np.array([[5.0, 0, 0], [-2.0, 6.0, 0], [0, 0, 30.0]])
SIGMA = 1.6


@pytest.fixture
def slab():
    generator = np.random.default_rng(0)
    positions = generator.uniform(0, 1, (7, 3)) @ np.diag([5, 6, 9.0])
    charges = generator.normal(size=7)
    return torch.from_numpy(positions), torch.from_numpy(charges - charges.mean())


def supercell(positions, charges, n):
    shifts = np.array([[a, b, 0] for a in range(n) for b in range(n)]) @ CELL
    moved = (positions[None] + torch.from_numpy(shifts)[:, None]).reshape(-1, 3)
    return moved, charges.repeat(n * n), CELL * np.array([[n], [n], [1]])


def test_far_from_the_plane_a_wave_decays_as_exp_minus_gz():
    """K_G(z) -> (2 pi/G) exp(-G |z|) beyond the smearing."""
    g, z = torch.tensor([0.4, 1.1], dtype=torch.float64), torch.tensor([14.0, -20.0], dtype=torch.float64)
    expected = 2 * math.pi / g[:, None] * torch.exp(-g[:, None] * z.abs())
    assert torch.allclose(kernel(g, z, SIGMA), expected, rtol=1e-10)


def test_kernel_solves_poissons_equation():
    """(d^2/dz^2 - G^2) K_G = -4 pi times the Gaussian of width sigma, damped by exp(-G^2 sigma^2/2) in the plane."""
    g, h = torch.tensor([0.7], dtype=torch.float64), 1e-3
    for z in (0.0, 0.5, 3.0):
        points = torch.tensor([z - h, z, z + h], dtype=torch.float64)
        k = kernel(g, points, SIGMA)[0]
        second = (k[0] - 2 * k[1] + k[2]) / h**2
        density = (
            math.exp(-z * z / (2 * SIGMA**2)) / math.sqrt(2 * math.pi) / SIGMA * math.exp(-((0.7 * SIGMA) ** 2) / 2)
        )
        assert float(second - 0.49 * k[1]) == pytest.approx(-4 * math.pi * density, abs=1e-5)


def test_grid_of_heights_is_exact(slab):
    positions, charges = slab
    potential = SlabPotential(positions, CELL, SIGMA)
    index, length = half_reciprocal_lattice(CELL, 6 / SIGMA)
    dz = positions[:, 2][:, None] - positions[:, 2][None]
    reciprocal = 2 * math.pi * np.linalg.inv(CELL).T
    total = torch.zeros(7, 7, dtype=torch.float64)
    for (a, b), g in zip(index, length):
        wave = torch.from_numpy(a * reciprocal[0] + b * reciprocal[1])
        assert float(wave.norm()) == pytest.approx(g)
        phase = (positions @ wave)[:, None] - (positions @ wave)[None]
        total += 2 * torch.cos(phase) * kernel(torch.tensor([g]), dz, SIGMA)[0]
    from ase_wander.nn.electrostatics import uniform_kernel

    total = (total + uniform_kernel(dz, SIGMA)) * COULOMB / float(potential.area)
    assert torch.allclose(potential(charges), total @ charges, atol=1e-7)
    assert torch.allclose(potential.matrix(), potential.matrix().T, atol=1e-7)


def test_supercell_sees_the_same_potential(slab):
    positions, charges = slab
    small = SlabPotential(positions, CELL, SIGMA)(charges)
    moved, repeated, cell = supercell(positions, charges, 3)
    assert torch.allclose(SlabPotential(moved, cell, SIGMA)(repeated).reshape(9, 7), small.expand(9, 7), atol=1e-8)


def test_two_sheets_are_a_plate_capacitor():
    """Uniform sheets +-q/A at distance d: step of 4 pi k_e q d/A across, and no field outside."""
    positions = torch.tensor([[0, 0, 0.0], [0, 0, 20.0]], dtype=torch.float64)
    charges = torch.tensor([0.01, -0.01], dtype=torch.float64)
    potential = SlabPotential(positions, CELL, SIGMA)
    expected = 4 * math.pi * COULOMB * 0.01 * 20 / float(potential.area)
    assert float(potential.vacuum_step(charges)) == pytest.approx(expected)
    phi = potential(charges)
    assert float(phi[0] - phi[1]) == pytest.approx(
        expected
        - 2 * 0.01 * 2 * math.pi * COULOMB / float(potential.area) * SIGMA * math.sqrt(2 / math.pi)
        + 0.02 * float(self_energy(potential)),
        abs=1e-6,
    )


def self_energy(potential):
    """Potential of a unit charge at its own place from the waves G != 0 alone."""
    zero = potential.to_grid[0]
    return torch.einsum("p,gpr,r->", zero, potential.kernel, zero)


def test_neighbouring_charges_meet_coulombs_law():
    """A dipole far from its images: erf(r/(sqrt2 sigma)) k_e q/r of the other charge plus its own sqrt(2/pi) k_e
    q/sigma.
    """
    positions = torch.tensor([[0, 0, 0.0], [3, 4, 0.0]], dtype=torch.float64)
    potential = SlabPotential(positions, np.diag([48.0, 48.0, 1.0]), 2.0)
    phi = potential(torch.tensor([1.0, -1.0], dtype=torch.float64))
    r = 5.0
    expected = COULOMB * (math.sqrt(2 / math.pi) / 2.0 - math.erf(r / (math.sqrt(2) * 2.0)) / r)
    assert float(phi[0] - phi[1]) == pytest.approx(2 * expected, rel=1e-2)


def test_energy_of_pairs_is_that_of_the_potential(slab):
    """E_i = q_i phi_i / 2, two slabs in one batch."""
    positions, charges = slab
    cell = torch.from_numpy(CELL)
    shifted = positions + torch.tensor([0.3, 0.2, 1.0])
    n = len(positions)
    both = slab_energies(
        torch.cat([positions, shifted * 1.1]),
        torch.stack([cell, cell * 1.1]),
        torch.cat([charges, charges]),
        [n, n],
        1.5,
    )
    for part, r, a in ((both[:n], positions, cell), (both[n:], shifted * 1.1, cell * 1.1)):
        torch.testing.assert_close(part, 0.5 * charges * SlabPotential(r, a, 1.5)(charges), rtol=0, atol=1e-12)


@pytest.mark.parametrize("repeat", [(1, 1), (4, 3)])
def test_forces_and_virial_of_an_energy_with_charges(repeat):
    """Against finite differences, summed over pairs (small cell) and through the grid of heights (more than DIRECT
    atoms).
    """
    torch.manual_seed(0)
    force_field = ForceField(
        [42, 16], n_radial=3, n_channels=3, n_raer=4, hidden=6, cutoff=4.0, tail_cutoff=5.0, smearing=1.5
    ).double()
    cell = np.array([[3.2, 0, 0], [-1.5, 2.8, 0], [0, 0, 20]])
    atoms = Atoms(
        "MoS2MoS2",
        [[0, 0, 6.5], [1.6, 0.9, 8], [1.6, 0.9, 5], [0.1, 0.2, 12.7], [1.6, 1.0, 14.2], [1.7, 0.9, 11.2]],
        cell=cell,
        pbc=(1, 1, 0),
    ).repeat((*repeat, 1))
    atoms.rattle(0.05, seed=1)
    assert (len(atoms) > DIRECT) == (repeat != (1, 1))
    layers = np.array([0, 0, 0, 1, 1, 1] * (repeat[0] * repeat[1]))

    def evaluate(strain=np.zeros((3, 3)), moved=(0, 0, 0.0)):
        work = atoms.copy()
        work.positions[moved[0], moved[1]] += moved[2]
        work.set_cell(work.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        energies, forces, virial, _ = energy_and_gradients(
            force_field, build_graph(work, layers, ("Mo", "S"), 4.0, 5.0)
        )
        return energies.sum().item(), forces.detach().numpy(), virial.detach().numpy()[0]

    _, forces, virial = evaluate()
    h = 1e-4
    for atom, axis in ((0, 0), (4, 2)):
        slope = (evaluate(moved=(atom, axis, h))[0] - evaluate(moved=(atom, axis, -h))[0]) / (2 * h)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)
    for a, b in ((0, 0), (0, 1), (1, 1), (2, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] = strain[b, a] = h if a == b else h / 2
        slope = (evaluate(strain)[0] - evaluate(-strain)[0]) / (2 * h)
        assert virial[a, b] == pytest.approx(slope, abs=1e-5)
    assert np.abs(forces.sum(0)).max() < 1e-10
