"""A list of neighbours that outlives the step it was made at."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..nn.rows import Rows
from ..structure import slab_cell

#: Å beyond the cutoff: a list made with it serves until two atoms may have come closer by so much.
SKIN = 0.4


class SkinList:
    """Rows of neighbours within cutoff + SKIN of one structure, good for those it turns into.

    Attributes
    ----------
    rows : Rows
    """

    def __init__(self, library, atoms: Atoms, cutoff: float, skin: float = SKIN):
        import vesin

        self.cutoff, self.skin = cutoff, skin
        self.positions, self.cell, self.pbc = atoms.positions.copy(), slab_cell(atoms), np.array(atoms.pbc)
        finder = vesin.NeighborList(cutoff=float(cutoff + skin), full_list=False, sorted=False)
        i, j, shift = finder.compute(points=self.positions, box=self.cell, periodic=self.pbc, quantities="ijS")
        self.rows = Rows(library, i, j, shift, len(atoms))

    def serves(self, atoms: Atoms, cutoff: float) -> bool:
        """Whether every pair of `atoms` within `cutoff` is in the list.

        With cells A and A', the old positions follow the strain F = A^-1 A' and are then moved by u. A pair that was
        farther apart than cutoff + skin is now farther than s (cutoff + skin) - 2 max|u|, s the smallest singular value
        of F; as long as that is no less than the cutoff none is missing. An atom that was wrapped into
        another cell has moved far, and the list is made again.
        """
        if cutoff != self.cutoff or len(atoms) != len(self.positions) or not np.array_equal(atoms.pbc, self.pbc):
            return False
        cell = slab_cell(atoms)
        strain = np.linalg.solve(self.cell, cell)
        moved = atoms.positions - self.positions @ strain
        farthest = np.sqrt(np.einsum("nx,nx->n", moved, moved).max(initial=0.0))
        smallest = np.linalg.svd(strain, compute_uv=False).min()
        return bool(smallest * (self.cutoff + self.skin) - 2 * farthest >= self.cutoff)
