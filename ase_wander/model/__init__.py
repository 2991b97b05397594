"""Models of our own: from atoms to energy, RAER and Hamiltonian."""

from .._moved import moved_names

__getattr__ = moved_names(__name__)
