"""Quantities computed from bands and Hamiltonians."""
