"""What a training keeps of its geometries: the same losses and gradients as without, within rounding."""

from dataclasses import replace

import pytest
import torch

from ase_wander import kernels
from ase_wander.nn.constant import bytes_needed, constant_parts
from ase_wander.nn.coupling import couple
from ase_wander.nn.environment import ChannelProduct
from ase_wander.nn.forcefield import energy_and_gradients
from ase_wander.training.stages import constant
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.train import new_model
from tests.training_setup import CONFIG

WEIGHTS = {"energy": 4.0, "forces": 1.0, "stress": 0.5, "layer": 1.0}
EIGHT = {**CONFIG, "force_field": {**CONFIG["force_field"], "n_channels": 8}}


def without_loops(monkeypatch):
    monkeypatch.setenv(kernels.SWITCH, "0")


def make_samples(configurations, config=EIGHT, dtype=torch.float64):
    torch.manual_seed(0)
    model = new_model(config).to(dtype)
    samples = ForceFieldSamples(configurations, model, dtype)
    samples.fit_reference(), samples.fit_normalisation()
    model.force_field.contact.fill_(2.6)  # inside the walls of the repulsion, which training data stay out of
    with torch.no_grad():
        model.force_field.linear.normal_()
    model.force_field.train().noise = 0.1
    return samples


def loss_and_gradients(samples, megabytes, indices=(0, 2, 1)):
    samples.cache = megabytes
    torch.manual_seed(3)
    loss = samples.loss(list(indices), WEIGHTS)[0]
    parameters = dict(samples.model.force_field.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return loss.detach(), dict(zip(parameters, found))


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("dtype, exact, rounded", [(torch.float64, 1e-12, 1e-10), (torch.float32, 1e-6, 1e-3)])
def test_losses_and_gradients_do_not_change(configurations, monkeypatch, loops, dtype, exact, rounded):
    if not loops:
        without_loops(monkeypatch)
    samples = make_samples(configurations[:4], dtype=dtype)
    loss, gradients = loss_and_gradients(samples, 0)
    cached, of_cached = loss_and_gradients(samples, 1000)
    assert samples.samples[0].constant is not None
    assert cached.item() == pytest.approx(loss.item(), rel=exact)
    for name, g in gradients.items():
        assert (g is None) == (of_cached[name] is None), name
        if g is not None:
            assert (of_cached[name] - g).norm() <= rounded * g.norm(), name


def test_forces_and_virial_from_the_maps(configurations):
    """J dE/dA + K C + constant is -dE/dr and dE/d(strain), of a cell where walls and tail act."""
    samples = make_samples(configurations[:2])
    ff, s = samples.model.force_field.eval(), samples.samples[0]
    total, forces, virial = constant.predict(ff, [s])
    energies, *expected, _ = energy_and_gradients(ff, replace(s.graph))
    reference = ff.reference_energy[s.graph.species].sum()
    assert constant_parts(ff, s.graph).repulsion > 0.1
    assert total.item() == pytest.approx((energies.sum() - reference).item(), abs=1e-10)
    for found, wanted in zip((forces, virial), expected):
        assert torch.allclose(found, wanted, atol=1e-10, rtol=0)


def test_a_batch_gives_what_its_configurations_give_alone(configurations):
    samples = make_samples(configurations[:4])
    samples.model.force_field.eval()
    together = samples.predict([3, 0, 2])
    alone = [samples.predict([k]) for k in (3, 0, 2)]
    for found, parts in zip(together, zip(*alone)):
        assert torch.allclose(found, torch.cat(parts), atol=1e-11, rtol=0)


def test_memory_is_bounded(configurations):
    """Where it does not suffice nothing is kept; what is said to be needed is what is held."""
    samples = make_samples(configurations[:4])
    ff = samples.model.force_field
    needed = sum(bytes_needed(ff, len(s.graph), torch.float64) for s in samples.samples)
    loss_and_gradients(samples, 0.99e-6 * needed)
    assert all(s.constant is None for s in samples.samples)
    loss_and_gradients(samples, 1.01e-6 * needed, indices=range(4))
    held = sum(t.nbytes for s in samples.samples for t in vars(s.constant).values())
    assert held == pytest.approx(needed, rel=0.01)


def test_switched_on_after_a_step_without(configurations):
    """What is kept carries no history of differentiation, whatever was done with the graphs before."""
    samples = make_samples(configurations[:2])
    loss_and_gradients(samples, 0, indices=[0])
    loss_and_gradients(samples, 1000, indices=[0])
    assert not any(t.requires_grad for t in vars(samples.samples[0].constant).values())


def test_walls_that_are_fitted_anew_are_seen(configurations):
    samples = make_samples(configurations[:2])
    samples.predict([0])
    samples.fit_contacts()
    assert samples.samples[0].constant is None


@pytest.mark.parametrize("l_max, l_out", [(4, 3), (2, 2)])
def test_products_by_loops(monkeypatch, l_max, l_out):
    """Values and derivatives of first and second order of the compiled products are those of torch."""
    torch.manual_seed(1)
    product = ChannelProduct(2, 8, 8, l_max, l_out)
    ab = [torch.randn(3, 2 * l + 1, 16, dtype=torch.float64, requires_grad=True) for l in range(l_max + 1)]
    weights = [torch.randn(3, 2 * l + 1, 8 * len(p), dtype=torch.float64) for l, p in enumerate(product.paths)]
    vectors = [torch.randn_like(t) for t in ab]

    def derivatives():
        weight = [w.clone().requires_grad_(True) for w in weights]
        products = couple(product, ab)
        first = torch.autograd.grad(
            sum((w * p).sum() for w, p in zip(weight, products)), ab, create_graph=True, materialize_grads=True
        )
        second = torch.autograd.grad(sum((v * g).sum() for v, g in zip(vectors, first)), [*ab, *weight])
        return [*products, *first, *second]

    compiled = derivatives()
    without_loops(monkeypatch)
    for a, b in zip(compiled, derivatives()):
        assert torch.allclose(a, b, atol=1e-12, rtol=0)
