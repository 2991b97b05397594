"""Electrons: Wannier Hamiltonians and what follows from them; nothing of networks."""
