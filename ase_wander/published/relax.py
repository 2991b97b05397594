"""Relaxation with forces that have no energy."""

from __future__ import annotations

import time

from ase import units
from ase.optimize.optimize import Optimizer


def forces_only(optimizer):
    """A version of an ASE optimizer class (FIRE, MDMin, ...) that never asks for the energy.

    ASE's optimizers read the energy for their log alone, which a model of direct forces cannot give. Those that take
    energy differences to choose a step (line searches) do not become usable by this.

    Examples
    --------
    >>> forces_only(FIRE)(atoms).run(fmax=0.05)
    """

    class ForcesOnly(optimizer):
        def log(self, gradient):
            if self.logfile is not None:
                if self.nsteps == 0:
                    self.logfile.write(f"{'':{len(optimizer.__name__)}}  {'Step':>4} {'Time':>8} {'fmax':>15}\n")
                fmax = self.optimizable.gradient_norm(gradient)
                self.logfile.write(f"{optimizer.__name__}: {self.nsteps:4d} {time.strftime('%H:%M:%S')} {fmax:15.6f}\n")

    ForcesOnly.__name__ = ForcesOnly.__qualname__ = f"ForcesOnly{optimizer.__name__}"
    return ForcesOnly


class _Descent(Optimizer):
    """x[Å] <- x + step * f[Ry/bohr]."""

    def __init__(self, atoms, step=1.0, **kwargs):
        super().__init__(atoms, **kwargs)
        self.alpha = step * units.Bohr / units.Ry  # Å^2/eV

    def step(self, forces=None):
        forces = self.optimizable.get_gradient() * -1 if forces is None else forces.ravel()
        self.optimizable.set_x(self.optimizable.get_x() + self.alpha * forces)


_Descent.__name__ = "PublishedDescent"

#: The published relaxation as an ASE optimizer: x[Å] <- x + 1.0 f[Ry/bohr] in every step, without an energy.
PublishedDescent = forces_only(_Descent)
