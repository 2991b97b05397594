"""What ASE loads with `ase.io` (entry point group `ase.ioformats`): a file format, and the calculator's name.

With it `ase run wander` and `get_calculator_class("wander")` find the calculator, and `ase.io.read` and `ase gui` the
atoms in a saved Hamiltonian. Nothing heavy is imported here.
"""

from __future__ import annotations

from ase.calculators.calculator import external_calculators
from ase.utils.plugins import ExternalIOFormat


class Wander:
    """Makes a `WanderCalculator`: torch is imported when one is wanted, not when ASE looks at its plug-ins."""

    nolabel = True  # `ase run` gives no file name to it

    def __new__(cls, *args, **kwargs):
        from .calculator import WanderCalculator

        return WanderCalculator(*args, **kwargs)


external_calculators.setdefault("wander", Wander)

#: Structure of `WannierHamiltonian.save`.
hamiltonian = ExternalIOFormat("atoms of a Wannier Hamiltonian", "1S", "ase_wander.ase_format", glob="hamiltonian*.npz")


def read_wander_hamiltonian(filename, index=-1):
    """Atoms of a saved Hamiltonian; ValueError for one without."""
    from .electronic.hamiltonian import WannierHamiltonian

    return WannierHamiltonian.load(filename).require_atoms(str(filename))
