"""Reference data in the place of a model."""

import numpy as np

from ase_wander.electronic.blocks import PairBlocks


class Reference:
    """The data as a model, with so many electrons, and an error (eV) on every eigenvalue."""

    shells = {"Mo": (2,), "S": (1,)}

    def __init__(self, configuration, n_electrons, error=0.0):
        self.configuration, self.n_electrons, self.error = configuration, n_electrons, error

    def hamiltonian(self, atoms, layers):
        data = self.configuration.load_blocks()
        blocks = PairBlocks.from_arrays(data, self.n_electrons)
        for p in np.flatnonzero(blocks.onsite):
            block = blocks.of_pair(p)
            block += self.error * np.eye(int(np.sqrt(len(block)))).ravel()
        return blocks
