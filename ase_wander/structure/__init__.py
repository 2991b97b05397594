"""Layers, neighbour pairs and heights of a stack of two-dimensional materials."""

from .layers import (
    BOND_SCALE,
    NORMAL_FLOOR,
    NORMAL_REACH,
    BulkCrystalError,
    continues,
    find_layers,
    local_normals,
    normal_of_moment,
)
from .neighbours import MIN_DISTANCE, NeighbourPairs, check_atoms, neighbour_pairs
from .slab import (
    WIDE_GAP,
    doubt_about_the_third_vector,
    empty_height,
    empty_inside,
    in_xy_plane,
    plane_axes,
    plane_normal,
    slab_cell,
    slab_heights,
    standing_cells,
    standing_positions,
    upward,
)

__all__ = [
    "BOND_SCALE",
    "MIN_DISTANCE",
    "NORMAL_FLOOR",
    "NORMAL_REACH",
    "WIDE_GAP",
    "BulkCrystalError",
    "NeighbourPairs",
    "check_atoms",
    "continues",
    "doubt_about_the_third_vector",
    "empty_height",
    "empty_inside",
    "find_layers",
    "in_xy_plane",
    "local_normals",
    "neighbour_pairs",
    "normal_of_moment",
    "plane_axes",
    "plane_normal",
    "slab_cell",
    "slab_heights",
    "standing_cells",
    "standing_positions",
    "upward",
]
