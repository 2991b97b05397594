"""The quantities that a model is judged by, and the bars that a training configuration sets for them."""

from __future__ import annotations

import math

from ..schema import entries, list_of, number

#: Rows of the table: key, quantity, unit. {formula} is the formula of a layer.
QUANTITIES = [
    ("force_mild", "force MAE, sigma <= 0.03 Å", "meV/Å"),
    ("layer_force", "lateral net force on a layer per {formula}, sigma = 0, MAE", "meV/Å"),
    ("energy_mild", "energy MAE, sigma <= 0.03 Å", "meV/atom"),
    ("elements", "H elements within 12 Å, sigma <= 0.03 Å, MAE", "meV"),
    ("inter_r2", "inter-layer elements, R² about their mean", ""),
    ("eigenvalues", "eigenvalues within 1 eV of the gap, sigma <= 0.03 Å, MAE", "meV"),
]


#: Check of `bars`: keys of QUANTITIES, each with a first bar and an aim.
are_bars = entries(
    list_of(number(-math.inf), "a list of two numbers, first bar and aim", length=2),
    "a mapping from quantities to [first bar, aim]",
    known=[key for key, *_ in QUANTITIES],
)
