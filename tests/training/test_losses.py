"""Losses: gradients against finite differences, gauge freedom, what the band projections say to first order."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from ase_wander.training import losses


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def normal(*shape, generator, scale=1.0):
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_(True)


def hermitian(n_k, n, generator):
    a = torch.complex(*(torch.randn(n_k, n, n, generator=generator, dtype=torch.float64) for _ in range(2)))
    return a + a.conj().transpose(1, 2)


@pytest.fixture
def bands(generator):
    """H(k) of five orbitals at three k-points with its states and energies, two of them degenerate at the first."""
    energies, states = torch.linalg.eigh(hermitian(3, 5, generator))
    energies[0, 2] = energies[0, 1]
    h = states @ torch.diag_embed(energies).to(states.dtype) @ states.conj().transpose(1, 2)
    return h, states, energies, torch.rand(3, generator=generator, dtype=torch.float64)


def small_change(generator, size=1e-3):
    return size * hermitian(3, 5, generator)


# ---------------------------------------------------------------- gradients
@pytest.mark.parametrize(
    "loss, shape, scale",
    [
        (losses.energy_loss, (4,), 2e-4),
        (losses.force_loss, (4, 3), 2e-3),
        (losses.stress_loss, (4, 3, 3), 2e-3),
        (losses.layer_loss, (4, 2, 3), 1e-3),
    ],
)
def test_gradients_of_the_force_fields_losses(loss, shape, scale, generator):
    """Errors about the scale where quadratic turns to linear, weights of which one is zero."""
    error, weight = (
        normal(*shape, generator=generator, scale=scale),
        torch.tensor([1.0, 0.5, 0.0, 2.0], dtype=torch.float64),
    )
    assert gradcheck(lambda e: loss(e / 100, weight), (100 * error.detach()).requires_grad_(True), eps=1e-5, atol=1e-8)


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_gradient_of_the_elements_loss(power, generator):
    error, scale = (
        normal(3, 5, 3, generator=generator, scale=1e-3),
        torch.tensor([0.4, 0.02, 0.001], dtype=torch.float64),
    )
    assert gradcheck(lambda e: losses.element_loss(e, scale, power), error, eps=1e-8, atol=1e-3, rtol=1e-5)


def test_gradients_of_on_site_and_vacuum_step_losses(generator):
    error = normal(7, generator=generator, scale=3e-3)
    for loss in (losses.onsite_loss, lambda e: losses.vacuum_step_loss(e).sum()):
        assert gradcheck(loss, error, eps=1e-8, atol=1e-4, rtol=1e-5)


def test_gradient_of_the_eigenvalue_loss(bands, generator):
    h, _, energies, kweights = bands
    weight = kweights[:, None] * losses.band_importance(losses.band_window(energies, 2))
    start = (h + small_change(generator, 0.02)).requires_grad_(True)

    def loss(h):
        return losses.eigenvalue_loss(torch.linalg.eigvalsh(0.5 * (h + h.conj().transpose(1, 2))) - energies, weight)

    assert gradcheck(loss, start, eps=1e-7, atol=1e-3, rtol=1e-5)


def test_gradient_of_the_projection_loss(bands, generator):
    h, states, energies, kweights = bands
    importance = losses.band_importance(losses.band_window(energies, 2))
    start = (h + small_change(generator, 0.01)).requires_grad_(True)
    assert gradcheck(
        lambda h: losses.projection_loss(h, states, energies, importance, kweights),
        start,
        eps=1e-7,
        atol=1e-3,
        rtol=1e-5,
    )


# ---------------------------------------------------------------- physics
def test_projections_do_not_know_the_gauge(bands, generator):
    """Phases of the states, and a rotation within the degenerate pair, change nothing.

    A rotation of other bands does.
    """
    h, states, energies, kweights = bands
    arguments = energies, losses.band_importance(losses.band_window(energies, 2)), kweights
    wrong = h + small_change(generator)
    loss = losses.projection_loss(wrong, states, *arguments)
    phases = torch.exp(2j * np.pi * torch.rand(3, 1, 5, generator=generator, dtype=torch.float64))
    pair = torch.eye(5, dtype=states.dtype).repeat(3, 1, 1)
    pair[0, 1:3, 1:3] = torch.linalg.qr(hermitian(1, 2, generator)[0])[0]
    assert losses.projection_loss(wrong, states * phases @ pair, *arguments).item() == pytest.approx(
        loss.item(), rel=1e-10
    )
    pair[1] = pair[0]
    assert losses.projection_loss(wrong, states @ pair, *arguments).item() != pytest.approx(loss.item(), rel=1e-2)


def test_projections_vanish_at_the_reference_alone(bands, generator):
    """An H with all the right eigenvalues and other states has no eigenvalue error, and a projection error."""
    h, states, energies, kweights = bands
    arguments = states, energies, torch.ones_like(energies), kweights
    turned, _ = torch.linalg.qr(hermitian(3, 5, generator))
    same_bands = turned @ h @ turned.conj().transpose(1, 2)
    assert losses.projection_loss(h, *arguments) < 1e-10
    assert (torch.linalg.eigvalsh(same_bands) - energies).abs().max() < 1e-12
    assert losses.projection_loss(same_bands, *arguments) > 100


def test_projections_are_first_order_bands_and_mixing(bands, generator):
    """D_mm - E_m is the shift of a band; sum |D_mm'|^2/(E_m - E_m')^2 over occupied and empty bands half the change of
    the
    projector on the occupied ones."""
    h, states, energies, _ = bands
    wrong = h + small_change(generator, 1e-5)
    d = losses.in_reference_bands(wrong, states)
    new, c = torch.linalg.eigh(wrong)
    shift = torch.diagonal(d, dim1=1, dim2=2).real - energies
    assert (new - energies - shift)[1:].abs().max() < 1e-2 * shift.abs().max()  # bands that are alone
    n = 3  # the degenerate pair is occupied
    projector = lambda c: c[:, :, :n] @ c[:, :, :n].conj().transpose(1, 2)
    change = (projector(c) - projector(states)).abs().square().sum((1, 2))
    mixing = (d[:, :n, n:].abs() / (energies[:, None, n:] - energies[:, :n, None])).square().sum((1, 2))
    assert torch.allclose(change, 2 * mixing, rtol=1e-2)


def test_far_bands_count_by_their_mixing(bands):
    energies = torch.tensor([[0.0, 0.0, 10.0]], dtype=torch.float64)
    w = losses.band_mixing_weight(energies, reach=1.0)[0]
    assert w[0, 1] == w[0, 0] == 1 and w[0, 2].item() == pytest.approx(1 / 10**2, rel=2e-2)


def test_bloch_sum_is_that_of_the_definition(generator):
    """A chain with hopping t: E(k) = 2 t cos 2 pi k."""
    t, k = -0.7, torch.linspace(0, 1, 5, dtype=torch.float64)
    real_space = torch.tensor([0.0, t, t], dtype=torch.float64).reshape(3, 1, 1)
    angle = 2 * np.pi * k[:, None] * torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    h = losses.bloch_sum(real_space, angle.cos(), angle.sin())
    assert torch.allclose(h[:, 0, 0], (2 * t * torch.cos(2 * np.pi * k)).to(h.dtype), atol=1e-12)


def test_bands_near_the_gap_are_those_about_its_edges_or_about_an_overlap():
    insulator = torch.tensor([[-3.0, -0.5, 1.0, 1.9], [-2.0, 0.0, 1.5, 9.0]])
    assert losses.band_window(insulator, 2).tolist() == [[False, True, True, True], [False, True, True, False]]
    overlap = torch.tensor(
        [[-4.0, 3.0], [0.0, 8.0], [-0.5, 0.0]]
    )  # empty states reach down to 0, occupied ones up to 0
    metal = torch.tensor([[-4.0, 0.5], [3.0, 8.0], [-0.4, 4.5]])  # and up to 3, beyond the lowest empty one at 0.5
    assert losses.band_window(overlap, 1).tolist() == [[False, False], [True, False], [True, True]]
    assert losses.band_window(metal, 1).tolist() == [[False, True], [True, False], [True, False]]


def test_robust_losses_turn_from_quadratic_to_linear():
    x = torch.tensor([1e-3, 1e3], dtype=torch.float64)
    assert losses.robust(x, 1.0).tolist() == pytest.approx([0.5e-6, 999.0], rel=1e-3)
