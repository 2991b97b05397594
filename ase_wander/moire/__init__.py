"""Moiré cells: exact twists, coincidence cells, and what can be seen in them."""

from .build import twisted_bilayer
from .commensurate import CommensurateCell, cells_near, commensurate_cells, format_table
from .materials import equilibrium, known_materials, monolayer
from .registry import interlayer_distance

__all__ = ["CommensurateCell", "cells_near", "commensurate_cells", "equilibrium", "format_table",
           "interlayer_distance", "known_materials", "monolayer", "twisted_bilayer"]
