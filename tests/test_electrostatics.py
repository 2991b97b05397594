"""The slab potential against direct sums and analytic limits."""

import math

import numpy as np
import pytest
import torch

from ase_wander.nn.electrostatics import COULOMB, SlabPotential, half_reciprocal_lattice, kernel

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
        second = (k[0] - 2 * k[1] + k[2]) / h ** 2
        density = math.exp(-z * z / (2 * SIGMA ** 2)) / math.sqrt(2 * math.pi) / SIGMA * math.exp(-(0.7 * SIGMA) ** 2 / 2)
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
    total = (total + uniform_kernel(dz, SIGMA)) * COULOMB / potential.area
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
    expected = 4 * math.pi * COULOMB * 0.01 * 20 / potential.area
    assert float(potential.vacuum_step(charges)) == pytest.approx(expected)
    phi = potential(charges)
    assert float(phi[0] - phi[1]) == pytest.approx(expected - 2 * 0.01 * 2 * math.pi * COULOMB / potential.area
                                                   * SIGMA * math.sqrt(2 / math.pi)
                                                   + 0.02 * float(self_energy(potential)), abs=1e-6)


def self_energy(potential):
    """Potential of a unit charge at its own place from the waves G != 0 alone."""
    zero = potential.to_grid[0]
    return torch.einsum("p,gpr,r->", zero, potential.kernel, zero)


def test_neighbouring_charges_meet_coulombs_law():
    """A dipole far from its images: erf(r/(sqrt2 sigma)) k_e q/r of the other charge plus its own sqrt(2/pi) k_e q/sigma."""
    positions = torch.tensor([[0, 0, 0.0], [3, 4, 0.0]], dtype=torch.float64)
    potential = SlabPotential(positions, np.diag([48.0, 48.0, 1.0]), 2.0)
    phi = potential(torch.tensor([1.0, -1.0], dtype=torch.float64))
    r = 5.0
    expected = COULOMB * (math.sqrt(2 / math.pi) / 2.0 - math.erf(r / (math.sqrt(2) * 2.0)) / r)
    assert float(phi[0] - phi[1]) == pytest.approx(2 * expected, rel=1e-2)
