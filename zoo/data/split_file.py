"""The file of a saved split, checked before and after its images are found in a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import SplitError

#: Version of the saved form; a newer one is refused.
FORMAT_VERSION = 1


def read(path: Path) -> dict[str, Any]:
    """Reads a saved split.

    Raises:
        FileNotFoundError: No such file.
        SplitError: It is no saved split, or one of a newer version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such split manifest")
    try:
        saved = json.loads(path.read_text("utf-8"))
        version = saved["format"]
        complete = {"by", "seed", "fractions", "hash"} <= saved.keys() and all(
            isinstance(held["images"], list) and isinstance(held["positives"], dict) for held in saved["parts"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SplitError(f"{path}: not a split manifest ({type(error).__name__}: {error})") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SplitError(f"{path}: format {version!r} is newer than this version reads (up to {FORMAT_VERSION})")
    if not complete:
        raise SplitError(f"{path}: not a split manifest: a field is missing")
    return saved


def check_names(path: Path, names: Sequence[str], row_of: Mapping[str, int]) -> None:
    """Raises `SplitError` unless the images of a saved split are those of a table, each once."""
    unknown = [name for name in names if name not in row_of]
    if unknown:
        raise SplitError(f"{path}: {len(unknown)} of its images are not in the table (first: {unknown[0]!r})")
    if len(set(names)) != len(names):
        raise SplitError(f"{path}: an image is in it twice; it was altered")
    if len(names) != len(row_of):
        extra = next(name for name in row_of if name not in set(names))
        raise SplitError(
            f"{path}: {counted(len(row_of) - len(names), 'image of the table is', 'images of the table are')} not in "
            f"it (first: {extra!r})"
        )


def what_changed(parts: Mapping[str, Mapping[str, Any]], now: np.ndarray, row_of: Mapping[str, int]) -> str:
    """Says why the hash of a saved split is not that of its parts with the patients `now`, (n,), of a table's rows."""
    before = {n: p for held in parts.values() for n, p in zip(held["images"], held.get("patients", ()), strict=False)}
    others = [name for name, patient in before.items() if str(now[row_of[name]]) != str(patient)]
    if not others:
        return "its hash is not that of its parts: the file was altered"
    first = f"{others[0]} was of patient {before[others[0]]!r} and is of {str(now[row_of[others[0]]])!r}"
    return (
        f"made with other patients than the table has: {len(others):,} of {counted(len(before), 'image')} changed "
        f"({first}): "
        "use the table it was made from, or another run folder (--run)"
    )
