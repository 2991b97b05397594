"""Vacuum-level offset of a layer by regression, for Hamiltonians whose zero of energy is not the vacuum level.

A periodic code without a dipole correction, or Wannier90 after it, leaves every calculation with a zero of its own.
Blocks learned from such data do not know how the layers of another stack line up. WANDER (Qi, Gong, Yan, npj Comput.
Mater. 2025, doi 10.1038/s41524-025-01668-5, section II.C) adds to the on-site diagonal of every layer

    H_ii -> H_ii + C(eps, x),      eps = sqrt(A / A_0) - 1,      x = N_out / N_in,

C a polynomial fitted to calculations in which the vacuum level is known. A is the area of a formula unit of the layer
in the cell, A_0 that of the layer at rest; N_in and N_out are read as the numbers of atoms in this layer and in all
others. For data with the vacuum level as zero C vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from math import gcd

import numpy as np
from scipy.sparse import diags

from ..records import read_record, write_record

#: Room (share of the fitted range) beyond which a prediction counts as extrapolated.
MARGIN = 0.1


@dataclass(frozen=True)
class VacuumOffset:
    """C(eps, x) in eV, a polynomial of total degree `degree`.

    Attributes
    ----------
    coefficients : dict of (int, int) to float
        Powers of eps and x -> coefficient in eV.
    area : float
        Area (Å^2) of a formula unit of the layer at rest, A_0.
    strains, ratios : (float, float)
        Ranges of eps and x that were fitted.
    rms : float
        Of the residuals of the fit, eV.
    """

    coefficients: dict
    area: float
    strains: tuple = field(default=(-np.inf, np.inf))
    ratios: tuple = field(default=(-np.inf, np.inf))
    rms: float = np.nan

    @classmethod
    def fit(cls, strains, ratios, offsets, area, degree=2):
        """Least squares; of monomials that the data do not tell apart (x never varies, say) the solution of smallest
        norm.

        Parameters
        ----------
        strains, ratios, offsets : array_like (n,)
            eps, x and the offset C (eV) of every layer.
        area : float, Å^2
        degree : int

        Raises
        ------
        ValueError
            Lengths that differ, numbers that are not finite, no data, an area or degree that makes no sense.
        """
        strains, ratios, offsets = (np.atleast_1d(np.asarray(a, float)) for a in (strains, ratios, offsets))
        if not strains.shape == ratios.shape == offsets.shape or strains.ndim != 1 or not len(strains):
            raise ValueError(
                f"strains, ratios and offsets have shapes {strains.shape}, {ratios.shape}, {offsets.shape}; "
                "they must be of one length"
            )
        if not np.isfinite([strains, ratios, offsets]).all():
            bad = int(np.argmin(np.isfinite([strains, ratios, offsets]).all(0)))
            raise ValueError(
                f"layer {bad} of the data: strain {strains[bad]}, ratio {ratios[bad]}, offset {offsets[bad]} are not "
                "all finite"
            )
        if not area > 0 or degree != int(degree) or degree < 0:
            raise ValueError(
                f"area is {area} and degree {degree}; they must be a positive area in Å^2 and 0, 1, 2, ..."
            )
        powers = [(p, q) for p in range(int(degree) + 1) for q in range(int(degree) + 1 - p)]
        table = _monomials(strains, ratios, powers)
        size = np.linalg.norm(table, axis=0)
        size[size == 0] = 1.0
        solution = np.linalg.lstsq(table / size, offsets, rcond=1e-8)[0] / size
        return cls(
            {power: float(c) for power, c in zip(powers, solution)},
            float(area),
            (float(strains.min()), float(strains.max())),
            (float(ratios.min()), float(ratios.max())),
            float(np.sqrt(np.mean((table @ solution - offsets) ** 2))),
        )

    def __call__(self, strain, ratio, extrapolate=False):
        """C in eV at strains and ratios of any one shape; ValueError outside the fitted ranges unless `extrapolate`."""
        strain, ratio = np.broadcast_arrays(np.asarray(strain, float), np.asarray(ratio, float))
        for name, values, (low, high) in (("strain", strain, self.strains), ("N_out/N_in", ratio, self.ratios)):
            room = MARGIN * (high - low) + 1e-9 if np.isfinite(high - low) else 0.0
            if not extrapolate and values.size and (values.min() < low - room or values.max() > high + room):
                worst = values.flat[np.argmax(np.maximum(low - values, values - high))]
                raise ValueError(
                    f"{name} {worst:.4g} lies outside the fitted range {low:.4g} to {high:.4g}; "
                    "extrapolate=True takes the polynomial all the same"
                )
        powers = list(self.coefficients)
        values = _monomials(strain.ravel(), ratio.ravel(), powers) @ [self.coefficients[p] for p in powers]
        return values.reshape(strain.shape)

    def of_layers(self, atoms, layers, extrapolate=False):
        """C (n_layers,) in eV of every layer of a structure; `layers` as of `ase_wander.structure.find_layers`."""
        return self(layer_strains(atoms, layers, self.area), layer_ratios(layers), extrapolate)

    def apply(self, h, layers, extrapolate=False):
        """Copy of a WannierHamiltonian with C added to the on-site diagonal of every layer."""
        return shift_layers(h, layers, self.of_layers(h.require_sites("a vacuum-level offset"), layers, extrapolate))

    # -- files --------------------------------------------------------------------------------------

    def save(self, path):
        """Write as JSON; an existing file is replaced only by a complete one."""
        record = {
            "coefficients_eV": [[p, q, c] for (p, q), c in self.coefficients.items()],
            "area_A2": self.area,
            "strains": self.strains,
            "ratios": self.ratios,
            "rms_eV": self.rms,
        }
        write_record(path, record)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; ValueError naming the file when it is damaged."""
        try:
            record = read_record(path)
            return cls(
                {(int(p), int(q)): float(c) for p, q, c in record["coefficients_eV"]},
                float(record["area_A2"]),
                tuple(map(float, record["strains"])),
                tuple(map(float, record["ratios"])),
                float(record["rms_eV"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a readable vacuum-level offset ({error})") from None


def _monomials(strain, ratio, powers):
    return np.stack([strain**p * ratio**q for p, q in powers], axis=-1)


def layer_strains(atoms, layers, area) -> np.ndarray:
    """eps = sqrt(A / A_0) - 1 of every layer (n_layers,), A its area of a formula unit, A_0 = `area` (Å^2)."""
    layers = np.asarray(layers)
    plane = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
    units = [
        reduce(gcd, np.unique(atoms.numbers[layers == k], return_counts=True)[1].tolist())
        for k in range(layers.max() + 1)
    ]
    return np.sqrt(plane / (np.array(units) * area)) - 1


def layer_ratios(layers) -> np.ndarray:
    """x = N_out / N_in of every layer (n_layers,): atoms of all other layers over those of its own."""
    n = np.bincount(np.asarray(layers))
    return (n.sum() - n) / n


def layer_levels(h, layers) -> np.ndarray:
    """Mean on-site energy (eV) of the orbitals of every layer, (n_layers,): what an offset moves."""
    home = next((b for s, b in zip(h.cell_shifts, h.blocks) if not np.any(s)), None)
    if home is None:
        raise ValueError("the Hamiltonian has no on-site blocks")
    return np.array(
        [home.diagonal().real[np.asarray(layers)[h.orbitals["atom"]] == k].mean() for k in range(np.max(layers) + 1)]
    )


def shift_layers(h, layers, offsets):
    """Copy of a WannierHamiltonian with `offsets` (n_layers,), eV, added to the on-site diagonal of the layers.

    The orbitals are taken as orthonormal; hoppings between layers stay as they are.
    """
    layers, offsets = np.asarray(layers), np.asarray(offsets, float)
    if len(layers) != h.orbitals["atom"].max() + 1 or offsets.shape != (layers.max() + 1,):
        raise ValueError(
            f"{len(layers)} atoms with {layers.max() + 1} layers and {offsets.size} offsets for a Hamiltonian of "
            f"{h.orbitals['atom'].max() + 1} atoms"
        )
    shift = diags(offsets[layers[h.orbitals["atom"]]]).tocsr()
    blocks = [b + shift if not np.any(s) else b for s, b in zip(h.cell_shifts, h.blocks)]
    return h.replace(blocks=blocks)
