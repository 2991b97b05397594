"""Real-space Hamiltonian: its data, what follows from them, and its Bloch sum."""

from __future__ import annotations

from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np

from ..tables import html_table
from .blocks import BlochSum, hermiticity_error
from .kpath import resolve_path
from .solvers import memory, nonhermitian
from .validity import as_kpoint, as_kpoints, check_hermitian, check_shapes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_matrix


class RealSpaceHamiltonian:
    """The data of a Hamiltonian in real space, checked; arguments and errors are those of `WannierHamiltonian`."""

    def __init__(
        self,
        atoms,
        orbitals,
        cell_shifts,
        blocks,
        n_electrons=None,
        *,
        spin_degeneracy=2,
        centres=None,
        info=None,
        check=True,
        tolerance=1e-5,
    ):
        self.atoms = atoms.copy() if atoms is not None else None
        self.orbitals = np.asarray(orbitals)
        self.cell_shifts = np.asarray(cell_shifts, np.int64).reshape(-1, 3)
        self.blocks = [block.tocsr() for block in blocks]
        self.n_electrons = None if n_electrons is None else float(n_electrons)
        self.spin_degeneracy = int(spin_degeneracy)
        self.info = dict(info or {})
        self._centres = None if centres is None else np.asarray(centres, float).reshape(-1, 3)
        check_shapes(self)
        if check:
            check_hermitian(self, tolerance)
            self.is_hermitian = True

    # -- size and filling ---------------------------------------------------------------------------

    @property
    def n_orbitals(self) -> int:
        """Number of orbitals in the cell (spinors counted twice)."""
        return len(self.orbitals)

    @property
    def n_occupied(self) -> int:
        """Number of occupied bands of an insulator, floor(n_electrons / spin_degeneracy)."""
        if self.n_electrons is None:
            raise ValueError("n_electrons is not known: set h.n_electrons, or pass it to the reader")
        return int(np.floor(self.n_electrons / self.spin_degeneracy + 1e-9))

    @property
    def is_real(self) -> bool:
        """Whether every H(R) is real, so that E(-k) = E(k)."""
        return not any(np.iscomplexobj(block.data) for block in self.blocks)

    @cached_property
    def is_hermitian(self) -> bool:
        """Whether H(-R) = H(R)^dagger up to rounding. Where it is not, bands are real parts of general eigenvalues."""
        return hermiticity_error(self.cell_shifts, self.blocks)[0] <= nonhermitian.TOLERANCE

    @property
    def centres(self) -> np.ndarray:
        """Wannier centres in Å, shape (n_orbitals, 3)."""
        if self._centres is not None:
            return self._centres
        return self.require_sites("orbital centres").positions[self.orbitals["atom"]]

    def __repr__(self):
        formula = "no atoms" if self.atoms is None else self.atoms.get_chemical_formula()
        return (
            f"WannierHamiltonian({formula}, n_orbitals={self.n_orbitals}, n_R={len(self.blocks)}, "
            f"nnz={sum(block.nnz for block in self.blocks)}, n_electrons={self.n_electrons})"
        )

    def _repr_html_(self):
        elements = sum(block.nnz for block in self.blocks)
        return html_table(
            "WannierHamiltonian" if self.atoms is None else self.atoms.get_chemical_formula("metal"),
            [
                ("orbitals", f"{self.n_orbitals} {'spinors' if self.spin_degeneracy == 1 else 'without spin'}"),
                ("electrons", None if self.n_electrons is None else f"{self.n_electrons:g}"),
                ("lattice vectors R", len(self.blocks)),
                ("stored elements", f"{elements:,}, {elements / max(self.n_orbitals, 1):.0f} a row"),
            ],
        )

    # -- reciprocal space ---------------------------------------------------------------------------

    @cached_property
    def bloch_sum(self) -> BlochSum:
        """Merged sparsity pattern of all H(R); built once."""
        return BlochSum.merge(self.cell_shifts, self.blocks)

    @cached_property
    def factor_elements(self):
        """Estimated stored elements of a sparse factor of H(k), see `memory.fill_in`."""
        return memory.factor_elements(self)

    def at_k(self, k: ArrayLike, gauge: str = "lattice") -> csr_matrix:
        """H(k) in eV, complex CSR of shape (n_orbitals, n_orbitals).

        Parameters
        ----------
        k : array_like, shape (3,)
            In units of the reciprocal lattice vectors.
        gauge : {"lattice", "atomic"}
            Phase e^{2 pi i k.R}, or e^{i k.(R + r_j - r_i)} with the orbital centres r.
        """
        k = as_kpoint(k)
        return self.bloch_sum.matrix(self.bloch_sum.data(k) * self.gauge_phases(k, gauge))

    def gauge_phases(self, k, gauge):
        """Factor of every stored element between the lattice gauge and `gauge`: e^{i k.(r_j - r_i)}, or 1."""
        if gauge == "lattice":
            return 1.0
        if gauge != "atomic":
            raise ValueError(f"gauge is {gauge!r}; it must be 'lattice' or 'atomic'")
        phase = np.exp(2j * np.pi * (self.scaled_centres @ k))
        return phase[self.bloch_sum.indices] * phase[self.bloch_sum.rows].conj()

    @property
    def scaled_centres(self) -> np.ndarray:
        """Wannier centres in lattice vectors, not wrapped, shape (n_orbitals, 3)."""
        cell = self.require_atoms("fractional centres").cell.complete()
        return cell.scaled_positions(self.centres)

    def kpoints(self, kpts, npoints=None):
        """k-points (n_k, 3) out of an array (n_k, 3) or (3,), a `BandPath`, or letters such as "GMKG" (see `kpath`)."""
        if isinstance(kpts, str):
            return resolve_path(self.require_atoms("a path of letters"), kpts, npoints).kpts
        return as_kpoints(kpts)

    def band_window(self, n_bands: int):
        """Fixed range of absolute band indices, `n_bands` long, around the gap.

        Half of the bands (the smaller half of an odd number) lie below the gap; shifted where the manifold ends.
        """
        if not isinstance(n_bands, Integral) or isinstance(n_bands, bool) or not 1 <= n_bands <= self.n_orbitals:
            raise ValueError(f"n_bands is {n_bands}; it must be an integer between 1 and {self.n_orbitals}")
        first = min(max(self.n_occupied - n_bands // 2, 0), self.n_orbitals - n_bands)
        return range(first, first + n_bands)

    def replace(self, **changes) -> Self:
        """Copy with some arguments of the class changed; Hermiticity is not checked again."""
        arguments = {
            "atoms": self.atoms,
            "orbitals": self.orbitals,
            "cell_shifts": self.cell_shifts,
            "blocks": self.blocks,
            "n_electrons": self.n_electrons,
            "spin_degeneracy": self.spin_degeneracy,
            "centres": self._centres,
            "info": self.info,
            "check": False,
        }
        copy = type(self)(**arguments | changes)
        if self.__dict__.get("is_hermitian"):  # what is derived from a Hermitian H is Hermitian
            copy.is_hermitian = True
        return copy

    # -- checks -------------------------------------------------------------------------------------

    def require_atoms(self, what):
        """The atoms; ValueError where there are none, with `what` needs them."""
        if self.atoms is None:
            raise ValueError(f"{what}: this Hamiltonian has no atoms (the file it came from names no cell)")
        return self.atoms

    def require_sites(self, what):
        """The atoms; ValueError also where it is not known on which of them an orbital sits."""
        atoms = self.require_atoms(what)
        if (self.orbitals["atom"] < 0).any():
            raise ValueError(
                f"{what}: on which atoms the Wannier functions sit is not known; give projections in .win, "
                "_centres.xyz, or _tb.dat"
            )
        return atoms
