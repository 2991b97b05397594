"""The authors' published example: the networks of their download, and the offsets of their cell."""

from __future__ import annotations

from . import files
from .model import PublishedModel

#: Vacuum-level offsets C (eV) of the bottom and the top layer of the published example (8.95 degrees, (6,0)/(5,1)).
#: They depend on the strain of each layer: another cell needs its own.
EXAMPLE_OFFSETS = (-0.358183333, 0.364794132)


def load_published(path, *, layer_offsets=EXAMPLE_OFFSETS, rounding=True):
    """The authors' published networks, from their download in its original layout.

    Parameters
    ----------
    path : path-like
        Root of the download: the folder with `force_input`, `force_model` and `hamiltonian_model`. Weights
        are read without running any code that a pickle may hold.
    layer_offsets : (float, float)
        Vacuum-level offset C (eV) of the bottom and the top layer; by default that of the 8.95-degree
        example, which holds for its strains only.
    rounding : bool
        Round as the published files do.

    Returns
    -------
    PublishedModel

    Raises
    ------
    ValueError
        Naming the file that is missing or does not fit.
    """
    networks, template = files.read_download(path)
    return PublishedModel(
        networks,
        template,
        "published-mos2",
        layer_offsets=layer_offsets,
        rounding=rounding,
        provenance="converted from the authors' public example (paper: arXiv:2403.13675), which states no licence: "
        "for your own use, do not redistribute",
    )
