"""Band edges against the local stacking."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.orbitals import orbital_table
from ase_wander.electronic.properties.local_edges import edges_by_registry, local_band_edges, plot_local_edges
from ase_wander.moire import local_registry, twisted_bilayer


def toy(atoms):
    """Two flat bands whose energies are the first harmonics of the local shift."""
    s = 2 * np.pi * local_registry(atoms, layers=atoms.arrays["layer"])[1][0]
    wave = np.cos(s[0]) + np.cos(s[1]) + np.cos(s[0] - s[1])
    orbitals = orbital_table(["X", "X"], {"X": ("pz",)})
    levels = [-5 + 0.02 * wave, -3.5 - 0.01 * wave]
    return WannierHamiltonian(None, orbitals, [[0, 0, 0]], [csr_matrix(np.diag(levels))], n_electrons=2)


def untwisted(shift):
    return twisted_bilayer("MoS2", angle=0.0, shift=shift)


def test_the_map_follows_the_stacking(tmp_path):
    """What is a short Fourier series of the shift is found again exactly at every site of a moiré cell."""
    for n in (3, 4):
        edges = edges_by_registry(toy, untwisted, n=n)
        moire = twisted_bilayer("MoS2", m=5, r=1)
        positions, valence, conduction = local_band_edges(moire, edges)
        s = 2 * np.pi * local_registry(moire, layers=moire.arrays["layer"])[1]
        wave = np.cos(s[:, 0]) + np.cos(s[:, 1]) + np.cos(s[:, 0] - s[:, 1])
        assert np.ptp(wave) > 4
        assert np.abs(valence - (-5 + 0.02 * wave)).max() < 1e-9
        assert np.abs(conduction - (-3.5 - 0.01 * wave)).max() < 1e-9
    axes = plot_local_edges(moire, positions, valence, conduction)
    assert len(axes) == 2
    axes[0].figure.savefig(tmp_path / "edges.png")


def test_cells_that_are_not_shifted_as_asked_are_refused():
    with pytest.raises(ValueError, match="shift .*registry"):
        edges_by_registry(toy, lambda shift: untwisted((0, 0)), n=3)
