"""Band edges against local stacking, from bands of small untwisted cells over all shifts of the layers.

Where the stacking changes slowly, the band edges of the untwisted bilayer at the local shift act as potentials for
holes and electrons: M. H. Naik and M. Jain, PRL 121, 266401 (2018); F. Wu et al., PRL 121, 026402 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...moire.interlayer import layer_index
from ...moire.stacking import local_registry
from ..filling import monkhorst_pack


@dataclass(frozen=True)
class RegistryEdges:
    """Band edges on a grid of shifts, as trigonometric series between.

    Attributes
    ----------
    valence, conduction : ndarray (n, n), eV
        At shift (origin + (a, b) / n) in lattice vectors.
    origin : ndarray (2,)
    """

    valence: np.ndarray
    conduction: np.ndarray
    origin: np.ndarray

    def __call__(self, registry):
        """Valence and conduction edge (m,), eV, at shifts (m, 2) in lattice vectors."""
        n = len(self.valence)
        # lowest |G| of every class; for even n the Nyquist term is a cosine, so that the series is real
        g = np.fft.fftfreq(n, 1 / n)
        first, second = (
            np.exp(2j * np.pi * np.multiply.outer(x, g)) for x in (np.asarray(registry, float) - self.origin).T
        )
        if n % 2 == 0:
            first[:, n // 2], second[:, n // 2] = first[:, n // 2].real, second[:, n // 2].real
        return tuple(
            np.einsum("ma,ab,mb->m", first, np.fft.fft2(edge) / n**2, second).real
            for edge in (self.valence, self.conduction)
        )


def edges_by_registry(hamiltonian, cell_at, n=6, kpts=None) -> RegistryEdges:
    """Band edges of untwisted cells at n x n shifts.

    Parameters
    ----------
    hamiltonian : callable
        Atoms -> WannierHamiltonian, such as ``calc.get_wannier_hamiltonian``.
    cell_at : callable
        (a, b) -> Atoms of the untwisted bilayer with its upper layer shifted by these fractions of the lattice vectors,
        such as ``lambda shift: twisted_bilayer("MoS2", angle=0, shift=shift)``; relax the heights in it for real work.
    n : int
    kpts : array_like (n_k, 3), BandPath or str, optional
        Where the edges are looked for; by default a 12 x 12 mesh, which has Γ, M and K.

    Raises
    ------
    ValueError
        When the registries of the cells do not form the grid.
    """
    kpts = monkhorst_pack((12, 12, 1))[0] if kpts is None else kpts
    valence, conduction = np.empty((2, n, n))
    origin = None
    for a in range(n):
        for b in range(n):
            atoms = cell_at((a / n, b / n))
            registry = local_registry(atoms, layers=layer_index(atoms, atoms.arrays.get("layer")))[1].mean(axis=0)
            origin = registry if origin is None else origin
            away = registry - origin - (a / n, b / n)
            if np.abs(away - np.rint(away)).max() > 0.05 / n:
                raise ValueError(
                    f"the cell at shift ({a}/{n}, {b}/{n}) has registry {registry.round(4).tolist()}, that at (0, 0) "
                    f"{origin.round(4).tolist()}: the upper layer must be shifted by these fractions of its lattice "
                    "vectors"
                )
            h = hamiltonian(atoms)
            energies = h.eigenvalues(kpts)
            valence[a, b] = energies[:, : h.n_occupied].max()
            conduction[a, b] = energies[:, h.n_occupied :].min()
    return RegistryEdges(valence, conduction, origin)


def local_band_edges(atoms, edges, lower=0, layers=None):
    """Local valence and conduction edges of a moiré cell.

    Parameters
    ----------
    atoms : ase.Atoms
        Relaxed or not; its local shifts are found from the positions.
    edges : RegistryEdges
    lower, layers
        As in `moire.local_registry`.

    Returns
    -------
    positions : ndarray (n_sites, 2), Å
    valence, conduction : ndarray (n_sites,), eV
    """
    positions, registry = local_registry(
        atoms, lower, layer_index(atoms, atoms.arrays.get("layer") if layers is None else layers)
    )
    return positions, *edges(registry)


def plot_local_edges(atoms, positions, valence, conduction):
    """Two maps side by side, valence edge and conduction edge in meV from their means; returns both Axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ...moire.plots import plot_map

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    for ax, name, edge in zip(axes, ("valence", "conduction"), (valence, conduction)):
        plot_map(
            atoms,
            positions,
            1000 * (edge - edge.mean()),
            label=f"{name} edge − {edge.mean():.3f} eV (meV)",
            diverging=True,
            ax=ax,
        )
    return axes
