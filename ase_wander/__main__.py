"""`python -m ase_wander`."""

import sys

from .cli import main

sys.exit(main())
