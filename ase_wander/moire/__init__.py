"""Moiré cells: exact twists, coincidence cells, and what can be seen in them."""

from .build import twisted_bilayer
from .cell_search import cells_near, commensurate_cells, format_table, trade_offs
from .coincidence import CoincidenceCell, coincidence_cells
from .commensurate import CommensurateCell
from .constraint import FixLayerSymmetry
from .hetero import heterobilayer
from .interlayer import interlayer_distance
from .materials import equilibrium, known_materials, monolayer
from .multilayer import twisted_multilayer
from .stacking import Domains, domains, local_registry, moire_vectors
from .strain import StrainField, displacements, strain_field
from .sublattice import layer_lattices
from .symmetry import SymmetryReport, irreducible_kpoints, symmetrised, symmetry

__all__ = [
    "CoincidenceCell",
    "CommensurateCell",
    "Domains",
    "FixLayerSymmetry",
    "StrainField",
    "SymmetryReport",
    "cells_near",
    "coincidence_cells",
    "commensurate_cells",
    "displacements",
    "domains",
    "equilibrium",
    "format_table",
    "heterobilayer",
    "interlayer_distance",
    "irreducible_kpoints",
    "known_materials",
    "layer_lattices",
    "local_registry",
    "moire_vectors",
    "monolayer",
    "strain_field",
    "symmetrised",
    "symmetry",
    "trade_offs",
    "twisted_bilayer",
    "twisted_multilayer",
]
