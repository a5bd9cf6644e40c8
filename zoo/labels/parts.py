"""The parts of a data split, and how files spell them."""

from __future__ import annotations

#: Training fits the weights, validation chooses weights, temperature and thresholds, and test is only evaluated.
PARTS = ("train", "validation", "test")

_SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    # "tune" occurs in files of early drafts of version 0.1.
    **dict.fromkeys(("validation", "val", "valid", "dev", "tune"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_of(text: str) -> str:
    """Returns the part that a text names in any usual spelling, or "" if it names none.

    Example:
        >>> part_of("Valid"), part_of("tune"), part_of("holdout")
        ('validation', 'validation', '')
    """
    return _SPELLINGS.get(text.strip().lower(), "")
