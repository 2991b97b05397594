"""Reference data: what they hold, where they come from."""
