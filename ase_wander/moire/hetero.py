"""Bilayers of two unequal layers in a coincidence cell."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .build import VACUUM, PlacedLayer, assemble, check_positive, check_shift, check_stacking, resolve_material
from .coincidence import LATTICE_PERIOD, CoincidenceCell, as_monolayer, coincidence_cells, common_cell, stretch
from .lattice import rotation_centre

#: Largest mismatch that is looked at to name the nearest possible cell.
_STRAIN_LIMIT = 0.2


def heterobilayer(
    bottom,
    top,
    cell: CoincidenceCell | None = None,
    *,
    angle: float | None = None,
    tolerance: float = 0.02,
    max_strain: float = 0.01,
    max_atoms: int = 2000,
    isotropic: bool | None = None,
    weight: float = 0.5,
    stacking: str = "R",
    gap: float | None = None,
    vacuum: float = VACUUM,
    centre="hexagon",
    shift=(0.0, 0.0),
) -> Atoms:
    """Common cell of two layers of any lattices.

    Parameters
    ----------
    bottom, top : str or ase.Atoms
        Known names or single layers.
    cell : CoincidenceCell, optional
        One of `coincidence_cells(bottom, top, ...)`; by default the smallest within the bounds that follow.
    angle, tolerance : float, optional
        Wanted twist in degrees; any when no angle is given.
    max_strain, max_atoms, isotropic
        As in `coincidence_cells`.
    weight : float
        Share of the strain that the bottom layer takes: 0 leaves it unstrained, 1 the top layer.
    stacking, vacuum, centre, shift
        As in `twisted_bilayer`; the axis runs through the same kind of point of both layers.
    gap : float, optional
        Distance of the mid-planes, Å; for two known materials the mean of their equilibrium gaps.

    Returns
    -------
    ase.Atoms
        As of `twisted_bilayer`, the cell being the reduced one.  `info` also holds strain (largest principal strain of
        the mismatch), weight, and strain_bottom, strain_top: each layer's strain tensor in the frame of the cell.

    Raises
    ------
    ValueError
        When no cell meets the bounds; the message names the nearest ones.
    """
    bottom_layer, gap_bottom = _layer_and_gap(bottom, gap)
    top_layer, gap_top = _layer_and_gap(top, gap)
    gap = (gap_bottom + gap_top) / 2
    check_positive(gap=gap)
    stacking = check_stacking(stacking)
    if cell is None:
        cell = _search(bottom_layer, top_layer, angle, tolerance, max_strain, max_atoms, isotropic)
    elif angle is not None:
        raise ValueError("give either a cell or an angle")
    _check_cell(bottom_layer, top_layer, cell)
    plane, (m_bottom, m_top), strains = common_cell(bottom_layer, top_layer, cell, weight)
    displacement = check_shift(shift) @ np.linalg.inv(m_bottom)
    if stacking == "H":
        m_top = -m_top
    atoms = assemble(
        [
            PlacedLayer(bottom_layer, m_bottom, rotation_centre(bottom_layer, centre), 0.0, np.zeros(2)),
            PlacedLayer(top_layer, m_top, rotation_centre(top_layer, centre), gap, displacement),
        ],
        plane,
        vacuum,
    )
    assert len(atoms) == cell.n_atoms
    atoms.info.update(
        twist_angle=cell.angle,
        stacking=stacking,
        supercells=[m_bottom.tolist(), m_top.tolist()],
        gap=float(gap),
        shift=[float(x) for x in shift],
        centre=centre if isinstance(centre, str) else [float(x) for x in centre],
        strain=cell.strain,
        weight=float(weight),
        strain_bottom=strains[0].tolist(),
        strain_top=strains[1].tolist(),
    )
    return atoms


def _check_cell(bottom, top, cell):
    """ValueError for a cell that was found for other layers."""
    twist, u = stretch(bottom, top, cell)
    strain = abs(np.linalg.eigvalsh(u) - 1).max()
    if abs(strain - cell.strain) > 1e-6 or abs((twist - cell.angle + 180) % 360 - 180) > 1e-4:
        raise ValueError(
            f"the cell belongs to other layers: between these it means {twist:.4f} deg and a strain of "
            f"{100 * strain:.3f} %, not {cell}"
        )


def _layer_and_gap(material, gap):
    if isinstance(material, (str, Atoms)):
        return resolve_material(material, gap=gap)
    if gap is None:
        raise ValueError("give gap= (mid-plane to mid-plane, Å)")
    return as_monolayer(material), float(gap)


def _search(bottom, top, angle, tolerance, max_strain, max_atoms, isotropic):
    """The smallest cell within the bounds, or an error that names what is near."""
    options = dict(max_atoms=max_atoms, isotropic=isotropic)
    if not tolerance >= 0:
        raise ValueError(f"the angle tolerance must not be negative, got {tolerance}")
    window = None if angle is None else (float(angle) - tolerance, float(angle) + tolerance)
    found = coincidence_cells(bottom, top, angle_range=window, max_strain=max_strain, **options)
    if found:
        return found[0]
    where = "" if angle is None else f" within {tolerance:g} degrees of {angle:g}"
    message = f"no common cell of up to {max_atoms} atoms{where} is strained less than {100 * max_strain:g} %"
    strain = max_strain
    while strain < _STRAIN_LIMIT:
        strain = min(2 * strain, _STRAIN_LIMIT)
        found = coincidence_cells(bottom, top, angle_range=window, max_strain=strain, **options)
        if found:
            message += f"; the least strained is {min(found, key=lambda c: (c.strain, c.n_atoms))}"
            break
    period = np.gcd(int(LATTICE_PERIOD[bottom.kind]), int(LATTICE_PERIOD[top.kind]))
    while window is not None and tolerance < period:
        tolerance = max(4 * tolerance, 0.1)
        found = coincidence_cells(
            bottom, top, angle_range=(angle - tolerance, angle + tolerance), max_strain=max_strain, **options
        )
        if found:
            message += f"; the nearest in angle is {min(found, key=lambda c: (abs(c.angle - angle), c.n_atoms))}"
            break
    raise ValueError(message)
