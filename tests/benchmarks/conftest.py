"""What a benchmark is written with: `compare` times, `record` keeps other figures, `describe` says what a table is of.

    def test_ours(compare):
        compare("AUC, 100,000 x 14", "zoo", work, items=14, unit="AUCs/s", check=equal_to_sklearn)

    def test_peer(compare):
        compare("AUC, 100,000 x 14", "scikit-learn loop", loop, items=14, unit="AUCs/s", peer=True)

Every result is appended to the file that ZOO_BENCH_OUT names as soon as its test ends, so that a run which dies has
lost one figure and not all. `run.py` sets it, and makes the tables.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
OUT = "ZOO_BENCH_OUT"


@pytest.fixture
def compare(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Times one row of a section, in ours or in a peer's way; once a test.

    Args (of the function that a test is given):
        section: The heading of its table: what is done, on what.
        name: Who does it.
        work: Called without arguments; what comes before belongs outside of it.
        items: How many things one call does.
        unit: What is counted, `things/s`.
        peer: True for what a user would pick instead: the ratios are against these.
        rounds: Calls that are timed.
        warmup: Calls before them that are not.
        check: Is given the last result, and raises where it is not what the others of the section give; only then the
            times count. What it returns (a string), or else the first line of its docstring, is shown.

    Returns:
        The last result.
    """

    def run(
        section: str,
        name: str,
        work: Callable[[], Any],
        *,
        items: float = 1,
        unit: str = "items/s",
        peer: bool = False,
        rounds: int = 5,
        warmup: int = 1,
        check: Callable[[Any], str | None] | None = None,
    ) -> Any:
        row = {"section": section, "name": name, "items": items, "unit": unit, "peer": peer}
        benchmark.extra_info.update(row)
        last = benchmark.pedantic(work, rounds=rounds, warmup_rounds=warmup)
        checked = checked_by(check, last)
        if benchmark.enabled:
            times = {key: getattr(benchmark.stats.stats, key) for key in ("median", "min", "max", "rounds")}
            request.node.user_properties.append(("row", row | times | {"warmup": warmup, "checked": checked}))
        return last

    return run


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], None]:
    """Adds a row of figures that are no times of `compare`'s: `record(section, {"finding": "Edema", "AUC": 0.91})`.

    The columns are the keys, in their order; a row with other keys begins another table of the section.
    """

    def add(section: str, row: dict[str, Any]) -> None:
        row = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
        request.node.user_properties.append(("figures", {"section": section, "row": row}))

    return add


@pytest.fixture
def describe(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Puts a text (Markdown) under a section's heading: `describe(section, text)`. The same text is shown once."""

    def add(section: str, text: str) -> None:
        request.node.user_properties.append(("text", {"section": section, "text": text}))

    return add


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the three members: that of ZOO_BENCH_RELEASE, else one of random weights."""
    if named := os.environ.get("ZOO_BENCH_RELEASE"):
        return Path(named)
    from zoo.evaluation.decision import Decision
    from zoo.models.ensemble import Ensemble
    from zoo.names.catalog import CATALOG
    from zoo.release.write import write_release

    spec = CATALOG["xrayslam-ensemble"].spec
    target = tmp_path_factory.mktemp("release") / "release"
    return write_release(target, Ensemble.from_spec(spec), spec, Decision(spec.findings))


@pytest.fixture(scope="session")
def threads() -> int:
    """How many threads each side may use, for a library that has to be told in code."""
    return int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def checked_by(check: Callable[[Any], str | None] | None, result: Any) -> str:
    if check is None:
        return ""
    said = check(result)
    while isinstance(check, partial):
        check = check.func
    return said or (inspect.getdoc(check) or check.__name__.replace("_", " ")).splitlines()[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked as another backend's is not of this process: left out here, where a skip would be shown."""
    backend = os.environ.get("KERAS_BACKEND")
    other = [item for item in items if HERE in item.path.parents and _is_of_another(item, backend)]
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if item not in other]


def _is_of_another(item: pytest.Item, backend: str | None) -> bool:
    return any(
        item.get_closest_marker(f"{name}_only") is not None and backend != name for name in ("tensorflow", "jax")
    )


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        results = list(_kept(report.user_properties)) if report.outcome == "passed" else []
        keep(report, results)
        for row in results if OUT in os.environ else ():
            if row["kind"] == "row":
                print(f" {row['section']}, {row['name']}: {row['median']:.3g} s", flush=True)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.outcome != "passed":
        keep(report, [])


def pytest_sessionfinish(exitstatus: int) -> None:
    _append({"finished": int(exitstatus)})


def keep(report: pytest.TestReport | pytest.CollectReport, results: list[dict[str, Any]]) -> None:
    test = report.nodeid.rpartition("::")[2]
    _append({"test": test, "outcome": report.outcome, "why": _why(report), "results": results})


def _kept(properties: list[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({"kind": kind} | value for kind, value in properties if kind in ("row", "figures", "text"))


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).strip().splitlines()[0]


def _append(line: dict[str, Any]) -> None:
    if path := os.environ.get(OUT):
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")
