"""Networks and their layers; nothing of ASE calculators or files."""
