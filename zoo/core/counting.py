"""Counted nouns in sentences."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """Writes a number with its noun, and a verb if there is one.

    Args:
        n: The number.
        one: What follows the number 1, such as "image" or "image is".
        many: What follows any other number; by default the regular plural of `one`, a single noun.

    Example:
        >>> counted(1, "image"), counted(1200, "study"), counted(0, "patient has", "patients have")
        ('1 image', '1,200 studies', '0 patients have')
    """
    if not many:
        many = f"{one[:-1]}ies" if one.endswith("y") and one[-2:-1] not in ("a", "e", "o", "u") else f"{one}s"
    return f"{n:,} {one if n == 1 else many}"
