"""How good a model is: errors, symmetry, uncertainty, report, release."""
