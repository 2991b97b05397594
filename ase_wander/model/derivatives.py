"""dH/dR: how the Wannier Hamiltonian answers to displacements and strain, by forward differentiation of the model.

One pass with dual numbers x + dx gives H and the exact dH along one pattern, electrostatics of the slab included;
there is no step to choose. Blocks have the meaning of H(R): dH_ij(R) = d<w_i,0|H|w_j,R>.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from torch.autograd import forward_ad

from ..electronic.blocks import PairBlocks
from ..electronic.hamiltonian import WannierHamiltonian
from ..nn.axial import local_normals
from ..structure import check_atoms, find_layers, plane_normal


def hamiltonian_derivative(
    model, atoms: Atoms, direction=None, *, strain=None, layers=None, progress=None
) -> WannierHamiltonian:
    """dH along a displacement pattern or a strain, at the positions of `atoms`.

    Parameters
    ----------
    model : WanderModel
        From `load_model`, or `calculator.model`. In float64 for derivatives good to ten digits.
    atoms : ase.Atoms
    direction : array_like, shape (n_atoms, 3), optional
        Displacement of every atom per unit of the amplitude Q: a unit vector on one atom, a phonon's pattern. It
        repeats in every cell; for other wave vectors take a supercell.
    strain : array_like, shape (3, 3), optional
        Homogeneous deformation per unit of the amplitude: atoms and cell go as r -> (1 + Q strain) r.
        Both may be given, as for a strain with its internal relaxation.
    layers : ndarray of int, shape (n_atoms,), optional
        Found from the bonds by default.
    progress : callable, optional
        Called with (pairs done, pairs).

    Returns
    -------
    WannierHamiltonian
        dH/dQ on the pairs of H: eV/Å where `direction` has no unit, eV where it is in Å (zero-point amplitudes) or a
        strain. k-points stay fixed in reciprocal lattice vectors. It has no electrons to fill its levels.

    Raises
    ------
    ValueError
        Neither direction nor strain, a wrong shape, or a model that is not differentiable.

    Notes
    -----
    Pairs are those within the cutoff at `atoms`: elements go to zero there with two continuous derivatives.
    """
    if not model.is_differentiable:
        raise ValueError(f"model {model.name!r} ({model.kind}) is not differentiable; models of kind 'wander' are")
    check_atoms(atoms)
    direction = _array("direction", direction, (len(atoms), 3))
    strain = _array("strain", strain, (3, 3))
    if direction is None and strain is None:
        raise ValueError("give a direction (n_atoms, 3), a strain (3, 3) or both")
    layers = find_layers(atoms) if layers is None else np.asarray(layers)
    direction = np.zeros((len(atoms), 3)) if direction is None else direction
    strain = np.zeros((3, 3)) if strain is None else strain
    with torch.no_grad(), forward_ad.dual_level():
        found = (
            (*pair, _tangent(blocks))
            for *pair, blocks in _dual_blocks(model, atoms, layers, direction, strain, progress)
        )
        blocks = PairBlocks.from_parts(found)
    return WannierHamiltonian.from_pairs(atoms, model.shells, blocks, info={"derivative": True})


def atomic_derivatives(model, atoms: Atoms, indices, *, layers=None) -> dict:
    """dH/dR of chosen atoms: {(atom, axis): dH in eV/Å}, axes 0, 1, 2 = x, y, z; one pass of the model each.

    The atom moves in every cell alike; their sum over all atoms vanishes along each axis.
    """
    out = {}
    for index in np.atleast_1d(indices).tolist():
        if not 0 <= index < len(atoms):
            raise ValueError(f"there is no atom {index}: the structure has {len(atoms)}")
        for axis in range(3):
            direction = np.zeros((len(atoms), 3))
            direction[index, axis] = 1.0
            out[index, axis] = hamiltonian_derivative(model, atoms, direction, layers=layers)
    return out


def _dual_blocks(model, atoms, layers, direction, strain, progress):
    """`model.blocks` with tangents: r_i moves by u_i + strain r_i, so r_ij by u_j - u_i + strain r_ij."""
    graph, pairs = model.pair_graph(atoms, layers)
    u, eps = (torch.from_numpy(x).to(model.device, torch.float64) for x in (direction, strain))
    relative = lambda vector, i, j: (u[j] - u[i] + vector.double() @ eps.T).to(vector.dtype)
    dual = forward_ad.make_dual
    if graph.paths is not None:
        for kind in ("step", "jump"):
            vector, *ends = (getattr(graph.paths, f"{kind}_{what}") for what in ("vector", "i", "j"))
            setattr(graph.paths, f"{kind}_vector", dual(vector, relative(vector, *ends)))
    atom = torch.arange(len(graph), device=model.device)[:, None]
    # padding points from an atom to itself, far away, and does not move
    graph.vector = dual(graph.vector, relative(graph.vector, atom, graph.neighbour) * graph.mask.unsqueeze(-1))
    graph.pair_vector = dual(graph.pair_vector, relative(graph.pair_vector, graph.pair_i, graph.pair_j))
    # n.(1 + Q eps) v = 0 for v in the plane: dn = -eps^T n + n (n.eps n)
    n = torch.from_numpy(plane_normal(atoms)).to(u)
    plane = dual(n.to(graph.vector), (n * (n @ eps @ n) - eps.T @ n).to(graph.vector))
    graph.normal = local_normals(graph.vector, graph.mask, graph.across, plane)
    positions, cell = model.positions(atoms), torch.from_numpy(atoms.cell.complete().array).to(model.device)
    slab = model.slab(dual(positions, u + positions @ eps.T), dual(cell, cell @ eps.T))
    yield from model.blocks(graph, pairs, slab, progress)


def _tangent(blocks):
    tangent = forward_ad.unpack_dual(blocks).tangent
    return np.zeros(blocks.shape) if tangent is None else tangent.cpu().numpy().astype(float)


def _array(name, value, shape):
    if value is None:
        return None
    value = np.asarray(value, float)
    if value.shape != shape or not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite and of shape {shape}, got shape {value.shape}")
    return value
