"""SOAP: Adam where nothing is to be turned, and a straight way down a valley where Adam goes askew."""

import pytest
import torch

from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.soap import SOAP


def quadratic(shape, condition=1e4, seed=0):
    """|A (W - W0) B|^2 with badly conditioned A and B, in axes of their own, and a start."""
    g = torch.Generator().manual_seed(seed)
    *stack, m, n = shape
    target = torch.randn(shape, generator=g, dtype=torch.float64)

    def badly(k):
        q = torch.linalg.qr(torch.randn(*stack, k, k, generator=g, dtype=torch.float64))[0]
        return q * torch.logspace(0, -0.25 * torch.log10(torch.tensor(condition)).item(), k, dtype=torch.float64)

    a, b = badly(m), badly(n)
    return lambda w: (a.mT @ (w - target) @ b).square().sum()


def minimised(optimiser, loss_of, shape, steps, lr):
    w = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
    run = optimiser([w], lr=lr)
    for step in range(steps):
        run.param_groups[0]["lr"] = lr * (1 - step / steps)
        run.zero_grad()
        loss = loss_of(w)
        loss.backward()
        run.step()
    return loss_of(w).item()


@pytest.mark.parametrize("shape", [(12, 8), (2, 6, 10)])
def test_soap_goes_down_a_turned_valley_that_adam_does_not(shape):
    loss_of = quadratic(shape)
    of = {optimiser: minimised(optimiser, loss_of, shape, 400, 0.05) for optimiser in (SOAP, torch.optim.Adam)}
    assert of[SOAP] < 0.1 * of[torch.optim.Adam]


def test_vectors_get_the_step_of_adam():
    """The same averages, bias correction and decoupled decay as torch's AdamW."""
    a, b = (torch.nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64)) for _ in range(2))
    runs = [
        SOAP([a], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
        torch.optim.AdamW([b], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    ]
    for _ in range(20):
        for w, run in zip((a, b), runs):
            run.zero_grad()
            (w.sin() * torch.arange(7)).sum().backward()
            run.step()
    torch.testing.assert_close(a, b, rtol=1e-10, atol=0)


def test_the_step_turns_with_the_weights():
    """Weights and gradients in other axes, W -> U W V^T, make the same run in those axes: what Adam does not do."""
    g = torch.Generator().manual_seed(3)
    u, v = (torch.linalg.qr(torch.randn(k, k, generator=g, dtype=torch.float64))[0] for k in (5, 4))
    loss_of = quadratic((5, 4), seed=2)
    straight = torch.nn.Parameter(torch.zeros(5, 4, dtype=torch.float64))
    turned = torch.nn.Parameter(torch.zeros(5, 4, dtype=torch.float64))
    runs = [SOAP([straight], lr=0.02), SOAP([turned], lr=0.02)]
    for _ in range(8):
        for w, run, seen in ((straight, runs[0], lambda w: w), (turned, runs[1], lambda w: u.mT @ w @ v)):
            run.zero_grad()
            loss_of(seen(w)).backward()
            run.step()
    torch.testing.assert_close(u.mT @ turned @ v, straight, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_makes_the_same_steps(tmp_path):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))

    def train(folder, stop=None):
        torch.manual_seed(5)
        module, calls = torch.nn.Linear(3, 2), [0]

        def loss_of(indices):
            calls[0] += 1
            if calls[0] == stop:
                raise KeyboardInterrupt
            return (module(x[indices]).sin() - 1).square().mean(), {}

        settings = LoopSettings(steps=24, batch=2, lr=1e-2, warmup=2, optimiser="soap", checkpoint_every=0.0)
        folder.mkdir(exist_ok=True)
        fit(module, 8, loss_of, settings, folder, "stage", resume=stop is None)
        return module.state_dict()

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop=15)
    cut = train(tmp_path / "cut")
    assert all(torch.equal(whole[k], cut[k]) for k in whole)
