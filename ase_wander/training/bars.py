"""The quantities that a model is judged by, and the bars that a training configuration sets for them."""

from __future__ import annotations

from ..checks import is_number

#: Rows of the table: key, quantity, unit. {formula} is the formula of a layer.
QUANTITIES = [
    ("force_mild", "force MAE, sigma <= 0.03 Å", "meV/Å"),
    ("layer_force", "lateral net force on a layer per {formula}, sigma = 0, MAE", "meV/Å"),
    ("energy_mild", "energy MAE, sigma <= 0.03 Å", "meV/atom"),
    ("elements", "H elements within 12 Å, sigma <= 0.03 Å, MAE", "meV"),
    ("inter_r2", "inter-layer elements, R² about their mean", ""),
    ("eigenvalues", "eigenvalues within 1 eV of the gap, sigma <= 0.03 Å, MAE", "meV"),
]


def check_bars(bars, fail) -> None:
    """Check that `bars` maps keys of QUANTITIES to a first bar and an aim; `fail(key, what)` raises."""
    known = [key for key, *_ in QUANTITIES]
    if not isinstance(bars, dict):
        fail("bars", f"{bars!r} is not a mapping from quantities to [first bar, aim]; known: {', '.join(known)}")
    for key, pair in bars.items():
        if key not in known:
            fail(f"bars.{key}", f"unknown; known: {', '.join(known)}")
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(is_number(x) for x in pair):
            fail(f"bars.{key}", f"{pair!r} is not a list of two numbers, first bar and aim")
