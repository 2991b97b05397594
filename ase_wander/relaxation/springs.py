"""A spring model of a stack of layers: the Hessian that a relaxation starts from, and the distance left to the minimum.

Stiff springs hold a layer together, soft ones hold the layers apart; a moiré cell has both, a hundred times
different, and an optimizer that does not know them spends its steps on the soft ones. Energy of small displacements
u, with the unit vector e_ij along a pair and n the plane's normal:

    E = 1/2 sum_bonds k_ij (e_ij (u_i - u_j))^2                      bonds, and pairs with a common neighbour
      + 1/2 sum_i b_i (n (u_i - mean of its bonded neighbours))^2    bending of layers that are one atom thick
      + 1/2 sum_facing (u_i - u_j) (c n n + c' (1 - n n)) (u_i - u_j)   atoms that face each other across a gap

with k = BOND / d^2, ANGLE / d^2, b = BEND / d^2. The sum of c over the facing pairs is NORMAL times their area: C33 /
d of graphite (38 GPa / 3.35 Å) and of bulk MoS2 (52 GPa / 6.15 Å) are 0.071 and 0.053 eV/Å^4, nearly one constant of
layers bound by dispersion.
"""

from __future__ import annotations

import numpy as np
from ase.constraints import FixAtoms
from ase.data import covalent_radii
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, diags, identity
from scipy.sparse.linalg import splu

from ..structure import BOND_SCALE, find_layers, neighbour_pairs, plane_normal

#: Stretching (eV) of a bond, of a pair with a common neighbour, and bending, all over d^2. Fitted to the Hessians of
#: both shipped models by eye: bonds of MoS2 and graphene have 7 and 25 eV/Å^2.
BOND, ANGLE, BEND = 50.0, 15.0, 25.0

#: Stiffness of a gap along the normal (eV/Å^4), and the share of it in the plane, where sliding is nearly free.
NORMAL, SLIDING = 0.06, 0.1

#: Atoms face each other up to this much (Å) beyond the shortest distance across their gap; their springs decay with
#: DECAY (1/Å).
FACING, DECAY = 1.0, 2.0

#: Holds the structure as a whole (eV/Å^2 for an atom).
FLOOR = 1e-3


def spring_hessian(atoms, layers, bonds_and_angles=None) -> csc_matrix:
    """Hessian (3n, 3n) of the spring model in eV/Å^2; coordinates ordered atom by atom.

    Parameters
    ----------
    atoms : ase.Atoms
    layers : ndarray of int, shape (n,)
        Layer of every atom, 0 = lowest.
    bonds_and_angles : (NeighbourPairs, NeighbourPairs), optional
        Where they are known already.
    """
    n, normal = len(atoms), plane_normal(atoms)
    bonds, angles = bonds_and_angles or _bonds_and_angles(atoms, layers)
    hessian = _stretch(n, bonds, BOND) + _stretch(n, angles, ANGLE)
    hessian = hessian + _bending(n, bonds, normal) + _gaps(atoms, layers, normal)
    return csc_matrix(hessian + FLOOR * identity(3 * n))


