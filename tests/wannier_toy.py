"""Tight-binding bands whose Wannier functions are known exactly, as a reference calculation gives them."""

import numpy as np
from ase import Atoms

from ase_wander.data.dft.labels import Labels
from ase_wander.data.dft.recipe import Recipe
from ase_wander.data.wannier.wannier90_run import BlochBands
from ase_wander.electronic.orbitals import orbital_table

A = 2.46
SHELLS = {"C": ["pz"]}
ISOLATED = Recipe.from_dict({"shells": SHELLS, "semicore": {"C": 0}})
ENTANGLED = Recipe.from_dict({"shells": SHELLS, "window": [-4.0, 3.2]})


class Toy:
    """p_z of graphene with two neighbours, and above them one orbital over the hexagon's centre that mixes with them.

    |k, i> = sum_R e^{ik.R} |i, R>; orbitals are points, so <u_mk|u_n,k+b> = sum_i c*_im(k) e^{-ib.r_i} c_in(k+b).
    """

    def __init__(self, n=6, third=None, seed=0):
        cell = np.array([[A, 0, 0], [-A / 2, A * 3**0.5 / 2, 0], [0, 0, 14.0]])
        # one atom lies outside the cell: phases refer to positions as given
        self.atoms = Atoms(
            "C2",
            positions=np.array([[0, 0, 0], [1 / 3, 2 / 3, 0]]) @ cell + [0.4, 0.3, 6.0] + cell[0] * [[0], [1]],
            cell=cell,
            pbc=(True, True, False),
        )
        self.centres = np.vstack([self.atoms.positions, self.atoms.positions[:1] + [[0.0, A / 3**0.5 * -1, 0]]])[
            : 3 if third else 2
        ]
        self.third, self.n = third, n
        self.rng = np.random.default_rng(seed)

    def hamiltonian(self, k):
        """H(k) in the lattice gauge."""
        scaled = self.atoms.cell.scaled_positions(self.centres)
        h = np.zeros((len(self.centres),) * 2, complex)
        steps = np.array(list(np.ndindex(7, 7))) - 3
        for i in range(len(h)):
            for j in range(len(h)):
                away = (scaled[j, :2] - scaled[i, :2] + steps) @ self.atoms.cell.array[:2]
                d = np.linalg.norm(away, axis=1)
                near = (d > 0.1) & (d < 2.6)
                t = -2.7 * np.exp(-(d[near] - 1.42) / 0.5) * (0.6 if 2 in (i, j) else 1)
                h[i, j] = (t * np.exp(2j * np.pi * steps[near] @ k[:2])).sum()
        if self.third:
            h[2, 2] += self.third
        return h

    def states(self, kpts):
        """Energies and states of arbitrary phase."""
        values, vectors = np.linalg.eigh([self.hamiltonian(k) for k in kpts])
        return values, vectors * np.exp(2j * np.pi * self.rng.random((len(kpts), 1, values.shape[1])))

    def labels(self):
        """Reference calculation of half the zone, as an engine gives it."""
        n = self.n
        full = np.array([[i / n, j / n, 0] for i in range(n) for j in range(n)])
        keep = [
            q
            for q, k in enumerate(full)
            if q <= [tuple(np.rint(p * n) % n) for p in full].index(tuple(np.rint(-k * n) % n))
        ]
        weights = np.array([1 if np.allclose((2 * full[q]) % 1, 0) else 2 for q in keep]) / n**2
        values, vectors = self.states(full[keep])
        zero = np.zeros((2, 3))
        return Labels(
            atoms=self.atoms,
            energy=0.0,
            forces=zero,
            stress=np.zeros(6),
            efermi=0.0,
            kpts=full[keep],
            kweights=weights,
            grid=np.array([n, n, 1]),
            eigenvalues=values,
            amplitudes=vectors[:, :2].swapaxes(1, 2).copy(),
            vacuum_top=0.0,
            vacuum_bottom=0.0,
        )

    def bands(self, mix=None):
        n = self.n
        kpts = np.array([[i / n, j / n, 0] for i in range(n) for j in range(n)])
        values, vectors = self.states(kpts)
        self.vectors = dict(zip(map(tuple, kpts.tolist()), vectors))
        projections = vectors[:, :2].conj().swapaxes(1, 2)
        if mix is not None:
            projections = projections @ mix
        return BlochBands(self.atoms, (n, n, 1), kpts, values, projections, orbital_table(self.atoms.symbols, SHELLS))

    def overlaps(self, kpts, neighbours):
        reciprocal = 2 * np.pi * self.atoms.cell.reciprocal().array
        for k, k2, g in neighbours:
            b = (kpts[k2] + g - kpts[k]) @ reciprocal
            left, right = (self.vectors[tuple(kpts[q].tolist())] for q in (k, k2))
            yield k, k2, g, left.conj().T @ (np.exp(-1j * self.centres @ b)[:, None] * right)
