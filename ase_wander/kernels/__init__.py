"""Compiled inner loops of forces and Hamiltonian, for CPUs; whoever finds them missing does the same in torch.

`pip install` builds one library for each level of vector instructions that the compiler knows; the best one that the
machine can run is loaded. They are plain C libraries without Python or torch inside. Arrays go in as addresses: callers
keep them alive, contiguous and of the right type.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

#: Where the libraries lie.
FOLDER = os.path.dirname(os.path.abspath(__file__))

#: Set to "0" this turns the compiled loops off.
SWITCH = "ASE_WANDER_KERNELS"

#: Number that the sources carry as well: a library of another state of the sources is not used.
VERSION = 3

#: Libraries by what a machine can do (as torch names it), the best first.
LEVELS = {"AVX512": ("avx512", "avx2", "base"), "AVX2": ("avx2", "base")}

address = ctypes.c_void_p


class Structure(ctypes.Structure):
    """`Structure` of lanes.h."""

    _fields_ = [("n_atoms", ctypes.c_int64)] + [
        (name, address) for name in ("start", "neighbour", "shift", "position", "cell", "species", "layer")
    ]


class Constants(ctypes.Structure):
    """`Constants` of lanes.h."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("n_species", "n_radial")]
        + [(name, ctypes.c_double) for name in ("cutoff", "tail_cutoff", "tail_radius", "wall")]
        + [(name, address) for name in ("dispersion", "reach", "contact", "charge")]
    )


class Coupling(ctypes.Structure):
    """`Coupling` of products.cpp."""

    _fields_ = [(name, ctypes.c_int64) for name in ("n_outputs", "n_terms")] + [
        (name, address) for name in ("first", "left", "right", "factor", "degree", "place", "paths")
    ]


def load(capability: str):
    """The library for a machine of `capability` (torch.backends.cpu.get_cpu_capability()), None where there is none."""
    return None if os.environ.get(SWITCH) == "0" else _load(FOLDER, capability)


@cache
def _load(folder, capability):
    for level in LEVELS.get(capability, ("base",)):
        try:
            library = ctypes.CDLL(os.path.join(folder, f"{level}.so"))
        except OSError:
            continue
        if library.version() == VERSION:
            return library
    return None


def addresses(arrays):
    """C array of the addresses of tensors or numpy arrays; None gives a null pointer."""
    of = lambda x: None if x is None else x.data_ptr() if hasattr(x, "data_ptr") else x.ctypes.data
    return (address * len(arrays))(*map(of, arrays))
