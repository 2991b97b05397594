"""Energy and its gradients part by part: the same sums as `forcefield.energy_and_gradients` in bounded memory.

Of a part of the atoms, densities, products and their gradients fit the processor's cache; what stays of an atom is its
force, its RAER and its invariants. The electrostatic energy looks at all charges at once: RAERs are found first, and
dE/dRAER enters the parts as a linear term.
"""

from __future__ import annotations

import torch

from .forcefield import Environment, ForceField
from .graph import Graph

#: Atoms whose densities are held at a time, and pairs of the tail.
ATOMS_PER_PART = 512
PAIRS_PER_PART = 200_000


def gradients_by_parts(force_field: ForceField, graph: Graph, atoms_per_part: int = ATOMS_PER_PART):
    """Atomic energies (n,) eV, forces (n, 3) eV/Å, virial (c, 3, 3) eV and an Environment of RAER and invariants.

    For a force field that is `local`, in evaluation: nothing that comes back can be differentiated again.
    """
    parts = [slice(a, a + atoms_per_part) for a in range(0, len(graph), atoms_per_part)]
    energies = graph.vector.new_zeros(len(graph))
    forces, virial = graph.vector.new_zeros(len(graph), 3), graph.vector.new_zeros(graph.n_configs, 3, 3)
    pull = None
    if force_field.smearing:
        with torch.no_grad():
            raer = torch.cat([force_field.environment(graph.part(k))[0].raer for k in parts])
        energies, forces, virial, pull = coulomb_gradients(force_field, graph, raer)
    raers, invariants = [], []
    for k in parts:
        part = graph.part(k)
        part.vector = part.vector.detach().requires_grad_(True)
        environment, energy = force_field.environment(part)
        energy = force_field.reference_energy[part.species] + force_field.energy_scale * energy
        energy = energy + force_field.repulsion(part, environment.geometry.r)
        total = energy.sum() if pull is None else energy.sum() + (environment.raer * pull[k]).sum()
        along = torch.autograd.grad(total, part.vector)[0] * part.mask.unsqueeze(-1)
        energies[k] += energy.detach()
        forces[k] += along.sum(1)
        forces.index_add_(0, part.neighbour.reshape(-1), along.reshape(-1, 3), alpha=-1)
        masked = part.vector.detach() * part.mask.unsqueeze(-1)  # padding is far away and has no gradient
        virial.index_add_(0, part.config, masked.transpose(1, 2) @ along)
        raers.append(environment.raer.detach())
        invariants.append(environment.invariants.detach())
    _add_tail(force_field, graph, energies, forces, virial)
    environment = Environment(None, None, torch.cat(raers), torch.cat(invariants))
    return energies, forces, 0.5 * (virial + virial.transpose(1, 2)), environment


def coulomb_gradients(force_field, graph, raer):
    """Electrostatic energies (n,), their forces at fixed charges, virial, and dE/dRAER (n, n_raer)."""
    leaf = lambda t: t.detach().requires_grad_(True)
    fixed = Graph(**(vars(graph) | {"position": leaf(graph.position), "cell": leaf(graph.cell)}))
    raer = leaf(raer)
    energy = force_field.coulomb(fixed, raer)
    by_position, by_cell, pull = torch.autograd.grad(energy.sum(), [fixed.position, fixed.cell, raer])
    outer = lambda a, b: a.unsqueeze(-1) * b.unsqueeze(-2)
    virial = outer(graph.cell, by_cell).sum(1).index_add(0, graph.config, outer(graph.position, by_position))
    return energy.detach().clone(), -by_position, virial, pull


def _add_tail(force_field, graph, energies, forces, virial):
    """Add the dispersion tail to energies, forces and virial in place."""
    for k in range(0, len(graph.tail_i), PAIRS_PER_PART):
        pairs = {name: getattr(graph, name)[k : k + PAIRS_PER_PART] for name in ("tail_i", "tail_j", "tail_vector")}
        pairs["tail_vector"] = pairs["tail_vector"].detach().requires_grad_(True)
        part = Graph(**(vars(graph) | pairs))
        energy = force_field.tail(part)
        along = torch.autograd.grad(energy.sum(), part.tail_vector)[0]
        energies += energy.detach()
        forces.index_add_(0, part.tail_i, along).index_add_(0, part.tail_j, along, alpha=-1)
        virial.index_add_(0, graph.config[part.tail_i], part.tail_vector.detach().unsqueeze(-1) * along.unsqueeze(-2))
