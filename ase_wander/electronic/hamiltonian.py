"""WannierHamiltonian: a tight-binding Hamiltonian in real space, sparse, in eV."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from . import bands, filling, transforms
from .assembly import blocks_to_csr
from .blocks import PairBlocks
from .io import interop, storage, wannier90
from .orbitals import orbital_counts, orbital_table
from .real_space import RealSpaceHamiltonian
from .solvers import kpoints

if TYPE_CHECKING:
    from ase.spectrum.band_structure import BandStructure
    from numpy.typing import ArrayLike


class WannierHamiltonian(RealSpaceHamiltonian):
    """H(R)_ij = <w_i,0|H|w_j,R> of orthonormal orbitals; H(k) = sum_R e^{2 pi i k.R} H(R).

    Parameters
    ----------
    atoms : ase.Atoms or None
        Structure the orbitals sit on; None for a foreign file that names no cell.
    orbitals : structured ndarray, shape (n_orbitals,)
        Fields atom, l, m, spin, label (see `ase_wander.electronic.orbitals`).
    cell_shifts : array_like of int, shape (n_R, 3)
        Lattice vectors R, for positions as given (not wrapped).
    blocks : list of sparse matrices (n_orbitals, n_orbitals)
        H(R) in eV.
    n_electrons : float or None
        Electrons of the manifold in the cell.
    spin_degeneracy : {2, 1}
        Electrons per state: 2 without spin, 1 for spinors.
    centres : array_like, shape (n_orbitals, 3), optional
        Wannier centres in Å; the atoms' positions by default.
    info : dict, optional
        JSON-able remarks that travel with the file.
    check : bool
        Verify H(-R) = H(R)^dagger.
    tolerance : float
        Largest violation (eV) that `check` lets pass.

    Raises
    ------
    ValueError
        When shapes do not fit or H is not Hermitian, naming the worst pair.
    """

    # -- other forms of the data --------------------------------------------------------------------

    @classmethod
    def from_pairs(cls, atoms: Atoms, shells: Mapping, blocks: PairBlocks, **kwargs) -> WannierHamiltonian:
        """Hamiltonian from atom-pair blocks.

        Parameters
        ----------
        atoms : ase.Atoms
        shells : dict
            Chemical symbol -> shells, e.g. ``{"Mo": (2,), "S": (1,)}``, ``{"C": ("pz",)}``.
        blocks : PairBlocks
            Every ordered pair, on-site ones included, and the number of electrons.
        **kwargs
            As for the class.
        """
        orbitals = orbital_table(atoms.symbols, shells)
        *arrays, n_electrons = blocks
        shifts, matrices = blocks_to_csr(orbital_counts(orbitals, len(atoms)), *arrays)
        return cls(atoms, orbitals, shifts, matrices, n_electrons, **kwargs)

    @classmethod
    def from_blocks(
        cls, atoms: Atoms, shells: Mapping, pair_i, pair_j, pair_shift, block, block_ptr, n_electrons, **kwargs
    ) -> WannierHamiltonian:
        """`from_pairs` with the fields of `PairBlocks` one by one."""
        return cls.from_pairs(
            atoms, shells, PairBlocks(pair_i, pair_j, pair_shift, block, block_ptr, n_electrons), **kwargs
        )

    @classmethod
    def from_dataset_file(
        cls,
        path: str | PathLike,
        n_electrons: float | None = None,
        cutoff: float | None = None,
        shells: Mapping | None = None,
    ) -> WannierHamiltonian:
        """Hamiltonian of one configuration of the reference data (pair_i, ..., block, block_ptr in an .npz).

        `n_electrons` defaults to the count of the file's eigenvalues below its Fermi level;
        pairs beyond `cutoff` (Å) are left out.
        """
        return cls.from_pairs(**storage.read_dataset_file(path, n_electrons, cutoff, shells))

    # -- bands and filling --------------------------------------------------------------------------

    def eigenvalues(self, kpts, n_bands: int | None = None, sigma: float | None = None, **options) -> np.ndarray:
        """Band energies in eV, ascending, shape (n_k, n_bands); real parts where H is not Hermitian.

        Parameters
        ----------
        kpts : array_like, shape (n_k, 3) or (3,)
        n_bands : int, optional
            All by default. Without `sigma`: the bands of `band_window(n_bands)` at every k.
        sigma : float, optional
            The `n_bands` energies nearest to it (eV), at each k.
        **options
            See `ase_wander.electronic.solvers.kpoints.solve_kpoints` (method, n_jobs, restart, progress).
        """
        return kpoints.solve_kpoints(self, self.kpoints(kpts), n_bands, sigma, vectors=False, **options).energies

    def eigenstates(
        self, kpts, n_bands: int | None = None, sigma: float | None = None, gauge: str = "lattice", **options
    ):
        """Energies (n_k, n_bands) and orthonormal states (n_k, n_orbitals, n_bands); see `eigenvalues`.

        In the atomic gauge a state's elements are those of the lattice gauge times e^{-i k.r_j}.
        """
        kpts = self.kpoints(kpts)
        result = kpoints.solve_kpoints(self, kpts, n_bands, sigma, vectors=True, **options)
        if gauge == "lattice":
            return result.energies, result.states
        if gauge != "atomic":
            raise ValueError(f"gauge is {gauge!r}; it must be 'lattice' or 'atomic'")
        phase = np.exp(-2j * np.pi * (kpts @ self.scaled_centres.T))
        return result.energies, result.states * phase[:, :, None]

    def fermi_level(self, kpts=None, weights: ArrayLike | None = None, **options) -> float:
        """Fermi level in eV (mid-gap of an insulator) from the electron count; see `filling.fermi_level`."""
        return filling.fermi_level(self, kpts, weights, **options)

    def band_gap(self, kpts=None, direct: bool = False, **options) -> float:
        """Fundamental (or smallest direct) gap in eV on the k-points, 0 for a metal; see `filling.band_gap`."""
        return filling.band_gap(self, kpts, direct, **options)

    def band_structure(
        self,
        path=None,
        npoints: int | None = None,
        n_bands: int | None = None,
        reference: str | float = "fermi",
        **options,
    ) -> BandStructure:
        """`ase.spectrum.band_structure.BandStructure`; see `bands.band_structure`."""
        return bands.band_structure(self, path, npoints, n_bands, reference, **options)

    # -- derived Hamiltonians -----------------------------------------------------------------------

    def truncate(self, threshold: float) -> WannierHamiltonian:
        """Copy without the elements up to `threshold` (eV) in size.

        ``info["truncation_bound"]`` then holds a bound on the change of any band at any k (eV): by Weyl's inequality
        the norm of what was left out, see `transforms.weyl_bound`.
        """
        return transforms.truncate(self, threshold)

    # -- files and other codes ----------------------------------------------------------------------

    def save(self, path: str | PathLike):
        """Write an .npz without pickles; an existing file is replaced only by a complete one."""
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | PathLike) -> WannierHamiltonian:
        """Read what `save` wrote."""
        try:
            return cls(**storage.load(path), check=False)
        except ValueError as error:
            raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None

    def write_wannier90(self, seed: str | PathLike, **options):
        """Write `seed`_hr.dat, _tb.dat, _centres.xyz and .win; see `wannier90.write`."""
        return wannier90.write(self, seed, **options)

    @classmethod
    def from_wannier90(cls, seed: str | PathLike, n_electrons: float | None = None, **options) -> WannierHamiltonian:
        """Read `seed`_hr.dat (or _tb.dat), and _wsvec.dat, _centres.xyz, .win where they are; see `wannier90.read`."""
        arguments = wannier90.read(seed, n_electrons, **options)
        try:
            return cls(**arguments)
        except ValueError as error:
            raise ValueError(f"{seed}: {error}") from None

    def to_pythtb(self, **options):
        """`pythtb.TBModel` (or `tb_model`) with the same bands."""
        return interop.to_pythtb(self, **options)

    def to_sisl(self, **options):
        """`sisl.Hamiltonian` with the same bands, orbitals sorted by atom; see `interop.to_sisl`."""
        return interop.to_sisl(self, **options)

    def to_wannierberri(self, **options):
        """`wannierberri.system.System_R` with centres and spin, no file between; see `interop.to_wannierberri`."""
        return interop.to_wannierberri(self, **options)
