"""Atoms treated part by part give the same sums as all at once."""

from dataclasses import replace

import pytest
import torch

from ase_wander import load_model
from ase_wander.model.graphs import build_graph
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.forcefield import ForceField, energy_and_gradients
from ase_wander.nn.graph import collate
from ase_wander.nn.parts import gradients_by_parts
from tests.helpers import displaced


def force_field(smearing, dtype):
    torch.manual_seed(0)
    made = ForceField([42, 16], 5.0, 8.0, n_radial=4, n_channels=3, n_raer=5, hidden=7, smearing=smearing)
    with torch.no_grad():
        made.charge and made.charge.weight.normal_()
        made.repulsion_range.fill_(3.0)
        made.contact.fill_(2.5)
    return made.to(dtype).eval()


def bilayers(dtype, *seeds):
    cells = [displaced(twisted_bilayer("MoS2", angle=0.0, shift=(0.2, 0.1)), 0.1, seed) for seed in seeds]
    graphs = [build_graph(a, a.arrays["layer"], ("Mo", "S"), 5.0, 8.0) for a in cells]
    return collate(graphs).to(dtype=dtype)


@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("smearing", [0.0, 2.0])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_parts_sum_to_the_whole(dtype, close, smearing, size):
    made, graph = force_field(smearing, dtype), bilayers(dtype, 1, 2)
    whole = energy_and_gradients(made, replace(graph))
    parts = gradients_by_parts(made, replace(graph), size)
    for a, b in zip(whole[:3], parts[:3]):
        a = a.detach()
        assert (a - b).abs().max() < close * max(1.0, float(a.abs().max()))
    for name in ("raer", "invariants"):
        a, b = getattr(whole[3], name), getattr(parts[3], name)
        assert (a - b).abs().max() < 10 * close * max(1.0, float(a.detach().abs().max()))


def test_a_lone_atom_has_its_reference_energy_and_no_force():
    """No neighbour within any cutoff: the width of the padded slots is one, and all of it padding."""
    made = force_field(0.0, torch.float64)
    atoms = twisted_bilayer("MoS2", angle=0.0)[:1]
    atoms.set_cell([50, 50, 50])
    graph = build_graph(atoms, atoms.arrays["layer"], ("Mo", "S"), 5.0, 8.0)
    energies, forces, virial, _ = gradients_by_parts(made, graph)
    assert torch.isfinite(energies).all() and not forces.any() and not virial.any()


def test_a_part_sees_the_species_beyond_it():
    model = load_model("mos2-bilayer")
    atoms = displaced(twisted_bilayer("MoS2", angle=0.0), 0.05, 3)
    graph = model.graph(atoms, atoms.arrays["layer"])
    part = graph.part(slice(2, 4))
    assert torch.equal(part.species_around(), graph.species_around()[2:4])
