"""What is computed from bands and Hamiltonians."""
