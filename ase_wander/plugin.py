"""Entries of `ase_wander` in ASE's plug-in registry (entry point group `ase.plugins`, ASE 3.29 and later)."""

from ase._4.plugins.plugin import CalculatorPlugin

from . import ase_format  # noqa: F401 - registers the calculator's name

__ase_plugins__ = {
    CalculatorPlugin(
        name="wander",
        citation="Qi, Gong, Yan, npj Comput. Mater. (2025), doi 10.1038/s41524-025-01668-5",
        implementation="ase_wander.calculator.WanderCalculator",
    )
}
