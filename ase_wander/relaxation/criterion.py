"""Convergence of a relaxation: forces, the displacement they would make, net forces on layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError

from ..structure import plane_normal
from .springs import Springs


@dataclass(frozen=True)
class Progress:
    """State of a relaxation after a step.

    Attributes
    ----------
    step : int
    energy : float or None
        eV; None for a model without one.
    fmax : float
        Largest force on an atom, eV/Å.
    displacement : float
        Largest displacement (Å) that the forces would make in the spring model: the distance left to the minimum.
    strain : float
        The same of the cell; 0 where the cell is fixed.
    """

    step: int
    energy: float | None
    fmax: float
    displacement: float
    strain: float


@dataclass(frozen=True)
class Relaxation:
    """The end of a relaxation.

    Attributes
    ----------
    converged : bool
    optimizer : str
    steps : int
    energy : float or None
        eV.
    fmax : float
        Largest force on an atom, eV/Å.
    displacement_left : float
        Å, see `Progress`.
    strain_left : float
    distance_left : float
        The same of the distances of the layers' mean heights: the largest change that is left, Å; 0 for one layer.
    layer_forces : list of (float, float, float)
        Net force on each layer over the number of its atoms, eV/Å, lowest layer first.
    stress : list of float or None
        xx, yy, xy of the stack in N/m (stress times the height of the cell).
    changes : list of str
        Layers that were recognised again on the way, in words.
    outside : dict or None
        How far the relaxed structure is from the training data: `atoms` (number of atoms outside), `farthest`
        (largest distance, 1 at the limit), `reasons` (of the three farthest, in words). None for a calculator that
        cannot tell.
    """

    converged: bool
    optimizer: str
    steps: int
    energy: float | None
    fmax: float
    displacement_left: float
    strain_left: float
    layer_forces: list
    distance_left: float = 0.0
    stress: list | None = None
    changes: list = field(default_factory=list)
    outside: dict | None = None

    def todict(self) -> dict:
        """What JSON can hold."""
        return asdict(self)

    def __str__(self):
        width = max(len(name) for name, _ in self.rows())
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.rows())

    def rows(self):
        """Name and value of what matters, in words."""
        net = max((float(np.linalg.norm(f)) for f in self.layer_forces), default=0.0)
        rows = [
            ("relaxation steps", f"{self.steps}" + ("" if self.converged else ", not converged")),
            ("energy", "the model has none" if self.energy is None else f"{self.energy:.4f} eV"),
            (
                "largest force",
                f"{self.fmax:.4f} eV/Å; net force on a layer {1e3 * net:.3f} meV/Å for each of its atoms",
            ),
            ("left to the minimum", f"about {self.displacement_left:.1e} Å" + self._distance() + self._strain()),
            *[("layers", change) for change in self.changes],
        ]
        if self.outside is not None:
            rows.append(("training data", self._outside()))
        return rows

    def _distance(self):
        return f", of the layers' distance {self.distance_left:.1e} Å" if len(self.layer_forces) > 1 else ""

    def _strain(self):
        return f", a strain of {self.strain_left:.1e}" if self.strain_left else ""

    def _outside(self):
        if not self.outside["atoms"]:
            return f"all atoms inside them (the farthest at {self.outside['farthest']:.2f} of the limit)"
        return f"{self.outside['atoms']} atoms outside of them: {'; '.join(self.outside['reasons'])}"


def progress_of(atoms, forces, springs, step) -> Progress:
    """State of a relaxation; `forces` are those of what moves, (n, 3), or (n + 3, 3) with a cell."""
    return Progress(
        step,
        energy_of(atoms),
        float(np.linalg.norm(forces[: springs.n_atoms], axis=1).max()),
        float(np.linalg.norm(springs.displacement(forces)[: springs.n_atoms], axis=1).max()),
        springs.strain(forces),
    )


def report_on(atoms, springs, moving, layers, converged, steps, optimizer, changes) -> Relaxation:
    """The report of a relaxation that has ended; `moving` is the atoms or a filter of their cell."""
    last = progress_of(atoms, moving.get_forces(), springs, steps)
    return Relaxation(
        converged=bool(converged),
        optimizer=optimizer,
        steps=int(steps),
        energy=last.energy,
        fmax=last.fmax,
        displacement_left=last.displacement,
        strain_left=last.strain,
        distance_left=_change_of_distances(atoms, springs.displacement(moving.get_forces()), layers),
        layer_forces=layer_forces(atoms, layers).tolist(),
        stress=plane_stress(atoms),
        changes=list(changes),
        outside=distance_from_data(atoms),
    )


def _change_of_distances(atoms, displacement, layers) -> float:
    """Largest change (Å) of a distance between layers, of their mean heights, that a displacement makes."""
    heights = displacement[: len(atoms)] @ plane_normal(atoms)
    return float(np.abs(np.diff(np.bincount(layers, heights) / np.bincount(layers))).max(initial=0.0))


def what_is_left(atoms, layers) -> np.ndarray:
    """Displacement (n, 3), Å, that the forces would still make in the spring model: the way left to the minimum."""
    return Springs(atoms, layers).displacement(atoms.get_forces())


def energy_of(atoms) -> float | None:
    """Potential energy, eV; None for a model without an energy."""
    return float(atoms.get_potential_energy()) if "energy" in atoms.calc.implemented_properties else None


def layer_forces(atoms, layers) -> np.ndarray:
    """Net force on each layer over the number of its atoms, (n_layers, 3), eV/Å."""
    forces, count = atoms.get_forces(), np.bincount(layers)
    return np.array([np.bincount(layers, forces[:, axis]) for axis in range(3)]).T / count[:, None]


def plane_stress(atoms) -> list | None:
    """xx, yy, xy in N/m; None where the calculator has no stress."""
    if "stress" not in atoms.calc.implemented_properties:
        return None
    try:
        stress = atoms.get_stress()
    except PropertyNotImplementedError:  # a cell without a third vector
        return None
    height = abs(atoms.cell[2] @ plane_normal(atoms))
    return [float(stress[k] * height / (units.J / units.m**2)) for k in (0, 1, 5)]


def distance_from_data(atoms, named=3) -> dict | None:
    """`Relaxation.outside` of the atoms and their calculator."""
    if not hasattr(atoms.calc, "get_uncertainty"):
        return None
    try:
        uncertainty = atoms.calc.get_uncertainty(atoms)
    except PropertyNotImplementedError:
        return None
    outside, distance = np.flatnonzero(uncertainty["outside"]), uncertainty["distance"]
    worst = outside[np.argsort(-distance[outside], kind="stable")][:named]
    return {
        "atoms": len(outside),
        "farthest": float(distance.max(initial=0.0)),
        "reasons": [f"atom {i} ({atoms.symbols[i]}): {uncertainty['reasons'][int(i)]}" for i in worst],
    }
