"""The journal of one kind: a line of JSON for each trial, appended in one step."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One trial.

    Attributes:
        trial: Its number.
        verdict: One of the words of `trials`.
        what: What was tried and what came of it, or the end of the traceback.
        seconds: How long it took.
        mb: Memory that it took beyond what was there before, in MiB.
        units: How many it holds of what the aim counts.
    """

    trial: int
    verdict: str
    what: str
    seconds: float = 0.0
    mb: int = 0
    units: int = 1


def read(path: Path) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The trials of a journal, and the calls that made it. A line that a kill has cut off is passed over."""
    entries, calls = [], []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "call" in found:
            calls.append(found["call"])
        else:
            entries.append(Entry(**found))
    return entries, calls


def append(path: Path, value: dict[str, Any]) -> None:
    """Adds a line: the fields of an `Entry`, or {"call": facts}. Several processes may append at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, b"\n" * torn + json.dumps(value).encode() + b"\n")
    finally:
        os.close(handle)
