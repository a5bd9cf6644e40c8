"""Damage to JSON documents: types, numbers at their ends, names, nesting, and text that is nearly JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from soak.mutation import Rng

#: Keys and places from the root to a value.
Path: TypeAlias = tuple[Any, ...]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e308, -1e308, 2**31, 2**63, 2**64, -(2**63), 10**30, "", " ",
    "0", "nan", "../../x", "/etc/passwd", "\u0000", "\u202e", "x" * 100_000, [], {}, [[]], [None], {"": 1},
    ["a"] * 2000,    {"class_name": "Lambda", "config": {}}, "os:system", [0.5], [0.5, 0.5], [0.5] * 1000, "Edema",
    "tiny", "tiny0",
    float("nan"), float("inf"), -float("inf"), 1.0000001, 1e-45, 0.3, 300, "main", "float16", "int8",
)  # fmt: skip

KEYS = ("class_name", "module", "registered_name", "__class__", "format_version", "name", "é", "", "findings", "logits")


def damaged(text: str, rng: Rng) -> tuple[str, str]:
    """A document, and what was done to it."""
    if rng.random() < 0.15:
        name = [*TEXTS][rng.integers(len(TEXTS))]
        return TEXTS[name](text, rng), name
    document = json.loads(text)
    done = ""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        name = [*CHANGES][rng.integers(len(CHANGES))]
        places = _places(document)
        done = name if CHANGES[name](document, places[rng.integers(len(places))], places, rng) else done
    return json.dumps(document), done or "nothing"


def _places(value: Any, at: Path = ()) -> list[Path]:
    """All places below the root; of long lists the first ones."""
    found: list[Path] = [at] if at else []
    keys = [*value] if isinstance(value, dict) else range(min(len(value), 8)) if isinstance(value, list) else ()
    for key in keys:
        found += _places(value[key], (*at, key))
    return found or [()]


def _holder(document: Any, place: Path) -> Any:
    for key in place[:-1]:
        document = document[key]
    return document


def _set(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    if place:
        _holder(document, place)[place[-1]] = VALUES[rng.integers(len(VALUES))]
    return bool(place)


def _near(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    """A number a little, or a thousand times, beside."""
    holder = _holder(document, place) if place else {}
    value = holder[place[-1]] if place else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    holder[place[-1]] = [value + 1, value - 1, -value, value * 1000, value * 1.001, value / 1000, float(value)][
        rng.integers(7)
    ]
    return True


def _delete(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    if place:
        del _holder(document, place)[place[-1]]
    return bool(place)


def _add(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    holder = _holder(document, place) if place else document
    if isinstance(holder, dict):
        holder[KEYS[rng.integers(len(KEYS))]] = VALUES[rng.integers(len(VALUES))]
    else:
        holder.append(VALUES[rng.integers(len(VALUES))])
    return True


def _swap(document: Any, place: Path, places: list[Path], rng: Rng) -> bool:
    """Two values change places: findings, thresholds, members."""
    siblings = [other for other in places if other[:-1] == place[:-1] and other != place]
    if not siblings:
        return False
    holder, other = _holder(document, place), siblings[rng.integers(len(siblings))]
    holder[place[-1]], holder[other[-1]] = holder[other[-1]], holder[place[-1]]
    return True


def _rename(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    holder = _holder(document, place) if place else None
    if not isinstance(holder, dict):
        return False
    key = str(place[-1])
    names = (key.upper(), key + " ", key[:-1], key + "0", "x" * 10_000, *KEYS)
    holder[names[rng.integers(len(names))]] = holder.pop(place[-1])
    return True


def _copy(document: Any, place: Path, places: list[Path], rng: Rng) -> bool:
    other = places[rng.integers(len(places))]
    if not place or not other:
        return False
    value = json.loads(json.dumps(_holder(document, other)[other[-1]]))
    _holder(document, place)[place[-1]] = value
    return True


def _wrap(document: Any, place: Path, _: list[Path], rng: Rng) -> bool:
    if not place:
        return False
    holder = _holder(document, place)
    for _depth in range(int(rng.choice([1, 2, 60]))):
        holder[place[-1]] = [holder[place[-1]]] if rng.random() < 0.5 else {"a": holder[place[-1]]}
    return True


CHANGES: dict[str, Callable[[Any, Path, list[Path], Rng], bool]] = {
    "a value of another sort": _set, "a number beside": _near, "a field left out": _delete, "a field added": _add,
    "values swapped": _swap, "a field renamed": _rename, "a value copied": _copy, "a value wrapped": _wrap,
}  # fmt: skip

TEXTS: dict[str, Callable[[str, Rng], str]] = {
    "nested too deep": lambda text, rng: "[" * int(rng.choice([500, 100_000])) + text,
    "a key twice": lambda text, rng: text.replace("{", '{"format_version": 1, "findings": [], ', 1),
    "no number": lambda text, rng: text.replace("0.", str(rng.choice(["NaN", "Infinity", "1e999", "9" * 5000])), 1),
    "cut off": lambda text, rng: text[: rng.integers(len(text))],
    "text behind": lambda text, rng: text + str(rng.choice(["{}", "\0", ",", "//", "<!DOCTYPE html>"])),
    "text before": lambda text, rng: str(rng.choice(["\ufeff", "\u00a0", "/*x*/", "version https://git-lfs\n"])) + text,
    "another text": lambda text, rng: str(rng.choice(["", "null", "[]", "1", '""', "<html>", "{}", "{"])),
}
