"""Every kind of model offers what calculator, evaluation and command line ask for."""

import inspect

import pytest
import torch

from ase_wander import load_model
from ase_wander.electronic.blocks import PairBlocks
from ase_wander.model.protocol import Model
from ase_wander.moire import twisted_bilayer
from ase_wander.published.model import PublishedModel
from ase_wander.published.networks import published_networks
from ase_wander.published.template import ideal_template
from ase_wander.structure import find_layers


def models():
    return [load_model("mos2-bilayer"), PublishedModel(published_networks().eval(), ideal_template())]


def test_both_kinds_are_models():
    for model in models():
        assert isinstance(model, Model)
        assert model.dtype in model.precisions and model.n_parameters > 1000 and model.device.type == "cpu"
        options = inspect.signature(model.hamiltonian).parameters
        assert ("progress" in options) == model.reports_progress and ("hermitian" in options) != model.is_equivariant
    assert not isinstance("mos2-bilayer", Model) and not isinstance(torch.nn.Linear(1, 1), Model)


@pytest.mark.parametrize("stacking, taken", [("H", (True, True)), ("R", (True, False))])
def test_a_model_takes_a_structure_or_says_why_not(stacking, taken):
    """The published networks know antiparallel bilayers alone."""
    atoms = twisted_bilayer("MoS2", m=2, r=1, stacking=stacking)
    layers = find_layers(atoms)
    for model, yes in zip(models(), taken):
        reason = model.refusal(atoms, layers)
        assert (reason is None) == yes and (yes or "parallel (R)" in reason)
        if yes:
            blocks = model.hamiltonian(atoms, layers)
            assert isinstance(blocks, PairBlocks) and (blocks.opposite() >= 0).all()
            assert model.descriptors(atoms, layers).shape == (len(atoms), model.n_raer)
