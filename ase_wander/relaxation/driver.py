"""`relax`: atoms to the minimum of their calculator, layers to their distance."""

from __future__ import annotations

import logging
from numbers import Real

import numpy as np
from ase import Atoms
from ase.constraints import FixCom

from ..structure import find_layers
from .criterion import Relaxation, progress_of, report_on
from .optimizer import OPTIMIZERS, make_optimizer
from .recording import OffTheRecord, RecordedCalculator, Recording
from .springs import Springs

log = logging.getLogger(__name__)

#: Largest force on an atom (eV/Å), displacement left (Å) and strain left that count as relaxed.
FMAX, DMAX, STRAIN_MAX = 0.01, 0.0005, 5e-5

#: Layers are recognised again at the end; more often than this they are in no two states alike.
MOST_RECOGNITIONS = 3


def relax(
    atoms, fmax=FMAX, dmax=DMAX, *, cell=False, optimizer="layers", steps=1000, trajectory=None, callback=None
) -> Relaxation:
    """Relax a stack of layers in place.

    Layers slide and breathe on springs a hundred times softer than bonds: forces below 0.01 eV/Å on every atom can
    leave the layers 0.07 Å from their distance. So the displacement left to the minimum, as a spring model of the
    stack tells it from the forces (`ase_wander.relaxation.springs`), has to be small too; net forces on whole layers
    are part of it.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator, any one of ASE's that has forces. Constraints are kept.
    fmax : float
        Largest force on an atom, eV/Å.
    dmax : float
        Largest displacement of an atom that is left, Å.
    cell : bool
        Also relax the cell in its plane (`ase.filters.FrechetCellFilter`), until the strain left is below 5e-5.
    optimizer : {"layers", "FIRE", "LBFGS", "BFGS"}
        "layers" is L-BFGS that starts from the spring model; the others are ASE's, with the same criterion.
    steps : int
        Give up after so many, beyond those in the trajectory.
    trajectory : str or Path, optional
        Every step. A relaxation that was killed goes on from the file, and ends in the same bits as one that was not.
    callback : callable, optional
        Called with a `Progress` after every step.

    Returns
    -------
    Relaxation
        Whether it converged, what is left, net force on each layer. Print it.

    Raises
    ------
    ValueError
        Without a calculator; for an unknown optimizer; for a trajectory of another start.

    Examples
    --------
    >>> atoms.calc = WanderCalculator("mos2-bilayer")
    >>> print(relax(atoms))
    """
    _check(atoms, fmax, dmax, optimizer, steps, callback)
    calculator = atoms.calc
    own_constraints = atoms.constraints
    if "energy" not in calculator.implemented_properties:
        atoms.set_constraint([*own_constraints, FixCom()])  # direct forces do not sum to zero: the stack would drift
    try:
        with Recording(trajectory) as recording:
            run = _Run(atoms, calculator, recording, fmax, dmax, cell, optimizer, callback)
            converged, changes = run.to_the_end(steps)
    finally:
        atoms.calc = calculator
        atoms.set_constraint(own_constraints)
    return report_on(atoms, run.springs, run.moving(), run.layers, converged, run.n_frames - 1, optimizer, changes)


def _check(atoms, fmax, dmax, optimizer, steps, callback):
    """ValueError for what cannot begin."""
    if not isinstance(atoms, Atoms):
        raise ValueError(f"atoms are {atoms!r}, not an ase.Atoms")
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {callback!r}; it must be a function of a Progress")
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}; known: {', '.join(OPTIMIZERS)}")
    for name, value in (("fmax", fmax), ("dmax", dmax), ("steps", steps)):
        if not isinstance(value, Real) or not value > 0:
            raise ValueError(f"{name} is {value!r}; it must be above 0")


class _Run:
    """One relaxation: atoms, where its frames are kept, what counts as relaxed."""

    def __init__(self, atoms, calculator, recording, fmax, dmax, cell, optimizer, callback):
        self.atoms, self.calculator, self.recording = atoms, calculator, recording
        self.fmax, self.dmax, self.cell, self.optimizer, self.callback = fmax, dmax, cell, optimizer, callback
        self.layers = layers_of(atoms, calculator)
        self.recorded = RecordedCalculator(calculator, recording.frames)
        self.n_frames = 0

    def moving(self):
        """What the optimizer moves: the atoms, or atoms and cell."""
        if not self.cell:
            return self.atoms
        from ase.filters import FrechetCellFilter

        return FrechetCellFilter(self.atoms, mask=[True, True, False, False, False, True])

    def to_the_end(self, steps):
        """Relax, again where layers turn out to be others; returns whether it converged and the changes in words."""
        self.atoms.calc = self.recorded
        changes = []
        while True:
            try:
                converged = self._descend(steps)
            except OffTheRecord:
                self._leave_the_record()
                continue
            if not converged or len(changes) == MOST_RECOGNITIONS:
                return converged, changes
            before, after = self.layers, self._recognise()
            if np.array_equal(before, after):
                return converged, changes
            changes.append(f"recognised anew in the relaxed structure: {after.max() + 1} instead of {before.max() + 1}")
            self.layers = after

    def _leave_the_record(self):
        """Go on, without the optimizer's memory, from the last frame that another version or machine wrote."""
        if self.n_frames == 0:
            raise ValueError(f"{self.recording.path}: the trajectory starts from other atoms; name another file")
        last = self.recording.frames[-1]
        self.atoms.set_cell(last.cell)
        self.atoms.set_positions(last.positions, apply_constraint=False)
        self.recorded.frames.clear()
        self.n_frames = len(self.recording.frames)

    def _recognise(self):
        """Layers of the atoms as they are now; a calculator that had kept others computes again."""
        if not hasattr(self.calculator, "recognise_layers"):
            return find_layers(self.atoms)
        layers = self.calculator.recognise_layers(self.atoms)
        if not np.array_equal(layers, self.layers):
            self.recorded.reset()
        return layers

    def _descend(self, steps):
        """One optimizer from where the atoms are; whether it converged within `steps` beyond the record."""
        moving = self.moving()
        self.springs = Springs(moving, self.layers)
        optimizer = make_optimizer(self.optimizer, moving, self.springs)
        while True:
            forces = moving.get_forces()
            if self.n_frames >= len(self.recording.frames):
                self.recording.write(self.atoms)
            self.n_frames += 1
            progress = progress_of(self.atoms, forces, self.springs, self.n_frames - 1)
            log.info(
                "step %d: largest force %.4f eV/Å, %.4f Å left", progress.step, progress.fmax, progress.displacement
            )
            if self.callback is not None:
                self.callback(progress)
            if progress.fmax <= self.fmax and progress.displacement <= self.dmax and progress.strain <= STRAIN_MAX:
                return True
            if self.recorded.n_calculated - (not self.recording.frames) >= steps:
                return False
            optimizer.step()


def layers_of(atoms, calculator):
    """Layer of every atom (n,): those of a WanderCalculator, else by their bonds."""
    return calculator.layers(atoms) if hasattr(calculator, "layers") else find_layers(atoms)
