"""`zoo app`: a page for the browser that shows what a model says of images; needs the extra `app`."""

from __future__ import annotations

from zoo.app.server import run as run
from zoo.app.space import run_space as run_space
