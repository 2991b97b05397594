"""What each class of Hamiltonian elements needs to know: many trainings, one table."""
