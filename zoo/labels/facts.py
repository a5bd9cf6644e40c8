"""What tables and file names tell of a film: sex, age, and the archive it comes from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

#: Ages above are typing errors (NIH's first release has 414) and count as unknown.
OLDEST = 120.0

#: The competition's films of NIH's archive, as those who looked at them tell; its other ones look like CheXpert's.
_FROM_NIH = re.compile(r"200\d*_\d+_000(\.\w+)?")

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([ymwd]?)", re.IGNORECASE)
_UNITS_A_YEAR = {"": 1.0, "y": 1.0, "m": 12.0, "w": 52.18, "d": 365.25}


def sex(text: str) -> str:
    """ "F", "M", or "" for anything else."""
    return _SEXES.get(text.lower(), "")


def years(text: str) -> float | None:
    """An age in years of "58", "58.0" or NIH's older "058Y", "003M", "012D"; None if it is none, NaN if beyond all."""
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    age = float(match[1]) / _UNITS_A_YEAR[match[2].lower()]
    return age if age <= OLDEST else math.nan


def archives(names: Sequence[str]) -> list[str] | None:
    """The archive of each of the competition's films by its name, or None where not both are among them.

    The competition mixes two archives. A network tells them apart in nearly every film, and their labels differ, so
    that a predictor which knows the archive alone reaches some 0.63 of mean AUC: figures need to be seen by archive.
    """
    nih = [_FROM_NIH.fullmatch(name) is not None for name in names]
    return ["competition-nih" if own else "competition-chexpert" for own in nih] if any(nih) and not all(nih) else None
