"""The parts of a data split, and how files spell them."""

from __future__ import annotations

#: Learnt from; fitted and chosen on (early stopping, temperature, thresholds); reported and nothing else.
PARTS = ("train", "validation", "test")

_SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    # "tune" is what files of version 0.1's first drafts hold.
    **dict.fromkeys(("validation", "val", "valid", "dev", "tune"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_of(text: str) -> str:
    """The part that a text names, in any usual spelling; "" where it names none.

    Example:
        >>> part_of("Valid"), part_of("tune"), part_of("holdout")
        ('validation', 'validation', '')
    """
    return _SPELLINGS.get(text.strip().lower(), "")
