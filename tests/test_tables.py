"""What notebooks and log files show."""

import logging

from ase_wander import WanderCalculator, load_model
from ase_wander.moire import twisted_bilayer
from ase_wander.tables import html_table, shells_in_words


def test_table_escapes_what_is_no_markup():
    table = html_table("<a>", [("x", "1 < 2"), ("nothing", None)])
    assert "&lt;a&gt;" in table and "1 &lt; 2" in table and "nothing" not in table


def test_shells_are_named_by_letters():
    assert shells_in_words({"Mo": (2,), "S": (1,)}) == "Mo d, S p" and shells_in_words({"C": ("pz",)}) == "C pz"


def test_notebooks_show_models_calculators_and_hamiltonians(caplog):
    model = load_model("mos2-bilayer")
    calculator = WanderCalculator(model)
    assert model.digest[:12] in model._repr_html_() and calculator._repr_html_() == model._repr_html_()
    with caplog.at_level(logging.INFO, "ase_wander"):
        h = calculator.get_wannier_hamiltonian(twisted_bilayer("MoS2", angle=0.0))
    table = h._repr_html_()
    assert "Mo2S4" in table and "22 without spin" in table and f"{sum(b.nnz for b in h.blocks):,}" in table
    assert "Hamiltonian of 6 atoms, 22 orbitals" in caplog.text
