"""Moiré cells: exact twists, coincidence cells, and what can be seen in them."""

from .build import twisted_bilayer
from .coincidence import CoincidenceCell, coincidence_cells
from .commensurate import CommensurateCell, cells_near, commensurate_cells, format_table
from .hetero import heterobilayer
from .materials import equilibrium, known_materials, monolayer
from .multilayer import twisted_multilayer
from .registry import interlayer_distance

__all__ = ["CoincidenceCell", "CommensurateCell", "cells_near", "coincidence_cells", "commensurate_cells", "equilibrium",
           "format_table", "heterobilayer", "interlayer_distance", "known_materials", "monolayer", "twisted_bilayer",
           "twisted_multilayer"]
