"""The few configurations of bilayer MoS2 that come with the tests.

The fixtures `configurations` and `model` hold them.
"""

from pathlib import Path

DATA = Path(__file__).parent / "data" / "mos2-small"
