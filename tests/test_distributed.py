"""Training by several processes: shares add up to the batch, two processes equal one."""

import pytest
import torch

from ase_wander.data.dataset import load_dataset
from ase_wander.training.forcefield_stage import ForceFieldSamples
from ase_wander.training.hamiltonian_stage import HamiltonianSamples
from ase_wander.training.train import new_model
from tests.test_training import CONFIG, DATA, STAGES


@pytest.mark.parametrize("number, samples_of", [(0, ForceFieldSamples), (1, HamiltonianSamples)])
def test_losses_of_the_shares_add_up_to_that_of_the_batch(number, samples_of):
    """Shares of unequal size, of configurations with unequal numbers of atoms and unequal weights."""
    torch.manual_seed(0)
    model = new_model(CONFIG).double()
    configurations = load_dataset(DATA)
    samples, weights = samples_of(configurations, model, torch.float64), STAGES[number]["weights"]
    for k, sample in enumerate(samples.samples):
        sample["sigma"] = 0.02 * k
    samples.fit_normalisation()
    batch = list(range(len(samples)))
    parameters = [p for p in (model.heads if number else model.force_field).parameters() if p.requires_grad]

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)])

    whole, terms = samples.loss(batch, weights)
    shares = [samples.loss(share, weights, batch) for share in (batch[:1], batch[1:])]
    assert sum(loss.item() for loss, _ in shares) == pytest.approx(whole.item(), rel=1e-12)
    assert {k: sum(t[k] for _, t in shares) for k in terms} == pytest.approx(terms, rel=1e-12)
    assert torch.allclose(sum(gradient(loss) for loss, _ in shares), gradient(whole), rtol=1e-9, atol=1e-12)
