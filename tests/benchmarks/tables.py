"""The lines that benchmarks left behind, as one page of Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import THREAD_VARIABLES

HEAD = """# Benchmarks

Made by `make bench`. Each `bench_*.py` runs in a process of its own, each backend in another. Times are medians of
the rounds after a warm-up, with the fastest and the slowest round beside them. A ratio is a row's rate over the rate of
the peer named at its column's head: above 1 the row is the faster one. Ratios, not times, are what to quote.
"""


@dataclass
class Run:
    """What one benchmark file on one backend left behind: its first line, and one for each test."""

    bench: str
    backend: str
    date: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)
    finished: int | None = None

    @property
    def name(self) -> str:
        return f"{self.bench} on {self.backend}"

    def troubles(self) -> list[str]:
        """A line for each test that failed, and one for a process that did not come to its end."""
        lines = [f"`{t['test']}`: {t['why']}" for t in self.tests if t["outcome"] == "failed"]
        if self.finished is None:
            lines.append(f"the process died after {len(self.tests)} of its tests")
        elif self.finished == 5:
            lines.append("holds no test")
        elif self.finished and not lines:
            lines.append(f"pytest ended with status {self.finished}")
        return lines

    def left_out(self) -> list[str]:
        return [f"`{t['test']}`: {t['why']}" for t in self.tests if t["outcome"] == "skipped"]


def page(environment: dict[str, Any], runs: list[Run]) -> str:
    """The whole of `results.md`. What failed stands first; what was skipped, with the reason, last."""
    parts = [HEAD, _machine(environment)]
    if troubles := [f"- {run.name}: {line}" for run in runs for line in run.troubles()]:
        parts.append("## Failed\n\n" + "\n".join(troubles) + "\n")
    for title, results in _sections(runs).items():
        parts.append(_section(title, results))
    if skipped := list(dict.fromkeys(f"- {run.bench}: {line}" for run in runs for line in run.left_out())):
        parts.append("## Left out\n\n" + "\n".join(skipped) + "\n")
    return "\n".join(parts)


def _machine(found: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    where = f"{found['processor']}, {found['cores']} cores, {found['memory']} memory; {found['system']}"
    pinned = f"{found['threads']} threads for everyone ({', '.join(THREAD_VARIABLES)}, and as many processors)"
    return f"{where}; {pinned}.\n\nPython {found['Python']}, {packages}.\n"


def _sections(runs: list[Run]) -> dict[str, list[dict[str, Any]]]:
    """The results of each section, each with its `backend` and `date`, in the order they first came."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for test in run.tests:
            for result in test["results"]:
                known = {"backend": run.backend, "date": run.date, "bench": run.bench}
                sections.setdefault(result["section"], []).append(result | known)
    return sections


def _section(title: str, results: list[dict[str, Any]]) -> str:
    texts = list(dict.fromkeys(r["text"] for r in results if r["kind"] == "text"))
    origin = ", ".join(dict.fromkeys(f"`{r['bench']}`, {r['date']}" for r in results))
    parts = [f"## {title}", *texts, _times([r for r in results if r["kind"] == "row"])]
    parts += _figures([r for r in results if r["kind"] == "figures"])
    return "\n\n".join(part for part in (*parts, f"({origin})") if part) + "\n"


def _times(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    peers = list(dict.fromkeys(row["name"] for row in rows if row["peer"]))
    names = [row["name"] for row in rows]
    head = ["what", "median", "fastest to slowest", "rate", *(f"against {p}" for p in peers), "rounds", "checked"]
    lines = []
    for row in sorted(rows, key=lambda row: row["peer"]):
        # The same row on two backends: its name says which one.
        name = row["name"] if names.count(row["name"]) == 1 else f"{row['name']} ({row['backend']})"
        ratios = [f"{_rate(row) / _rate(_peer(rows, p, row['backend'])):.2f}" for p in peers]
        spread = f"{seconds(row['min'])} to {seconds(row['max'])}"
        rate = f"{number(_rate(row))} {row['unit']}"
        cells = [name, seconds(row["median"]), spread, rate, *ratios, str(row["rounds"]), row["checked"]]
        lines.append(cells)
    return _table(head, lines, right=range(1, 5 + len(peers)))


def _rate(row: dict[str, Any]) -> float:
    return row["items"] / row["median"]


def _peer(rows: list[dict[str, Any]], name: str, backend: str) -> dict[str, Any]:
    """The peer's row from the same process, or else from another one."""
    named = [row for row in rows if row["name"] == name and row["peer"]]
    return next((row for row in named if row["backend"] == backend), named[0])


def _figures(found: list[dict[str, Any]]) -> list[str]:
    """One table for each set of columns; a column of backends where the same section ran on several."""
    several = len({f["backend"] for f in found}) > 1
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for f in found:
        row = ({"backend": f["backend"]} if several else {}) | f["row"]
        tables.setdefault(tuple(row), []).append(row)
    return [
        _table(
            list(columns),
            [[_cell(row[c]) for c in columns] for row in rows],
            right=[i for i, c in enumerate(columns) if all(isinstance(row[c], int | float) for row in rows)],
        )
        for columns, rows in tables.items()
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else number(value)


def _table(head: list[str], rows: list[list[str]], right: Any) -> str:
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, rule, *rows))


def seconds(value: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{value * 1e9:.0f} ns"


def number(value: float) -> str:
    """Three figures that count; whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
