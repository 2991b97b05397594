"""Files of our own and of other codes."""
