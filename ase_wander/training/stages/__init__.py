"""Samples, losses and errors of every kind of stage."""
