"""`python -m zoo.cli`, where no console script is at hand."""

import sys

from zoo.cli import main

sys.exit(main())
