"""Counted nouns and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


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


def listed(texts: Sequence[str], most: int) -> str:
    """Lists texts, at most `most` of them, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
