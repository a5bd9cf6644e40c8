"""See `soak`."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.machine import environment

from . import page
from .journal import Entry, Journal
from .trials import KINDS, PASSED, Kind, kind_of
from .watching import ROOT, Worker

#: Seconds for which one kind runs, once it is ready, before the next has its turn.
TURN = 300.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Trials by the thousand; see tests/soak.")
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}, or dotted modules; none is all")
    parser.add_argument("--minutes", type=float, default=55.0, help="when to end")
    parser.add_argument("--trial", type=int, help="one trial alone, which is not noted")
    parser.add_argument("--to", type=int, default=0, help="so many trials of each kind; by default its aim, then more")
    parser.add_argument("--journals", type=Path, default=ROOT / "build" / "soak")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results.md")
    options = parser.parse_args(arguments)
    chosen = [kind_of(name) for name in options.kinds or here()]
    if options.trial is not None:
        return alone(chosen[0], options.trial, options.journals / "alone")
    end = time.monotonic() + 60 * options.minutes
    status = soak(chosen, options.journals, end, options.to)
    page.write(options.results, options.journals)
    print(page.totals(options.journals), options.results, sep="\n")
    return status


def here() -> list[str]:
    """The kinds that there are."""
    return [name for name in KINDS if find_spec(f"soak.kinds.{name}")]


def alone(kind: Kind, number: int, folder: Path) -> int:
    with Worker(kind, folder) as worker:
        entry = worker.run(number)
    print(f"{kind.name} {entry.trial}: {entry.verdict} in {entry.seconds} s, {entry.mb} MiB\n{entry.what}")
    return int(entry.verdict != PASSED)


def soak(kinds: list[Kind], journals: Path, end: float, to: int) -> int:
    """Gives each kind its turns until `end`, the one that is farthest from its aim first; 1 where a trial failed."""
    noted = {kind.name: Journal(journals / f"{kind.name}.jsonl") for kind in kinds}
    for kind in kinds:
        noted[kind.name].begin({**facts(), "aim": kind.aim})
    failed, again = 0, {name: sorted(entry.trial for entry in journal.failed) for name, journal in noted.items()}
    while time.monotonic() < end:
        left = [kind for kind in kinds if again[kind.name] or not to or len(noted[kind.name].last) < to]
        if not left:
            break
        kind = min(left, key=lambda kind: len(noted[kind.name].last) / (to or kind.aim))
        failed += turn(kind, noted[kind.name], again[kind.name], end, to, journals, len(kinds) == 1)
    return int(failed > 0)


def turn(
    kind: Kind, journal: Journal, again: list[int], end: float, to: int, journals: Path, whole: bool = False
) -> int:
    """Runs trials of one kind for its turn, or until `end`; how many failed."""
    failed, tried = 0, len(journal.entries)
    with Worker(kind, journals / f"work-{kind.name}-{os.getpid()}") as worker:
        worker.start()
        end = min(end, time.monotonic() + (math.inf if whole else max(TURN, kind.turn)))
        while time.monotonic() < end and (again or not to or len(journal.last) < to):
            entry = worker.run(again.pop(0) if again else journal.following)
            journal.add(entry)
            if entry.verdict != PASSED:
                failed += 1
                report(kind, entry)
    print(f"{kind.name}: {len(journal.entries) - tried} trials, {len(journal.last)} of {kind.aim} in all", flush=True)
    return failed


def report(kind: Kind, entry: Entry) -> None:
    print(f"FAILED {kind.name} {entry.trial}: {entry.verdict} in {entry.seconds} s\n{entry.what}", flush=True)
    print(f"again: cd tests && python -m soak {kind.name} --trial {entry.trial}", flush=True)


def facts() -> dict[str, Any]:
    """What the trials of a call run on."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    threads = int(os.environ.get("OMP_NUM_THREADS", 2))
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit, "environment": environment(threads)}


if __name__ == "__main__":
    sys.exit(main())
