"""Entry point of ``python -m isomax_viz``."""

import sys

from isomax_viz.cli import main

sys.exit(main())
