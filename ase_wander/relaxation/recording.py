"""Relaxations that are killed and go on in the same bits: the trajectory is the memory.

An optimizer's state (velocities of FIRE, the pairs of L-BFGS, the Hessian of BFGS) is a function of the positions it
chose and the forces it was given. A trajectory holds both in full precision. So a relaxation goes on by starting the
optimizer at the first frame and answering from the frames instead of the model, as long as there are any.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator


class OffTheRecord(Exception):
    """The optimizer asks for other positions than the recorded ones."""


class RecordedCalculator(Calculator):
    """Answers from recorded frames first, in their order, then from a calculator.

    Parameters
    ----------
    calculator : ase calculator
    frames : iterable of ase.Atoms with results
    """

    def __init__(self, calculator, frames=()):
        Calculator.__init__(self)
        self.calculator, self.frames = calculator, deque(frames)
        self.implemented_properties = list(calculator.implemented_properties)
        self.n_calculated = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Results of the next frame (OffTheRecord when it is of other atoms), or of the calculator."""
        self.atoms = atoms.copy()
        if self.frames:
            frame = self.frames[0]
            if not same_bits(frame, atoms):
                raise OffTheRecord
            self.results = dict(self.frames.popleft().calc.results)
            if hasattr(self.calculator, "layers"):  # it follows the layers from structure to structure
                self.calculator.layers(atoms)
            return
        self.n_calculated += 1
        if self.calculator.calculation_required(self.atoms, ["forces"]):
            self.calculator.calculate(self.atoms, properties, system_changes)
        self.results = dict(self.calculator.results)


def same_bits(one, other) -> bool:
    """Whether two structures agree in every bit of positions and cell, and in their species."""
    return (
        len(one) == len(other)
        and np.array_equal(one.numbers, other.numbers)
        and np.array_equal(one.positions, other.positions)
        and np.array_equal(one.cell.array, other.cell.array)
    )


class Recording:
    """A trajectory file that grows by whole frames and is read back up to the first damaged one.

    Parameters
    ----------
    path : str or Path, or None to keep nothing
    """

    def __init__(self, path):
        self.path = None if path is None else Path(path)
        self.frames, self.damaged = ([], False) if path is None else readable_frames(path)
        if self.damaged:
            self._keep()
        self._file = None

    def write(self, atoms):
        """Append a frame with the results of its calculator."""
        if self.path is None:
            return
        from ase.io.trajectory import Trajectory

        if self._file is None:
            self._file = Trajectory(str(self.path), "a")
        self._file.write(frame_of(atoms))

    def close(self):
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _keep(self):
        """The whole frames of a damaged file alone."""
        from ase.io.trajectory import Trajectory

        temporary = self.path.with_name(f".partial-{self.path.name}")
        try:
            with Trajectory(str(temporary), "w") as trajectory:
                for frame in self.frames:
                    trajectory.write(frame)
            if self.frames:
                os.replace(temporary, self.path)
            else:
                self.path.unlink()
        finally:
            temporary.unlink(missing_ok=True)


def frame_of(atoms):
    """A copy without constraints, with the results of the calculator: to read a symmetry means to find it again."""
    frame = atoms.copy()
    frame.set_constraint()
    frame.calc = SinglePointCalculator(frame, **atoms.calc.results)
    return frame


def readable_frames(path) -> tuple[list, bool]:
    """Frames of a trajectory up to the first that is damaged, and whether one is; ([], False) without a file."""
    from ase.io.trajectory import Trajectory

    frames = []
    if not Path(path).is_file():
        return frames, False
    try:
        with Trajectory(str(path)) as trajectory:
            for frame in trajectory:
                frame.get_forces(apply_constraint=False)
                frames.append(frame)
    except Exception:  # the reader of a damaged file fails in many ways
        return frames, True
    return frames, False
