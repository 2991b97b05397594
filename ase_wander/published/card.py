"""The card of a model of the published networks."""

from __future__ import annotations


def card_text(model) -> str:
    """Text of `card.md`: source, species, offsets, hash of the weights."""
    return (
        f"# {model.name}\n\n"
        "Networks of the published WANDER (Qi, Gong, Yan, npj Comput. Mater. 2025, doi "
        "10.1038/s41524-025-01668-5):\n"
        f"2 force networks, 15 Hamiltonian networks, {model.n_parameters} weights.\n\n"
        f"- Source: {model.provenance or 'not recorded'}\n"
        f"- Species: {', '.join(model.species)}; layers "
        f"{' and '.join('parallel' if o == (1, 1) else 'antiparallel' for o in model.orientations)}\n"
        f"- Vacuum-level offsets: {model.layer_offsets[0]} eV (bottom), {model.layer_offsets[1]} eV (top)\n"
        "- Gives direct forces without an energy; "
        f"{'rounds as the published files do' if model.rounding else 'no rounding'}\n"
        f"- sha256 of the weights: {model.digest}\n"
    )
