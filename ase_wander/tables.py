"""Small HTML tables, which notebooks show for calculators, Hamiltonians and models."""

from __future__ import annotations

from html import escape


def html_table(title: str, rows) -> str:
    """An HTML table of (name, value) pairs under a title; rows whose value is None are left out."""
    cells = "".join(
        f"<tr><td style='text-align:left'>{escape(str(name))}</td>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{cells}</table>"


def shells_in_words(shells) -> str:
    """Shells of every species in letters: "Mo d, S p", "C pz"."""
    letter = lambda shell: shell if isinstance(shell, str) else "spdf"[shell]
    return ", ".join(f"{symbol} {' '.join(map(letter, own))}" for symbol, own in shells.items())


def model_table(model) -> str:
    """What a model is and knows (any `Model`)."""
    layers = model.config.get("layers")
    return html_table(
        f"{model.name} ({model.kind})",
        [
            ("species and shells", shells_in_words(model.shells)),
            ("gives", ", ".join(model.implemented_properties)),
            ("cutoff of the Hamiltonian", f"{model.cutoff:g} Å"),
            ("layers in its data", ", ".join(map(str, layers)) if layers else None),
            ("parameters", f"{model.n_parameters:,}"),
            ("precision, device", f"{str(model.dtype).replace('torch.', '')}, {model.device}"),
            ("uncertainty", "fitted" if model.trust is not None else "none"),
            ("weights", model.digest[:12]),
        ],
    )
