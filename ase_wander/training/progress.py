"""What a run reports while it goes on: errors by name, in physical units."""

from __future__ import annotations

#: Errors that are followed, by their key in the validation: what they are called, their unit, their key in training.
ERRORS = {
    "force": ("forces", "meV/Å", "force_meV"),
    "layer_force": ("net force on a layer", "meV/Å", None),
    "energy": ("energy", "meV/atom", "energy_meV"),
    "virial": ("virial", "meV/atom", None),
    "elements": ("elements of H", "meV", "H_meV"),
    "onsite": ("on-site elements", "meV", "onsite_meV"),
    "eigenvalues": ("eigenvalues near the gap", "meV", "eig_meV"),
    "projections": ("band projections", "meV", "proj_meV"),
    "vacuum_step": ("vacuum step", "meV", "step_meV"),
}


def progress_line(row: dict, steps: int) -> str:
    """One line of text for a row of the log of a stage of so many steps.

    >>> progress_line({"stage": "elements", "step": 20, "epoch": 2.0, "train": {"loss": 1.5, "H_meV": 3.14159},
    ...                "validation": {"elements": 2.5, "inter_R2": 0.97}}, 100)
    'elements 20/100: training elements of H 3.14 meV; validation elements of H 2.5 meV; loss 1.5'
    """
    parts = [
        text
        for where, key in (("training", "train"), ("validation", "validation"))
        if (text := _errors(row, where, key))
    ]
    parts.append(f"loss {row['train']['loss']:.3g}")
    if "best_step" in row:
        parts.append(f"{'stopped, ' if row['stopped'] else ''}best at step {row['best_step']}")
    return f"{row['stage']} {row['step']}/{steps}: " + "; ".join(parts)


def _errors(row, where, key):
    """ "training energy 1.2 meV/atom, forces 3.4 meV/Å"; what is exactly zero in training is not trained on."""
    found = []
    for name, (label, unit, in_training) in ERRORS.items():
        value = row.get(key, {}).get(name if key == "validation" else in_training)
        if value:
            found.append(f"{label} {value:.3g} {unit}")
    return f"{where} {', '.join(found)}" if found else ""
