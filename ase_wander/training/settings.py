"""Settings of a stage's loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..checks import is_number
from ..schema import integer, number, one_of, setting

#: Random numbers of a step are seeded by 1,000,003 x seed + step, which must fit into 63 bits.
LARGEST_SEED = 2**32 - 1

#: Memory (MB) for what does not depend on weights.
CACHE = 3000.0


def is_share(value):
    """Check of a share above 0, up to 1."""
    return None if is_number(value) and 0 < value <= 1 else "is not a share above 0, up to 1"


def is_name_of_error(value):
    """Check of `monitor`; whether the validation knows the name depends on the stage."""
    return None if isinstance(value, str) else "is not the name of a validation error"


@dataclass
class LoopSettings:
    """Settings of one stage.

    Attributes
    ----------
    steps : int
        Steps of the optimiser.
    batch : int
        Configurations per step.
    lr, lr_final : float
        Start and end of the learning rate, half a cosine.
    warmup : int
        Steps in which the learning rate rises linearly.
    optimiser : str
        "adamw", or "soap" (`training.soap`): dearer steps, of which far fewer are needed.
    weight_decay, clip : float
        Of the optimiser, and the largest norm of a gradient.
    average : float
        Decay of the exponential average of the weights, which is what is validated and kept.
    validate_every : int
        Epochs.
    checkpoint_every : float
        Seconds.
    seed : int
    noise : float
        Standard deviation of what a module with an attribute `noise` adds to its hidden features while training; it
        falls with the learning rate. Every process of several draws its own.
    monitor : str
        A validation error. The averaged weights with the lowest one (for R2 the highest) are kept instead of the last.
    patience : int
        Stop after so many validations in a row without a better one; 0: never.
    pairs : float
        Share of every configuration's pairs, drawn again at every step, for a Hamiltonian stage without bands. Hundreds
        of pairs per atom are far and alike: steps get cheaper and learn hardly less.
    cache : float
        Memory (MB) for what of a force field's configurations does not depend on weights and is computed once; where
        it does not suffice, or is 0, that is computed anew at every step. Results are the same within rounding.
    """

    steps: int = setting(integer(), 5000)
    batch: int = setting(integer(), 8)
    lr: float = setting(number(above=0), 5e-3)
    lr_final: float = setting(number(), 1e-5)
    warmup: int = setting(integer(0), 100)
    optimiser: str = setting(one_of(("adamw", "soap")), "adamw")
    weight_decay: float = setting(number(), 1e-5)
    clip: float = setting(number(above=0), 1.0)
    average: float = setting(number(below=1), 0.995)
    validate_every: int = setting(integer(), 10)
    checkpoint_every: float = setting(number(), 60.0)
    seed: int = setting(integer(0, LARGEST_SEED), 1)
    noise: float = setting(number(), 0.0)
    monitor: str = setting(is_name_of_error, "")
    patience: int = setting(integer(0), 0)
    pairs: float = setting(is_share, 1.0)
    cache: float = setting(number(), CACHE)

    def rate(self, step: int) -> float:
        """Learning rate at `step`: linear warm-up, then a half cosine from lr to lr_final."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        x = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.lr_final + 0.5 * (self.lr - self.lr_final) * (1 + math.cos(math.pi * min(x, 1.0)))
