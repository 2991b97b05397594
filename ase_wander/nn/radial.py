"""Smooth cutoffs, radial bases and the short-range repulsion."""

from __future__ import annotations

import torch


def smooth_cutoff(r: torch.Tensor, cutoff: float, start: float = 0.0) -> torch.Tensor:
    """1 below `start`, 0 beyond `cutoff` (Å), a fifth-order smoothstep between: two continuous derivatives."""
    x = ((r - start) / (cutoff - start)).clamp(0.0, 1.0)
    return 1 - x * x * x * (10 - 15 * x + 6 * x * x)


def bessel_basis(r: torch.Tensor, cutoff: float, n_radial: int) -> torch.Tensor:
    """Spherical Bessel functions sin(n pi r / rc) / r times the smooth cutoff, shape (..., n_radial).

    Klicpera et al., arXiv:2003.03123, eq. 7, without its normalisation; sin(n pi x)/(n pi x) is of order one.
    """
    n = torch.arange(1, n_radial + 1, dtype=r.dtype, device=r.device)
    x = (r / cutoff).unsqueeze(-1)
    return torch.sinc(n * x) * n.sqrt() * smooth_cutoff(r, cutoff).unsqueeze(-1)


def gaussian_basis(r: torch.Tensor, cutoff: float, n_radial: int, start: float = 0.0) -> torch.Tensor:
    """`n_radial` Gaussians of equal spacing and width on [start, cutoff], no envelope, shape (..., n_radial)."""
    centres = torch.linspace(start, cutoff, n_radial, dtype=r.dtype, device=r.device)
    width = (cutoff - start) / (n_radial - 1)
    return torch.exp(-0.5 * ((r.unsqueeze(-1) - centres) / width) ** 2)


def zbl_energy(r: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor, cutoff: torch.Tensor) -> torch.Tensor:
    """Ziegler-Biersack-Littmark repulsion (eV) of nuclear charges z1, z2 at distance r (Å), smooth to zero at `cutoff`.

    E = z1 z2 e^2/(4 pi eps0 r) phi(r/a), a = 0.4685 Å/(z1^0.23 + z2^0.23); constants of Ziegler, Biersack and
    Littmark, The Stopping and Range of Ions in Solids (1985).
    """
    x = r * (z1**0.23 + z2**0.23) / 0.46850
    screening = (
        0.18175 * torch.exp(-3.19980 * x)
        + 0.50986 * torch.exp(-0.94229 * x)
        + 0.28022 * torch.exp(-0.40290 * x)
        + 0.02817 * torch.exp(-0.20162 * x)
    )
    u = (r / cutoff).clamp(max=1.0)
    return 14.399645 * z1 * z2 / r * screening * (1 - u * u * u * (10 - 15 * u + 6 * u * u))


def dispersion_basis(r: torch.Tensor, cutoff: float, radius: float = 4.5) -> torch.Tensor:
    """-1/(r^6 + R^6) and -1/(r^8 + R^8), scaled by R^6, R^8, smooth to zero at `cutoff`; shape (..., 2).

    The damped form of D3(BJ), Grimme, Ehrlich, Goerigk, J. Comput. Chem. 32, 1456 (2011), eq. 6, one radius for all.
    """
    x2 = (r / radius) ** 2
    x6 = x2 * x2 * x2
    tail = torch.stack([-1 / (1 + x6), -1 / (1 + x6 * x2)], dim=-1)
    return tail * smooth_cutoff(r, cutoff, 0.75 * cutoff).unsqueeze(-1)
