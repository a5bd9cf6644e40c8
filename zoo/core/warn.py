"""Warnings that point at the user's line, from however deep."""

from __future__ import annotations

import os
import sys
import warnings

from zoo.core.home import PACKAGE

#: With the separator, so that a neighbour whose name only begins alike is outside.
_PACKAGE = f"{PACKAGE}{os.sep}"


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the nearest caller outside the package (Python 3.12 has `skip_file_prefixes` for that)."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
