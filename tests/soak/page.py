"""`results.md`: the totals, to be read."""

from __future__ import annotations

from pathlib import Path

from .totals import Soaked
from .trials import CRASHED, DIED, EXECUTED, HUNG, LOST, MEMORY, WRONG

#: Kind -> what was tried.
TRIED = {
    "kills": "kills, in {trials} runs that went on", "disks": "runs without room, then read-only",
    "images": "damaged images", "releases": "damaged releases, with a manifest that agrees",
    "pickles": "damaged PyTorch files", "tables": "damaged CSV files", "service": "requests to `zoo serve`",
    "page": "requests to `zoo app`", "node": "requests to `zoo node`", "hub": "faults of a Hub",
}  # fmt: skip

BROKEN = (CRASHED, DIED, HUNG, MEMORY)

#: Most outcomes of a kind that are shown.
SHOWN = 25


def lines(so_far: Soaked) -> str:
    """One line for each kind."""
    told = []
    for name, totals in so_far.tried.items():
        counts = totals.counts()
        told.append(
            f"{name}: {totals.units} tried; lost {counts[LOST]}, wrong {counts[WRONG]}, executed "
            f"{counts[EXECUTED]}, crashed, died, hung or beyond memory {sum(counts[v] for v in BROKEN)}"
        )
    return "\n".join(told) or "nothing was tried"


def write(path: Path, so_far: Soaked) -> None:
    if so_far.dates:
        path.write_text("\n".join([*_head(so_far), *_table(so_far), *_details(so_far)]) + "\n")


def _head(so_far: Soaked) -> list[str]:
    last = so_far.last
    packages = ", ".join(f"{name} {version}" for name, version in last["packages"].items())
    return [
        "# What `make soak` has tried", "",
        "Written by `make soak` from `totals.json`, which adds up over calls and machines. A trial is known by its",
        "kind and number: `cd tests && python -m soak KIND --trial NUMBER` repeats it alone.", "",
        f"- dates: {so_far.dates[0]} to {so_far.dates[-1]}; commits {', '.join(so_far.commits)}",
        f"- machine: {'; '.join(so_far.machines)}; {last['cores']} cores, {last['memory']}; Python {last['Python']}",
        f"- packages: {packages}", "",
    ]  # fmt: skip


def _table(so_far: Soaked) -> list[str]:
    rows = [
        "| tried | how many | aim | lost | wrong | executed | crashed, died, hung or beyond memory | slowest, s "
        "| most memory, MiB | failed once, mended since |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]  # fmt: skip
    for name, totals in so_far.tried.items():
        counts = totals.counts()
        cells = [
            TRIED.get(name, name).format(trials=totals.trials), totals.units, totals.aim, counts[LOST], counts[WRONG],
            counts[EXECUTED], sum(counts[verdict] for verdict in BROKEN), f"{totals.slowest:.1f}", totals.mb,
            totals.mended,
        ]  # fmt: skip
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return [*rows, ""]


def _details(so_far: Soaked) -> list[str]:
    told = []
    for name, totals in so_far.tried.items():
        told += [f"## {name}", ""]
        for number, entry in sorted(totals.failed.items()):
            told.append(f"- FAILED {number}: {entry.verdict}: {entry.what.strip().splitlines()[-1][:200]}")
        ranked = sorted(totals.outcomes.items(), key=lambda item: (-item[1], item[0]))
        told += [f"- {n} x {what}" for what, n in ranked[:SHOWN]]
        if rest := totals.others + sum(n for _, n in ranked[SHOWN:]):
            told.append(f"- {rest} more, of other outcomes")
        told.append("")
    return told
