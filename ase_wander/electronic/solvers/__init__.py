"""Eigenvalue problems of large sparse Hamiltonians."""
