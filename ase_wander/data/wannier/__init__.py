"""From Bloch states to Wannier functions."""
