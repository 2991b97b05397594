"""The paper's own networks, inputs and files."""

from .._moved import moved_names

__getattr__ = moved_names(__name__)
