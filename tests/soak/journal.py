"""The journal of one kind: a line of JSON for each trial, appended in one step."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .trials import PASSED


@dataclass(frozen=True)
class Entry:
    """One trial.

    Attributes:
        trial: Its number.
        verdict: One of the words of `trials`.
        what: What was tried and what came of it, or the end of the traceback.
        seconds: How long it took.
        mb: Memory that it took beyond what was there before, in MiB.
    """

    trial: int
    verdict: str
    what: str
    seconds: float = 0.0
    mb: int = 0


class Journal:
    """Reads what was tried, and appends to it.

    A line that a kill has cut off is passed over. Several processes may append at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        #: The last entry of each trial.
        self.last: dict[int, Entry] = {}
        self.calls: list[dict[str, Any]] = []
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "call" in found:
                self.calls.append(found["call"])
            else:
                self._note(Entry(**found))

    def begin(self, facts: dict[str, Any]) -> None:
        """Notes on what the trials that follow run."""
        self.calls.append(facts)
        self._append({"call": facts})

    def add(self, entry: Entry) -> None:
        self._note(entry)
        self._append(asdict(entry))

    def _note(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.last[entry.trial] = entry

    def _append(self, value: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" * torn + json.dumps(value).encode() + b"\n")
        finally:
            os.close(handle)

    @property
    def failed(self) -> list[Entry]:
        """The trials whose last verdict is a failure."""
        return [entry for entry in self.last.values() if entry.verdict != PASSED]

    @property
    def mended(self) -> int:
        """Trials that failed once and pass since."""
        once = {entry.trial for entry in self.entries if entry.verdict != PASSED}
        return len(once) - len(self.failed)

    @property
    def counts(self) -> Counter[str]:
        """How often each verdict is the last of a trial."""
        return Counter(entry.verdict for entry in self.last.values())

    @property
    def following(self) -> int:
        """The first number that was not tried: trials are tried in order."""
        return len(self.last)
