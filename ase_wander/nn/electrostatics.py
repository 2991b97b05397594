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


def fourier_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """G K_G/pi of x = G sigma/sqrt2 and y = |z|/(sqrt2 sigma), through erfcx where exp and erfc overflow."""
    # exp(G|z|) erfc(x + y) = exp(-(x^2 + y^2)) erfcx(x + y), since 2 x y = G |z|
    gauss = torch.exp(-(x * x + y * y))
    u = x - y
    falling = torch.where(
        u > 0, gauss * torch.special.erfcx(u.clamp(min=0)), torch.exp(-2 * x * y) * torch.erfc(u.clamp(max=0))
    )
    return gauss * torch.special.erfcx(x + y) + falling


def kernel(g: torch.Tensor, z: torch.Tensor, sigma: float) -> torch.Tensor:
    """K_G(z) in Å (times 1/A in Å^-2: see the module) for |G| (g,) in 1/Å and heights z (...,); shape (g, ...)."""
    g = g.reshape(-1, *([1] * z.dim()))
    return math.pi / g * fourier_kernel(g * sigma / math.sqrt(2), z.abs() / (math.sqrt(2) * sigma))


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
    positions : tensor, shape (n, 3)
        Å.
    cell : array_like or tensor, shape (3, 3)
        Å; only the first two vectors count.
    sigma : float
        Total smearing of two charges, Å.
    """

    def __init__(self, positions: torch.Tensor, cell, sigma: float):
        device = positions.device
        cell = torch.as_tensor(cell, dtype=torch.float64, device=device)
        normal = torch.linalg.cross(cell[0], cell[1])
        area = normal.square().sum().sqrt()
        self.area = area
        frame = torch.stack([cell[0], cell[1], normal / area])
        coordinates = positions.double() @ torch.linalg.inv(frame)
        in_plane, z = coordinates[:, :2], coordinates[:, 2]
        self.z = z - 0.5 * (z.min() + z.max())
        # a little more than the outermost atom needs: arccos has no derivative at 1
        half = 1.001 * max(float(self.z.detach().abs().max()), sigma)
        n_nodes = 16 + 4 * math.ceil(2 * half / sigma)
        node = torch.cos(math.pi * (torch.arange(n_nodes, dtype=torch.float64, device=device) + 0.5) / n_nodes)
        degree = torch.arange(n_nodes, dtype=torch.float64, device=device)
        vandermonde = torch.cos(torch.arccos(node)[:, None] * degree)
        ratio = (self.z / half).clamp(-1, 1)
        self.to_grid = torch.cos(torch.arccos(ratio)[:, None] * degree) @ torch.linalg.inv(vandermonde)  # (n, nodes)
        separation = half * (node[:, None] - node[None, :])
        index = torch.from_numpy(half_reciprocal_lattice(cell.tolist(), REACH / sigma)[0].astype(float)).to(device)
        self.in_plane, self.index = 2 * math.pi * in_plane, index
        reciprocal = 2 * math.pi * index @ torch.linalg.inv(frame).T[:2]  # (g, 3)
        self.kernel = (
            2 * kernel(reciprocal.square().sum(1).sqrt(), separation, sigma) * COULOMB / area
        )  # (g, nodes, nodes)
        self.uniform = uniform_kernel(separation, sigma) * COULOMB / area

    def __call__(self, charges: torch.Tensor) -> torch.Tensor:
        """Potential (n,) in V of charges (n,) in units of e; sums over -G are in the factor 2 of the kernel."""
        q = charges.double()
        spread = q[:, None] * self.to_grid  # (n, p)
        out = ((self.to_grid @ self.uniform) * spread.sum(0)).sum(1)
        part = max(PHASES_PER_PART // len(q), 1)
        for index, kernels in zip(self.index.split(part), self.kernel.split(part)):
            phase = self.in_plane @ index.T  # (n, g)
            for wave in (torch.cos(phase), torch.sin(phase)):
                source = wave.T @ spread  # (g, p)
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


def neutralised(charges, graph, within="cell") -> torch.Tensor:
    """Charges (n,) less their mean over every configuration or, with `within` "layer", over every layer of it.

    Neutral layers stay neutral however far apart they are; charges of the whole cell alone may move from one layer to
    another, where layers that differ then make a capacitor of any thickness.
    """
    group = graph.config
    if within == "layer":
        group = group * (int(graph.layer.max()) + 1) + graph.layer
    n_groups = int(group.max()) + 1
    total = torch.zeros(n_groups, dtype=charges.dtype, device=charges.device).index_add(0, group, charges)
    count = torch.bincount(group, minlength=n_groups).clamp(min=1)
    return charges - (total / count)[group]


#: Slabs of up to so many atoms are summed pair by pair, larger ones through `SlabPotential`.
DIRECT = 64


def slab_energies(positions, cells, charges, counts, sigma: float) -> torch.Tensor:
    """Electrostatic energy q_i phi_i/2 of every atom (n,) in eV, self-interaction of the Gaussians included.

    Differentiable, twice too, in positions (n, 3), cells (c, 3, 3) and charges (n,).

    Parameters
    ----------
    positions : tensor, shape (n, 3)
        Å.
    cells : tensor, shape (c, 3, 3)
        Å.
    charges : tensor, shape (n,)
        e.
    counts : list of int
        Atoms of every configuration; they stand one after the other.
    sigma : float
        Total smearing of two charges, Å.
    """
    if max(counts) > DIRECT:
        parts = zip(positions.split(counts), cells, charges.split(counts))
        return torch.cat([0.5 * q * SlabPotential(r, a, sigma)(q) for r, a, q in parts])
    r, q, a = positions.double(), charges.double(), cells.double()
    normal = torch.linalg.cross(a[:, 0], a[:, 1])
    area = normal.square().sum(1).sqrt()
    frame = torch.stack([a[:, 0], a[:, 1], normal / area[:, None]], 1)
    i, j, of_pair, index, of_wave, pair, wave = _terms(cells, counts, sigma)
    move = lambda x: torch.from_numpy(x).to(r.device)
    i, j, of_pair, of_wave, pair, wave = map(move, (i, j, of_pair, of_wave, pair, wave))
    inverse = torch.linalg.inv(frame)
    reciprocal = 2 * math.pi * torch.einsum("gk,gak->ga", move(index).to(r), inverse[of_wave][:, :, :2])  # (g, 3)
    separation = r[i] - r[j]  # (p, 3)
    z = (separation * frame[of_pair, 2]).sum(1)
    length = reciprocal.square().sum(1).sqrt()
    x, y = length[wave] * sigma / math.sqrt(2), z.abs()[pair] / (math.sqrt(2) * sigma)
    phase = (separation[pair] * reciprocal[wave]).sum(1)
    waves = torch.zeros_like(z).index_add(0, pair, torch.cos(phase) * fourier_kernel(x, y) / length[wave])
    potential = (COULOMB / area)[of_pair] * (uniform_kernel(z, sigma) + 2 * math.pi * waves)
    energy = 0.5 * q[i] * q[j] * potential
    other = torch.where(i == j, 0.0, energy)  # the same to both atoms of a pair, once to an atom with its own images
    return torch.zeros_like(q).index_add(0, i, energy).index_add(0, j, other).to(charges)


def _terms(cells, counts, sigma):
    """Pairs i <= j of every configuration and its waves +-G, and every combination of both, as index arrays."""
    i, j, of_pair, index, of_wave, pair, wave = [], [], [], [], [], [], []
    atoms = pairs = waves = 0
    for c, (cell, n) in enumerate(zip(cells.tolist(), counts)):
        a, b = np.triu_indices(n)
        found = half_reciprocal_lattice(cell, REACH / sigma)[0]
        i.append(a + atoms), j.append(b + atoms), of_pair.append(np.full(len(a), c))
        index.append(found), of_wave.append(np.full(len(found), c))
        (
            pair.append(np.repeat(np.arange(len(a)) + pairs, len(found))),
            wave.append(np.tile(np.arange(len(found)) + waves, len(a))),
        )
        atoms, pairs, waves = atoms + n, pairs + len(a), waves + len(found)
    return [np.concatenate(x) for x in (i, j, of_pair, index.copy(), of_wave, pair, wave)]
