"""`python -m zoo.cli`, for use without the console script."""

import sys

from zoo.cli import main

sys.exit(main())
