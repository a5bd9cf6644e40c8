"""See `soak`."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.machine import environment

from . import page
from .journal import Entry, append
from .totals import Soaked, Totals, soaked
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
    parser.add_argument("--results", type=Path, default=Path(__file__).parent, help="folder of the totals")
    options = parser.parse_args(arguments)
    chosen = [kind_of(name) for name in options.kinds or here()]
    if options.trial is not None:
        return alone(chosen[0], options.trial, options.journals / "alone")
    end, totals = time.monotonic() + 60 * options.minutes, options.results / "totals.json"
    so_far = soaked(totals, options.journals)
    status = soak(chosen, so_far, options.journals, end, options.to)
    so_far.write(totals)
    page.write(options.results / "results.md", so_far)
    print(page.lines(so_far), options.results / "results.md", sep="\n")
    return status


def here() -> list[str]:
    """The kinds that there are."""
    return [name for name in KINDS if find_spec(f"soak.kinds.{name}")]


def alone(kind: Kind, number: int, folder: Path) -> int:
    with Worker(kind, folder) as worker:
        entry = worker.run(number)
    print(f"{kind.name} {entry.trial}: {entry.verdict} in {entry.seconds} s, {entry.mb} MiB\n{entry.what}")
    return int(entry.verdict != PASSED)


def soak(kinds: list[Kind], so_far: Soaked, journals: Path, end: float, to: int) -> int:
    """Gives each kind its turns until `end`, the one that is farthest from its aim first; 1 where a trial failed."""
    noted = {kind.name: so_far.kinds.setdefault(kind.name, Totals(kind.aim)) for kind in kinds}
    failed, again = 0, {name: sorted(totals.failed) for name, totals in noted.items()}
    begun: set[str] = set()
    while time.monotonic() < end:
        left = [kind for kind in kinds if again[kind.name] or not to or noted[kind.name].trials < to]
        if not left:
            break
        kind = min(left, key=lambda kind: noted[kind.name].trials / to if to else noted[kind.name].units / kind.aim)
        if kind.name not in begun:
            begun.add(kind.name)
            call = {**facts(), "aim": kind.aim}
            so_far.begin(kind.name, call)
            append(journals / f"{kind.name}.jsonl", {"call": call})
        failed += turn(kind, noted[kind.name], again[kind.name], end, to, journals, len(kinds) == 1)
    return int(failed > 0)


def turn(kind: Kind, totals: Totals, again: list[int], end: float, to: int, journals: Path, whole: bool = False) -> int:
    """Runs trials of one kind for its turn, or until `end`; how many failed."""
    failed = tried = 0
    with Worker(kind, journals / f"work-{kind.name}-{os.getpid()}") as worker:
        worker.start()
        end = min(end, time.monotonic() + (math.inf if whole else max(TURN, kind.turn)))
        while time.monotonic() < end and (again or not to or totals.trials < to):
            entry = worker.run(again.pop(0) if again else totals.trials)
            append(journals / f"{kind.name}.jsonl", asdict(entry))
            totals.note(entry)
            tried += 1
            if entry.verdict != PASSED:
                failed += 1
                report(kind, entry)
    print(f"{kind.name}: {tried} trials; {totals.units} of {kind.aim} in all", flush=True)
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
