"""L-BFGS that starts from the spring model of the layers, and the optimizers of ASE, behind one way of taking steps."""

from __future__ import annotations

import numpy as np
from ase.optimize.optimize import Optimizer

from .springs import Springs

#: Names that `make_optimizer` takes.
OPTIMIZERS = ("layers", "FIRE", "LBFGS", "BFGS")


class LayerLBFGS(Optimizer):
    """L-BFGS (Nocedal, Math. Comput. 35, 773 (1980)) whose first inverse Hessian is that of a spring model.

    Parameters
    ----------
    atoms : ase.Atoms or ase filter of a cell
    springs : Springs, optional
        Of the atoms as they are by default; layers by `find_layers`.
    memory : int
        Steps that are remembered.
    maxstep : float
        Longest displacement (Å) of an atom in one step.
    **options
        Those of `ase.optimize.optimize.Optimizer`.

    Examples
    --------
    >>> LayerLBFGS(atoms).run(fmax=0.001)

    Notes
    -----
    The memory is a function of the last positions and forces alone, so that a trajectory holds it. The energy is not
    asked for.
    """

    def __init__(self, atoms, springs=None, memory=30, maxstep=0.15, **options):
        self.springs = Springs(atoms) if springs is None else springs
        self.memory, self.maxstep = memory, maxstep
        Optimizer.__init__(self, atoms, **options)

    def initialize(self):
        """Keep no history."""
        self.pairs, self.last = [], None  # (s, y, 1 / s y), (x, gradient)

    def read(self):
        """ASE's restart files are not used: replay the trajectory instead."""
        raise NotImplementedError("LayerLBFGS takes no restart file; `ase_wander.relax` goes on from a trajectory")

    def step(self, forces=None):
        """Move the atoms once."""
        gradient = -(self.atoms.get_forces() if forces is None else np.asarray(forces, float)).ravel()
        x = self.atoms.get_positions().ravel()
        if self.last is not None:
            s, y = x - self.last[0], gradient - self.last[1]
            if s @ y > 1e-4 * (s @ s):  # eV/Å^2: where the energy curves down, the springs stand alone
                self.pairs = [*self.pairs, (s, y, 1 / (s @ y))][-self.memory :]
        self.last = (x.copy(), gradient.copy())
        direction = -self._inverse_times(gradient)
        longest = np.linalg.norm(direction.reshape(-1, 3)[: self.springs.n_atoms], axis=1).max()
        scale = min(1.0, self.maxstep / max(longest, 1e-300))
        self.atoms.set_positions((x + scale * direction).reshape(-1, 3))

    def _inverse_times(self, gradient):
        """Inverse Hessian times the gradient: the two loops of L-BFGS around the springs."""
        q, factors = gradient.copy(), []
        for s, y, rho in reversed(self.pairs):
            factors.append(rho * (s @ q))
            q -= factors[-1] * y
        q = self.springs.displacement(q.reshape(-1, 3)).ravel()
        for (s, y, rho), a in zip(self.pairs, reversed(factors)):
            q += (a - rho * (y @ q)) * s
        return q


def make_optimizer(name, moving, springs):
    """An optimizer by name, silent.

    Parameters
    ----------
    name : {"layers", "FIRE", "LBFGS", "BFGS"}
    moving : ase.Atoms or ase filter of a cell
    springs : Springs
    """
    if name == "layers":
        return LayerLBFGS(moving, springs, logfile=None)
    import ase.optimize

    return getattr(ase.optimize, name)(moving, logfile=None)
