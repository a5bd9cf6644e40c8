"""What was tried of each kind, over all calls and machines: `totals.json`, which is part of the repository."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .journal import Entry, read
from .trials import KINDS, PASSED

#: Most outcomes of a kind that are kept by their words; the rest is counted.
KEPT = 100


@dataclass
class Totals:
    """Of one kind. Trials are tried in order: each number below `trials` was tried.

    Attributes:
        aim: How many units there shall be.
        trials: How many were tried, which is the number of the next.
        units: What the aim counts: trials, or what they say that they hold, as a run holds its kills.
        passed: How many trials passed.
        slowest: Seconds of the slowest trial that passed.
        mb: Most memory that one of these took, in MiB.
        mended: Trials that failed once and pass since.
        outcomes: Words of a trial that passed -> how many.
        others: Trials that passed whose words are not kept.
        failed: Trials whose last verdict is a failure.
    """

    aim: int = 0
    trials: int = 0
    units: int = 0
    passed: int = 0
    slowest: float = 0.0
    mb: int = 0
    mended: int = 0
    others: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    failed: dict[int, Entry] = field(default_factory=dict)

    def note(self, entry: Entry) -> None:
        """Counts the next trial, or one that failed and was tried again; others are counted already, or come later."""
        again = self.failed.pop(entry.trial, None)
        if again is None:
            if entry.trial != self.trials:
                return
            self.trials += 1
        if entry.verdict != PASSED:
            self.failed[entry.trial] = entry
            return
        self.mended += again is not None
        self.passed += 1
        self.units += entry.units
        self.slowest, self.mb = max(self.slowest, entry.seconds), max(self.mb, entry.mb)
        self.outcomes[entry.what] = self.outcomes.get(entry.what, 0) + 1

    def counts(self) -> Counter[str]:
        """How often each verdict is the last of a trial."""
        return Counter({PASSED: self.passed}) + Counter(entry.verdict for entry in self.failed.values())

    def as_json(self) -> dict[str, Any]:
        kept = dict(sorted(self.outcomes.items(), key=lambda item: (-item[1], item[0]))[:KEPT])
        others = self.others + sum(self.outcomes.values()) - sum(kept.values())
        failed = [asdict(self.failed[number]) for number in sorted(self.failed)]
        return {**vars(self), "others": others, "outcomes": kept, "failed": failed}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Totals:
        return cls(**{**found, "failed": {one["trial"]: Entry(**one) for one in found["failed"]}})


@dataclass
class Soaked:
    """All totals, and on what they were made.

    Attributes:
        kinds: Kind -> its totals.
        dates: Of the calls, the first and the last.
        commits: That were tried.
        machines: Processor and system of each.
        last: The environment of the last call.
    """

    kinds: dict[str, Totals] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def tried(self) -> dict[str, Totals]:
        """Kind -> its totals, of the kinds that were tried, in the order of the page."""
        return {name: self.kinds[name] for name in sorted(self.kinds, key=_place) if self.kinds[name].trials}

    def begin(self, kind: str, call: dict[str, Any]) -> None:
        """Notes on what trials of a kind run."""
        self.kinds.setdefault(kind, Totals()).aim = call["aim"]
        self.last, here = call["environment"], f"{call['environment']['processor']}, {call['environment']['system']}"
        dates = sorted({*self.dates, call["date"]})
        self.dates = list(dict.fromkeys([dates[0], dates[-1]]))
        self.commits = list(dict.fromkeys([*self.commits, *([call["commit"]] if call["commit"] else [])]))
        self.machines = sorted({*self.machines, here})

    def write(self, path: Path) -> None:
        kinds = {name: totals.as_json() for name, totals in self.tried.items()}
        path.write_text(json.dumps({**vars(self), "kinds": kinds}, indent=1, ensure_ascii=False) + "\n")


def soaked(path: Path, journals: Path) -> Soaked:
    """The totals of a file, with what journals in a folder hold beyond it.

    A trial is counted once, by its number, however often its journal is added.
    """
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    all_of_it = Soaked(**{**found, "kinds": {n: Totals.from_json(t) for n, t in found.get("kinds", {}).items()}})
    for journal in sorted(journals.glob("*.jsonl"), key=lambda path: _place(path.stem)):
        entries, calls = read(journal)
        for call in calls:
            all_of_it.begin(journal.stem, call)
        for entry in entries:
            all_of_it.kinds.setdefault(journal.stem, Totals()).note(entry)
    return all_of_it


def _place(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)
