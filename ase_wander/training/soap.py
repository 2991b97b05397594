"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners (Vyas et al., arXiv:2409.11321, algorithm 3).

The networks here are small and their errors must become small: where Adam crawls along the valleys of an
ill-conditioned loss, SOAP turns every matrix of weights into the axes in which its gradients are uncorrelated first.
"""

from __future__ import annotations

import torch

#: Sides of a matrix beyond this keep their own axes: the eigenvectors would cost more than they save.
LARGEST_SIDE = 1024


class SOAP(torch.optim.Optimizer):
    """Optimiser for parameters (..., m, n): matrices, or stacks of them such as one per species; vectors get Adam.

    With the gradient G of a matrix, L = <G G^T>, R = <G^T G> (exponential averages), Q_L and Q_R their eigenvectors:
    Adam's step is taken for Q_L^T G Q_R and turned back. Q_L and Q_R follow L and R by one step of orthogonal
    iteration every `every` steps.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
    lr : float
    betas : (float, float)
        Decay of the averages of gradient and squared gradient; the second is that of L and R as well.
    eps, weight_decay : float
        As in AdamW: the decay is decoupled from the gradient.
    every : int
        Steps between two updates of the eigenvectors.
    """

    def __init__(self, params, lr=3e-3, betas=(0.95, 0.95), eps=1e-8, weight_decay=0.0, every=10):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "every": every})

    @torch.no_grad()
    def step(self, closure=None):
        """One step for all parameters that have a gradient; the loss of `closure`, where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, group)
        return loss

    def _step(self, p, group):
        state, matrix = self.state[p], p.dim() > 1 and min(p.shape[-2:]) > 1
        gradient = p.grad.reshape(-1, *p.shape[-2:]) if matrix else p.grad
        if not state:
            self._begin(state, gradient, matrix)
        beta, square_beta = group["betas"]
        if matrix:
            _learn(state, gradient, square_beta)
            if state["step"] == 0:
                _find_axes(state)
        state["step"] += 1
        t = state["step"]
        state["mean"].lerp_(gradient, 1 - beta)
        seen, mean = (_turned(state, x) if matrix else x for x in (gradient, state["mean"]))
        state["square"].lerp_(seen.square(), 1 - square_beta)
        update = mean / (1 - beta**t) / ((state["square"] / (1 - square_beta**t)).sqrt() + group["eps"])
        if matrix:
            update = _turned_back(state, update)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        if t > 1 or not matrix:  # the first gradient has chosen the axes itself: no step before a second one
            p.add_(update.reshape(p.shape), alpha=-group["lr"])
        if matrix and t % group["every"] == 0:
            _follow_axes(state)

    @staticmethod
    def _begin(state, gradient, matrix):
        state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        for name, side in (("left", 1), ("right", 2)) if matrix else ():
            n = gradient.shape[side]
            if n <= LARGEST_SIDE:
                state[name] = gradient.new_zeros(len(gradient), n, n)


def _learn(state, gradient, beta):
    """L and R from one more gradient (b, m, n)."""
    if "left" in state:
        state["left"].lerp_(gradient @ gradient.mT, 1 - beta)
    if "right" in state:
        state["right"].lerp_(gradient.mT @ gradient, 1 - beta)


def _find_axes(state):
    """Eigenvectors of L and R, largest eigenvalue first."""
    for name in ("left", "right"):
        if name in state:
            state[f"{name}_axes"] = torch.linalg.eigh(state[name])[1].flip(-1)


def _follow_axes(state):
    """One step of orthogonal iteration; the squared gradients go with their axes, sorted by the eigenvalues."""
    for name, side in (("left", 1), ("right", 2)):
        if name not in state:
            continue
        matrix, axes = state[name], state[f"{name}_axes"]
        order = (axes * (matrix @ axes)).sum(1).argsort(dim=-1, descending=True)
        axes = axes.gather(2, order.unsqueeze(1).expand_as(axes))
        along = order.unsqueeze(2 if side == 1 else 1).expand_as(state["square"])
        state["square"] = state["square"].gather(side, along)
        state[f"{name}_axes"] = torch.linalg.qr(matrix @ axes)[0]


def _turned(state, x):
    """Q_L^T x Q_R."""
    if "left" in state:
        x = state["left_axes"].mT @ x
    return x @ state["right_axes"] if "right" in state else x


def _turned_back(state, x):
    """Q_L x Q_R^T."""
    if "left" in state:
        x = state["left_axes"] @ x
    return x @ state["right_axes"].mT if "right" in state else x
