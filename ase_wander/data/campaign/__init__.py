"""Many calculations: configuration, folder, workers, status."""

from ..._moved import moved_names

__getattr__ = moved_names(__name__)
