"""Checks a value against the JSON Schema keywords of its field, so that reader and schema have the same limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from zoo.config.json_schema import Keywords

#: Keyword -> whether a value is within its limit, and what is said if it is not.
_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "maxItems": (lambda value, limit: len(value) <= limit, "more than {limit} items"),
    "maxProperties": (lambda value, limit: len(value) <= limit, "more than {limit} items"),
    "minItems": (lambda value, limit: len(value) >= limit, "fewer than {limit} items"),
    "minProperties": (lambda value, limit: len(value) >= limit, "fewer than {limit} items"),
    "maxLength": (lambda value, limit: len(value) <= limit, "more than {limit} characters"),
    "minLength": (lambda value, limit: len(value) >= limit, "fewer than {limit} characters"),
    "minimum": (lambda value, limit: value >= limit, "{value!r} is not >= {limit}"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "{value!r} is not > {limit}"),
    "maximum": (lambda value, limit: value <= limit, "{value!r} is not <= {limit}"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "{value!r} is not < {limit}"),
    "uniqueItems": (lambda value, limit: len(set(value)) == len(value), "an item appears twice"),
    "pattern": (lambda value, limit: _matches(limit, value), "{value!r} does not match {limit}"),
    "enum": (lambda value, limit: value in limit, "{value!r} is not one of {limit}"),
    "const": (lambda value, limit: value == limit, "{value!r} is not {limit!r}"),
    "not": (lambda value, limit: problem(Keywords(**limit), value) is not None, "{value!r} is not allowed here"),
}


def problem(rules: Keywords, value: Any) -> str | None:
    """Returns how a value that was read breaks the rules of its field, or None if it keeps them.

    Args:
        rules: Keywords of the field.
        value: A number, text, tuple or mapping of the field's type; None always keeps the rules.

    Example:
        >>> problem(Keywords(minimum=8), 7), problem(Keywords(minimum=8), 8)
        ('7 is not >= 8', None)
    """
    if value is None:
        return None
    for keyword, (keeps, words) in _RULES.items():
        if keyword in rules.keywords and not keeps(value, limit := rules.keywords[keyword]):
            return words.format(value=value, limit=limit)
    if isinstance(value, Mapping):
        return _of_keys(rules, value)
    return None


def too_many(rules: Keywords, value: Any) -> str | None:
    """Returns that a list or object, which may still be unread, has too many items; None if it has not."""
    most = rules.keywords.get("maxItems" if isinstance(value, list | tuple) else "maxProperties")
    if most is None or not isinstance(value, list | tuple | Mapping) or len(value) <= most:
        return None
    return f"more than {most} items"


def _of_keys(rules: Keywords, value: Mapping[str, Any]) -> str | None:
    missing = [key for key in rules.keywords.get("required", ()) if key not in value]
    if missing:
        return f"{missing[0]!r} is missing"
    names = Keywords(**rules.keywords.get("propertyNames", {}))
    return next((found for key in value if (found := problem(names, key))), None)


def _matches(pattern: str, text: str) -> bool:
    """Matches by ECMA-262, in which "$" is the very end; Python would also accept a final line break."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None
