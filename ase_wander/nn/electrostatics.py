"""Potential of a slab of smeared charges, periodic in the plane only.

phi(r) = k_e/A sum_G sum_j q_j exp(i G.(rho - rho_j)) K_G(z - z_j), for Gaussian charges of total width sigma
(sigma^2 = the sum of both variances); Parry, Surf. Sci. 49, 433 (1975), reciprocal part:

K_G(z) = (pi/G) [exp(Gz) erfc(G sigma/sqrt2 + z/(sqrt2 sigma)) + exp(-Gz) erfc(G sigma/sqrt2 - z/(sqrt2 sigma))],
K_0(z) = -2 pi [z erf(z/(sqrt2 sigma)) + sigma sqrt(2/pi) exp(-z^2/(2 sigma^2))].

The G = 0 term makes the step of the vacuum level, 4 pi k_e mu_z/A. z and z_j meet only on a Chebyshev grid of heights,
so that N charges cost N x (number of G) instead of N^2 x (number of G).
"""

from __future__ import annotations

import math

import numpy as np
import torch

#: e^2/(4 pi eps0) in eV Å.
COULOMB = 14.399645

#: Terms with exp(-G^2 sigma^2/2) below exp(-18) = 1.5e-8 are left out.
REACH = 6.0


def kernel(g: torch.Tensor, z: torch.Tensor, sigma: float) -> torch.Tensor:
    """K_G(z) in Å (times 1/A in Å^-2: see the module) for |G| (g,) in 1/Å and heights z (...,); shape (g, ...).

    exp and erfc are joined through the scaled erfcx where the product would overflow.
    """
    g = g.reshape(-1, *([1] * z.dim()))
    x, y = g * sigma / math.sqrt(2), z.abs() / (math.sqrt(2) * sigma)
    # exp(G|z|) erfc(x + y) = exp(-(x^2 + y^2)) erfcx(x + y), since 2 x y = G |z|
    rising = torch.exp(-(x * x + y * y)) * torch.special.erfcx(x + y)
    u = x - y
    falling = torch.where(u > 0, torch.exp(-(x * x + y * y)) * torch.special.erfcx(u.clamp(min=0)),
                          torch.exp(-2 * x * y) * torch.erfc(u.clamp(max=0)))
    return math.pi / g * (rising + falling)


def uniform_kernel(z: torch.Tensor, sigma: float) -> torch.Tensor:
    """K_0(z)."""
    y = z / (math.sqrt(2) * sigma)
    return -2 * math.pi * (z * torch.erf(y) + sigma * math.sqrt(2 / math.pi) * torch.exp(-y * y))


#: Phase factors held at a time: atoms x reciprocal vectors, 32 MB of each.
PHASES_PER_PART = 4_000_000


class SlabPotential:
    """Linear map from charges to the potential at the same atoms.

    Parameters
    ----------
    positions : tensor (n, 3), Å
    cell : array or tensor (3, 3), Å, of which only the first two vectors count
    sigma : float, Å, total smearing of two charges
    """

    def __init__(self, positions: torch.Tensor, cell, sigma: float):
        device = positions.device
        cell = torch.as_tensor(cell, dtype=torch.float64, device=device)
        normal = torch.linalg.cross(cell[0], cell[1])
        area = normal.square().sum().sqrt()
        self.area = float(area)
        frame = torch.stack([cell[0], cell[1], normal / area])
        coordinates = positions.double() @ torch.linalg.inv(frame)
        in_plane, z = coordinates[:, :2], coordinates[:, 2]
        self.z = z - 0.5 * (z.min() + z.max())
        # a little more than the outermost atom needs: arccos has no derivative at 1
        half = 1.001 * max(float(self.z.abs().max()), sigma)
        n_nodes = 16 + 4 * math.ceil(2 * half / sigma)
        node = torch.cos(math.pi * (torch.arange(n_nodes, dtype=torch.float64, device=device) + 0.5) / n_nodes)
        degree = torch.arange(n_nodes, dtype=torch.float64, device=device)
        vandermonde = torch.cos(torch.arccos(node)[:, None] * degree)
        ratio = (self.z / half).clamp(-1, 1)
        self.to_grid = torch.cos(torch.arccos(ratio)[:, None] * degree) @ torch.linalg.inv(vandermonde)   # (n, nodes)
        separation = half * (node[:, None] - node[None, :])
        index = torch.from_numpy(half_reciprocal_lattice(cell.tolist(), REACH / sigma)[0].astype(float)).to(device)
        self.in_plane, self.index = 2 * math.pi * in_plane, index
        reciprocal = 2 * math.pi * index @ torch.linalg.inv(frame).T[:2]                                  # (g, 3)
        self.kernel = 2 * kernel(reciprocal.square().sum(1).sqrt(), separation, sigma) * COULOMB / area       # (g, nodes, nodes)
        self.uniform = uniform_kernel(separation, sigma) * COULOMB / area

    def __call__(self, charges: torch.Tensor) -> torch.Tensor:
        """Potential (n,) in V of charges (n,) in units of e; sums over -G are in the factor 2 of the kernel."""
        q = charges.double()
        spread = q[:, None] * self.to_grid                                                               # (n, p)
        out = ((self.to_grid @ self.uniform) * spread.sum(0)).sum(1)
        part = max(PHASES_PER_PART // len(q), 1)
        for index, kernels in zip(self.index.split(part), self.kernel.split(part)):
            phase = self.in_plane @ index.T                                                               # (n, g)
            for wave in (torch.cos(phase), torch.sin(phase)):
                source = wave.T @ spread                                                                  # (g, p)
                field = torch.einsum("gpr,gr->gp", kernels, source)
                out = out + ((wave @ field) * self.to_grid).sum(1)
        return out.to(charges.dtype)

    def vacuum_step(self, charges: torch.Tensor) -> torch.Tensor:
        """Potential energy of an electron far above minus far below, eV: -4 pi k_e mu_z/A."""
        return -4 * math.pi * COULOMB / self.area * (charges.double() * self.z).sum()

    def matrix(self) -> torch.Tensor:
        """The map as a matrix (n, n); for small cells."""
        return torch.stack([self(row) for row in torch.eye(len(self.z), dtype=torch.float64)], 1)


def half_reciprocal_lattice(cell, g_max: float):
    """Integer (n_g, 2) and length (n_g,) in 1/Å of one of each pair +-G, 0 < |G| <= g_max, of the plane of `cell`."""
    plane = np.asarray(cell, float)[:2]
    metric = np.linalg.inv(plane @ plane.T)  # of the reciprocal vectors, without 2 pi
    reach = np.ceil(g_max / (2 * math.pi) * np.linalg.norm(plane, axis=1)).astype(int)
    n1, n2 = np.meshgrid(np.arange(0, reach[0] + 1), np.arange(-reach[1], reach[1] + 1), indexing="ij")
    index = np.column_stack([n1.ravel(), n2.ravel()])
    index = index[(index[:, 0] > 0) | (index[:, 1] > 0)]
    length = 2 * math.pi * np.sqrt(np.einsum("ga,ab,gb->g", index, metric, index))
    keep = length <= g_max
    return index[keep], length[keep]
