"""`python -m ase_wander.cli`."""

import sys

from . import main

sys.exit(main())
