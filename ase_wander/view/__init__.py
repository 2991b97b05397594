"""Results of a run as one HTML file: structure, layer distance, bands and states to look at with the mouse."""

from .data import view_data
from .page import html_page

__all__ = ["html_page", "view_data"]