class Springs:
    """The factorised spring model.

    Parameters
    ----------
    atoms : ase.Atoms or ase filter of a cell
        A filter's further three rows are strains of the cell times its `exp_cell_factor`.
    layers : ndarray of int, shape (n,), optional
        Layer of every atom; found from the bonds by default.

    Attributes
    ----------
    n_atoms : int
    strain_stiffness : float
        Energy of a uniform strain of the plane, d^2E/d(strain)^2 of one component, in eV.
    """

    def __init__(self, atoms, layers=None):
        self._scale = getattr(atoms, "exp_cell_factor", 1.0)
        atoms = getattr(atoms, "atoms", atoms)
        self.n_atoms = len(atoms)
        layers = find_layers(atoms) if layers is None else layers
        bonds = _bonds_and_angles(atoms, layers)
        self.strain_stiffness = _strain_stiffness(bonds, plane_normal(atoms))
        hessian = spring_hessian(atoms, layers, bonds)
        fixed = np.zeros(len(atoms), bool)
        for constraint in atoms.constraints:
            if isinstance(constraint, FixAtoms):
                fixed[constraint.get_indices()] = True
        self._is_held = bool(fixed.any())
        if self._is_held:  # a block of its own, so that the others move as if these were held
            free = diags(np.repeat(~fixed, 3).astype(float))
            hessian = csc_matrix(free @ hessian @ free + identity(3 * len(atoms)) - free)
        self._solve = splu(hessian, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve

    def displacement(self, forces) -> np.ndarray:
        """Where forces (n, 3), eV/Å, would move the atoms of the spring model, Å; rows of a cell filter (n + 3, 3)
        alike.

        A net force on a stack that nothing holds is left out: it has nowhere to go.
        """
        forces = np.asarray(forces, float)
        on_atoms = forces[: self.n_atoms]
        on_atoms = on_atoms if self._is_held else on_atoms - on_atoms.mean(axis=0)
        atoms = self._solve(np.ascontiguousarray(on_atoms).ravel()).reshape(-1, 3)
        return np.concatenate([atoms, forces[self.n_atoms :] * self._scale**2 / self.strain_stiffness])

    def strain(self, forces) -> float:
        """Largest component of the strain that the rows of a cell filter (n + 3, 3) would make; 0 without them."""
        return float(np.abs(forces[self.n_atoms :] * self._scale / self.strain_stiffness).max(initial=0.0))


def _strain_stiffness(bonds_and_angles, normal):
    """d^2E/d(strain)^2 of a uniform strain that the atoms follow, eV, averaged over directions in the plane."""
    total = 0.0
    for pairs, strength in zip(bonds_and_angles, (BOND, ANGLE)):
        flat = 1 - (pairs.vector @ normal / pairs.distance) ** 2
        # E = 1/2 k d^2 (e strain e)^2 for a pair, listed twice; the mean of cos^4 over directions is 3/8
        total += 0.5 * strength * 0.375 * (flat**2).sum()
    return max(total, 1e-3)


def _bonds_and_angles(atoms, layers):
    """Ordered pairs inside layers: bonded ones, and those with a common bonded neighbour."""
    radii = covalent_radii[atoms.numbers]
    reach = 2 * BOND_SCALE * float(radii.max())
    pairs = neighbour_pairs(atoms, 2 * reach)
    pairs = pairs.select(layers[pairs.i] == layers[pairs.j])
    bonded = pairs.distance < BOND_SCALE * (radii[pairs.i] + radii[pairs.j])
    shared = pairs.select(~bonded & _share_a_neighbour(len(atoms), pairs, bonded))
    return pairs.select(bonded), shared


def _share_a_neighbour(n, pairs, bonded):
    """Whether a path of two bonds leads from i to the image of j, for every pair."""
    bonds = pairs.select(bonded)
    start = np.searchsorted(bonds.i, np.arange(n + 1))
    count = np.diff(start)[bonds.j]  # bonds that go on from the far end of each
    first = np.repeat(np.arange(len(bonds)), count)
    second = start[bonds.j][first] + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    two = np.column_stack([bonds.i[first], bonds.j[second], bonds.shift[first] + bonds.shift[second]])
    all_pairs = np.column_stack([pairs.i, pairs.j, pairs.shift])
    _, label = np.unique(np.concatenate([two, all_pairs]), axis=0, return_inverse=True)
    return np.isin(label.ravel()[len(two) :], label.ravel()[: len(two)])


def _stretch(n, pairs, strength):
    """Springs along the pairs, each given in both directions."""
    e = pairs.vector / pairs.distance[:, None]
    return _assemble(n, pairs, (strength / pairs.distance**2)[:, None, None] * e[:, :, None] * e[:, None, :])


def _assemble(n, pairs, block):
    """sum over pairs (both directions listed) of 1/2 (u_i - u_j) block (u_i - u_j) / 2, as a Hessian."""
    axis = np.arange(3)
    rows, columns = np.broadcast_arrays(
        3 * pairs.i[:, None, None] + axis[:, None], 3 * pairs.j[:, None, None] + axis[None, :]
    )
    diagonal = np.broadcast_to(3 * pairs.i[:, None, None] + axis[None, :], rows.shape)
    data = np.concatenate([block.ravel(), -block.ravel()])
    where = (np.concatenate([rows.ravel()] * 2), np.concatenate([diagonal.ravel(), columns.ravel()]))
    return coo_matrix((data, where), shape=(3 * n, 3 * n)).tocsr()


def _bending(n, bonds, normal):
    """What keeps a flat layer flat, where the bonds alone leave an atom free along the normal."""
    count = np.bincount(bonds.i, minlength=n)
    e_normal = bonds.vector @ normal / bonds.distance
    held = np.bincount(bonds.i, BOND / bonds.distance**2 * e_normal**2, minlength=n)
    wanted = np.bincount(bonds.i, BEND / bonds.distance**2, minlength=n) / np.maximum(count, 1)
    strength = np.where(count > 0, np.maximum(wanted - held, 0.0), 0.0)
    height = csr_matrix(
        (np.tile(normal, n), (np.repeat(np.arange(n), 3), np.arange(3 * n))), shape=(n, 3 * n)
    )  # u -> n u
    mean = csr_matrix((1.0 / count[bonds.i], (bonds.i, bonds.j)), shape=(n, n))
    curvature = (identity(n) - mean) @ height
    return curvature.T @ csr_matrix((strength, (np.arange(n), np.arange(n)))) @ curvature


def _gaps(atoms, layers, normal):
    """Springs between layers that follow each other."""
    n = len(atoms)
    total = csr_matrix((3 * n, 3 * n))
    area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
    for lower in range(int(layers.max())):
        pairs = _facing(atoms, layers, lower)
        if not len(pairs):
            continue
        weight = np.exp(-DECAY * (pairs.distance - pairs.distance.min()))
        stiffness = NORMAL * area * weight / (weight.sum() / 2)  # both directions are listed
        block = np.outer(normal, normal) * (1 - SLIDING) + SLIDING * np.eye(3)
        total = total + _assemble(n, pairs, stiffness[:, None, None] * block)
    return total


def _facing(atoms, layers, lower, reach=16.0):
    """Ordered pairs across one gap whose distance is within FACING of the shortest."""
    index = np.flatnonzero((layers == lower) | (layers == lower + 1))
    part = atoms[index]
    part.set_constraint()
    for cutoff in (5.0, reach):
        pairs = neighbour_pairs(part, cutoff)
        pairs = pairs.select(layers[index][pairs.i] != layers[index][pairs.j])
        if (len(pairs) and pairs.distance.min() + FACING <= cutoff) or cutoff == reach:
            break
    if len(pairs):
        pairs = pairs.select(pairs.distance <= pairs.distance.min() + FACING)
    return type(pairs)(index[pairs.i], index[pairs.j], pairs.shift, pairs.vector, pairs.distance)
