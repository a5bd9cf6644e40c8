"""`results.md`: the totals of all journals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from .journal import Journal
from .trials import CRASHED, DIED, EXECUTED, HUNG, KINDS, LOST, MEMORY, WRONG

#: Kind -> what was tried.
TRIED = {
    "kills": "runs, each killed 2 to 12 times", "disks": "runs without room, then read-only",
    "images": "damaged images", "releases": "damaged releases, with a manifest that agrees",
    "pickles": "damaged PyTorch files", "tables": "damaged CSV files", "service": "requests to `zoo serve`",
    "page": "requests to `zoo app`", "node": "requests to `zoo node`", "hub": "faults of a Hub",
}  # fmt: skip

BROKEN = (CRASHED, DIED, HUNG, MEMORY)

#: Most outcomes of a kind that are shown.
SHOWN = 25


def journals_in(folder: Path) -> dict[str, Journal]:
    """Kind -> journal, of the kinds that were tried."""
    found = {name: Journal(folder / f"{name}.jsonl") for name in KINDS}
    return {name: journal for name, journal in found.items() if journal.entries}


def totals(folder: Path) -> str:
    """One line for each kind."""
    lines = []
    for name, journal in journals_in(folder).items():
        counts = journal.counts
        lines.append(
            f"{name}: {len(journal.last)} tried; lost {counts[LOST]}, wrong {counts[WRONG]}, executed "
            f"{counts[EXECUTED]}, crashed, died, hung or beyond memory {sum(counts[v] for v in BROKEN)}"
        )
    return "\n".join(lines) or "nothing was tried"


def write(path: Path, folder: Path) -> None:
    found = journals_in(folder)
    calls = [call for journal in found.values() for call in journal.calls]
    if calls:
        path.write_text("\n".join([*_head(calls), *_table(found), *_details(found)]) + "\n")


def _head(calls: list[dict[str, Any]]) -> list[str]:
    dates, last = sorted({call["date"] for call in calls}), calls[-1]["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in last["packages"].items())
    machines = sorted({f"{c['environment']['processor']}, {c['environment']['system']}" for c in calls})
    commits = list(dict.fromkeys(call["commit"] for call in calls if call["commit"]))
    return [
        "# What `make soak` has tried", "",
        "Written by `make soak` from its journals, which add up over several calls. A trial is known by its kind and",
        "number: `cd tests && python -m soak KIND --trial NUMBER` repeats it alone.", "",
        f"- dates: {dates[0]} to {dates[-1]}; commits {', '.join(commits)}",
        f"- machine: {'; '.join(machines)}; {last['cores']} cores, {last['memory']}; Python {last['Python']}",
        f"- packages: {packages}", "",
    ]  # fmt: skip


def _table(found: dict[str, Journal]) -> list[str]:
    lines = [
        "| tried | trials | aim | lost | wrong | executed | crashed, died, hung or beyond memory | slowest, s "
        "| most memory, MiB | failed once, mended since |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]  # fmt: skip
    for name, journal in found.items():
        counts, last = journal.counts, journal.last.values()
        cells = [
            TRIED[name], len(last), journal.calls[-1]["aim"], counts[LOST], counts[WRONG], counts[EXECUTED],
            sum(counts[verdict] for verdict in BROKEN), f"{max(e.seconds for e in last):.1f}",
            max(e.mb for e in last), journal.mended,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return [*lines, ""]


def _details(found: dict[str, Journal]) -> list[str]:
    lines = []
    for name, journal in found.items():
        lines += [f"## {name}", ""]
        for entry in sorted(journal.failed, key=lambda entry: entry.trial):
            lines.append(f"- FAILED {entry.trial}: {entry.verdict}: {entry.what.strip().splitlines()[-1][:200]}")
        told = Counter(entry.what for entry in journal.last.values() if entry.verdict == "passed")
        lines += [f"- {n} x {what}" for what, n in told.most_common(SHOWN)]
        if len(told) > SHOWN:
            rest = sum(n for _, n in told.most_common()[SHOWN:])
            lines.append(f"- {rest} more, of {len(told) - SHOWN} other outcomes")
        lines.append("")
    return lines
