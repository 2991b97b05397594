"""Entries of `ase_wander` in ASE's plug-in registry (entry point group `ase.plugins`, ASE 3.29 and later)."""

from ase._4.plugins.plugin import CalculatorPlugin
from ase.calculators.calculator import external_calculators


class Wander:
    """Makes a `WanderCalculator`: torch is imported when one is wanted, not when ASE looks at its plug-ins."""

    def __new__(cls, *args, **kwargs):
        from .calculator import WanderCalculator

        return WanderCalculator(*args, **kwargs)


external_calculators.setdefault("wander", Wander)  # `ase run wander`, get_calculator_class("wander")

__ase_plugins__ = {
    CalculatorPlugin(
        name="wander",
        citation="Qi, Gong, Yan, npj Comput. Mater. (2025), doi 10.1038/s41524-025-01668-5",
        implementation="ase_wander.calculator.WanderCalculator",
    )
}
