"""What of a force field does not depend on its weights, for structures that training sees again and again.

The energy is a function of the unmixed densities A (see `environment.Density.raw`), of the coefficients C of the
dispersion tail, in which it is linear, and of a repulsion without weights. Hence forces and virial are

    (F, W) = J dE/dA + K C + constant,

with J, K of the geometry alone: nothing has to be differentiated with respect to positions at a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .environment import Density, Geometry
from .forcefield import ForceField
from .graph import Graph
from .radial import dispersion_basis

#: Rows of the maps beside three for every atom: the nine components of the virial.
VIRIAL = 9


@dataclass
class ConstantParts:
    """Densities of one structure of n atoms and what maps derivatives of its energy to forces and virial.

    Rows r of a map: the 3 n components of the forces (eV/Å), then dE/d(strain) (3, 3) in eV.

    Attributes
    ----------
    raw : tensor, shape (n, q, s r)
        Unmixed densities, components before channels.
    by_raw : tensor, shape (r, n q s r)
        J, for the raveled dE/d(raw).
    tail, by_tail : tensor, shapes (z z 2,), (r, z z 2)
        Dispersion energy and its forces and virial for unit `tail_coefficients`.
    repulsion, by_repulsion : tensor, shapes (), (r,)
        Energy in eV, and its forces and virial.
    """

    raw: torch.Tensor
    by_raw: torch.Tensor
    tail: torch.Tensor
    by_tail: torch.Tensor
    repulsion: torch.Tensor
    by_repulsion: torch.Tensor


def has_constant_parts(force_field) -> bool:
    """Whether `constant_parts` knows all terms: no backbone of another kind, no charges that act on positions."""
    return type(force_field) is ForceField and not force_field.smearing


def bytes_needed(force_field: ForceField, n_atoms: int, dtype) -> int:
    """Memory of the `ConstantParts` of a structure: J is nearly all of it."""
    per_atom = 2 * force_field.n_species * force_field.n_radial * (force_field.l_max + 1) ** 2
    return (3 * n_atoms + VIRIAL + 1) * n_atoms * per_atom * dtype.itemsize


def tail_coefficients(force_field: ForceField) -> torch.Tensor:
    """Coefficients (z z 2,) in eV that the dispersion tail is linear in."""
    return (force_field.dispersion + force_field.dispersion.transpose(0, 1))[:, :, 0].flatten()


def constant_parts(force_field: ForceField, graph: Graph) -> ConstantParts:
    """`ConstantParts` of one structure, computed in float64 and returned in the graph's precision."""
    dtype, graph = graph.vector.dtype, graph.to(dtype=torch.float64)
    # a step without this leaves vectors that are to be differentiated in the graph of a configuration
    graph.vector, graph.tail_vector = graph.vector.detach(), graph.tail_vector.detach()
    with torch.no_grad():
        raw = Density.raw(_geometry(force_field, graph, graph.vector))
        parts = raw.transpose(1, 2).contiguous(), _density_map(force_field, graph), *_tail(force_field, graph)
    return ConstantParts(*(t.to(dtype) for t in (*parts, *_repulsion(force_field, graph))))


def _geometry(ff, graph, vector):
    """Geometry of the densities of other bond vectors."""
    return Geometry(Graph(**(vars(graph) | {"vector": vector})), ff.cutoff, ff.n_radial, ff.l_max, ff.n_species)


def _density_map(ff, graph):
    """J of `ConstantParts`, from the derivatives of R(r) Y(r) along x, y, z.

    F_i = sum over its vectors (+ outgoing, - incoming), dE/d(strain)_ab = sum r_a g_b, as in
    `forcefield.energy_and_gradients`; of the density of an atom only its own vectors know.
    """
    functions = lambda vector: [getattr(_geometry(ff, graph, vector), name) for name in ("radial", "harmonics")]
    outer = lambda a, b: (graph.mask.unsqueeze(-1) * a).unsqueeze(-1) * b.unsqueeze(-2)  # (n, k, r, q)
    along = []
    for axis in range(3):
        direction = torch.zeros_like(graph.vector)
        direction[..., axis] = 1.0
        (radial, harmonics), (d_radial, d_harmonics) = torch.func.jvp(functions, (graph.vector,), (direction,))
        along.append(outer(d_radial, harmonics) + outer(radial, d_harmonics))
    along = torch.stack(along, 2)  # (n, k, 3, r, q)
    channels, n = _geometry(ff, graph, graph.vector).one_hot, len(graph)
    columns = []
    for atom in range(n):
        g = torch.einsum("ks,karq->kaqsr", channels[atom], along[atom]).flatten(2)  # (k, 3, q s r)
        forces = g.new_zeros(n, 3, g.shape[2]).index_add(0, graph.neighbour[atom], -g)
        forces[atom] += g.sum(0)
        columns.append(_rows(forces, graph.vector[atom] * graph.mask[atom, :, None], g))
    return torch.cat(columns, 1)


def _rows(forces, vectors, g):
    """Forces (n, 3, x) and the virial of g = dE/d(vector) (p, 3, x) of vectors (p, 3) as rows (3 n + 9, x)."""
    virial = torch.einsum("pa,pbx->abx", vectors, g)
    virial = 0.5 * (virial + virial.transpose(0, 1))
    return torch.cat([forces.flatten(0, 1), virial.flatten(0, 1)])


def _tail(ff, graph):
    """Dispersion energy (z z 2,) for unit coefficients, and its rows (3 n + 9, z z 2), see `ForceField.tail`."""
    i, j, vector, z = graph.tail_i, graph.tail_j, graph.tail_vector, ff.n_species
    basis = lambda v: 0.25 * dispersion_basis(v.square().sum(-1).sqrt(), ff.tail_cutoff)  # (p, 2), of each atom
    one_hot = torch.nn.functional.one_hot(graph.species[i] * z + graph.species[j], z * z).to(vector)
    by_class = lambda t: (one_hot.unsqueeze(-1) * t.unsqueeze(-2)).flatten(-2)  # (..., 2) -> (..., z z 2)
    g = []
    for axis in range(3):
        direction = torch.zeros_like(vector)
        direction[:, axis] = 1.0
        value, slope = torch.func.jvp(basis, (vector,), (direction,))
        g.append(2 * by_class(slope))
    g = torch.stack(g, 1)  # (p, 3, z z 2)
    forces = g.new_zeros(len(graph), 3, g.shape[2]).index_add(0, i, g).index_add(0, j, -g)
    return 2 * by_class(value).sum(0), _rows(forces, vector, g)


def _repulsion(ff, graph):
    """Energy () and rows (3 n + 9,) of the repulsion."""
    vector = graph.vector.detach().requires_grad_(True)
    energy = ff.repulsion(graph, vector.square().sum(-1).sqrt()).sum()
    g = torch.autograd.grad(energy, vector)[0] if energy.requires_grad else torch.zeros_like(vector)
    g = (g * graph.mask.unsqueeze(-1)).unsqueeze(-1)  # (n, k, 3, 1)
    forces = g.sum(1).index_add(0, graph.neighbour.flatten(), -g.flatten(0, 1))
    masked = (graph.vector * graph.mask.unsqueeze(-1)).flatten(0, 1)
    return energy.detach(), _rows(forces, masked, g.flatten(0, 1))[:, 0]
