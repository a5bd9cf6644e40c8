"""Time, cost, memory and disk of 100 thousand, 1 million and 100 million images, from rates that were measured.

    python tests/benchmarks/scale.py            prints results-scale.md

Nothing of this size was run. Rates of reading and of CPUs are of `results.md` (2 cores), those of a GPU of
`results-gpu.md` (an H100; a T4 has a fifteenth to a tenth of it, as in `t4_hours.py`; the lower end is used). Prices
are assumptions, to be replaced by one's own (--core-hour, --gpu-hour). Sizes of rows and the work of listing are
measured when this runs.
"""

# ruff: noqa: E501 - rows of tables are one line each

from __future__ import annotations

import argparse
import heapq
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = (100_000, 1_000_000, 100_000_000)

#: Images a second, of `results.md` and `results-gpu.md`: JPEGs of 2048 px; three members at 224 px on 2 cores; a step
#: of DenseNet121 at 224 px on an H100.
DECODE_PER_CORE = 463 / 2
SCORE_INT8_PER_CORE, SCORE_FLOAT_PER_CORE = 61.7 / 2, 26.8 / 2
H100_TRAIN, H100_INFER = 2996, 11511
T4_SHARE = 65 / 989

#: Bytes of an image: the file, and its pixels in the cache (`results.md`); a float32 feature vector of DenseNet121.
FILE, CACHED, FEATURES = 363_000, 50_200, 4 * 1024
#: Memory for each image that one process has written (`results.md`, 1,000 against 100,000 images on TensorFlow).
KEPT = 18e6 / 99_000
EPOCHS = 8


@dataclass(frozen=True)
class Fleet:
    """Machines that share a list: their number and rate, and what goes wrong.

    Attributes:
        workers: Number of workers.
        rate: Images a second of each.
        slow_share: Share of workers that are slow, and by what factor they are.
        slow_by: That factor.
        hours_between_failures: Mean time after which a worker fails, exponential; 0 for never.
        restart: Seconds until it works again, its model loaded.
    """

    workers: int
    rate: float
    slow_share: float = 0.02
    slow_by: float = 4.0
    hours_between_failures: float = 24.0
    restart: float = 300.0


def simulate(images: int, fleet: Fleet, piece: int | None, seed: int = 0) -> tuple[float, int]:
    """Seconds until the last image is scored, and the number of failures.

    Args:
        images: How many.
        fleet: The workers.
        piece: Images of a piece that a free worker takes (Ray); None for equal shares that are fixed (Slurm,
            Kubernetes), of which a worker goes on behind its last batch after a failure.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    slow = rng.random(fleet.workers) < fleet.slow_share
    rates = fleet.rate / np.where(slow, fleet.slow_by, 1.0)
    mean = fleet.hours_between_failures * 3600
    if piece is None:
        work = images / fleet.workers / rates
        each = rng.poisson(work / mean) if mean else np.zeros(fleet.workers, int)
        return float((work + each * fleet.restart).max()), int(each.sum())
    free = [(0.0, worker) for worker in range(fleet.workers)]
    fails = rng.exponential(mean, fleet.workers) if mean else np.full(fleet.workers, np.inf)
    left, end, failures = images, 0.0, 0
    while left > 0:
        now, worker = heapq.heappop(free)
        own = min(piece, left)
        done = now + own / rates[worker]
        if done > fails[worker]:  # the piece is lost, and given again
            failures += 1
            again = max(fails[worker], now) + fleet.restart
            fails[worker] = again + rng.exponential(mean)
            heapq.heappush(free, (again, worker))
            continue
        left -= own
        end = max(end, done)
        heapq.heappush(free, (done, worker))
    return end, failures


def measured(names: int = 200_000) -> dict[str, float]:
    """Seconds and bytes of memory of a name when a list is shared out, and bytes of a row in each form."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from zoo.evaluation.decision import Decision, OperatingPoint, Origin
    from zoo.inference import tables, writers
    from zoo.inference.shards import Shard, share_of, study_keys
    from zoo.inference.stream import Prediction
    from zoo.labels.findings import FINDINGS

    tracemalloc.start()
    paths = [f"/data/p{i // 1000:05d}/{i:09d}_001_{i % 3:03d}.png" for i in range(names)]
    listed = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    start = time.process_time()
    share_of(Shard(0, 100), paths, study_keys(paths, ["/data"]))
    sharing = time.process_time() - start
    rng, n = np.random.default_rng(0), 2000
    batch = Prediction(paths[:n], rng.normal(size=(n, 14)).astype(np.float32), [""] * n)
    point = OperatingPoint((0.5,) * 14, Origin("max_f1"))
    decision = Decision(FINDINGS, (1.0,), {"max_f1": point}, default="max_f1")
    long, wide = tables.long_table(batch, FINDINGS, decision), tables.wide_table(batch, FINDINGS, decision, [True] * 14)
    sizes = {"long": len(writers.Csv().piece(long, False)) / n, "wide": len(writers.Csv().piece(wide, False)) / n}
    return {"name_bytes": listed / names, "share_seconds": sharing / names, **sizes}


def report(core_hour: float, gpu_hour: float) -> list[str]:
    """The lines of results-scale.md."""
    facts = measured()
    lines = [
        "# Scale, on paper",
        "",
        "Printed by `python tests/benchmarks/scale.py`. **No row of this page was run at its size**: times follow from rates",
        "measured on 2 cores and on one H100 (`results.md`, `results-gpu.md`), and a T4 is taken to have a fifteenth of an H100.",
        f"Assumed prices: {core_hour:g} $ for a core and hour, {gpu_hour:g} $ for a T4 with 4 cores and hour.",
        "",
        "| images | what | by | machine hours | cost | result on disk |",
        "| ---: | --- | --- | ---: | ---: | ---: |",
    ]
    t4 = min(H100_INFER * T4_SHARE, 4 * DECODE_PER_CORE)
    for n in SIZES:
        rows = (
            ("files", "", 0.0, 0.0, n * FILE),
            ("cache, 224 px", "a core", n / DECODE_PER_CORE, core_hour, n * CACHED),
            ("scoring, int8, three members", "a core", n / SCORE_INT8_PER_CORE, core_hour, n * facts["long"]),
            ("scoring, float32, three members", "a core", n / SCORE_FLOAT_PER_CORE, core_hour, n * facts["long"]),
            ("scoring, one DenseNet121", "a T4", n / t4, gpu_hour, n * facts["long"]),
            ("embedding, one DenseNet121", "a T4", n / t4, gpu_hour, n * FEATURES),
            (
                f"training, one DenseNet121, {EPOCHS} epochs",
                "a T4",
                EPOCHS * n / (H100_TRAIN * T4_SHARE),
                gpu_hour,
                0.0,
            ),
        )
        for what, by, seconds, price, disk in rows:
            hours = seconds / 3600
            cost = f"{hours * price:,.2f} $" if price else ""
            lines.append(f"| {n:,} | {what} | {by} | {f'{hours:,.1f}' if by else ''} | {cost} | {_bytes(disk)} |")
    lines += [*_bounds(facts), *_stragglers(), *_breaks(facts)]
    return lines


def _bounds(facts: dict[str, float]) -> list[str]:
    return [
        "",
        f"A T4 with 4 cores is fed {4 * DECODE_PER_CORE:,.0f} images a second by its cores and scores "
        f"{H100_INFER * T4_SHARE:,.0f}: reading JPEGs of 2048 px",
        "and the network take about as long. Rows are CSV of 14 findings: "
        f"{facts['long']:,.0f} bytes an image in the long form, {facts['wide']:,.0f} in",
        f"the wide form. A name in the list takes {facts['name_bytes']:,.0f} bytes and "
        f"{facts['share_seconds'] * 1e6:.1f} microseconds of each process of `--shard`.",
        "A worker's memory does not grow with the list but for that: with the network `tiny` it was 816 MB at 1,000 images and",
        "834 MB at 100,000 (`results.md`, TensorFlow); a larger network adds its weights and two batches.",
    ]


def _stragglers() -> list[str]:
    lines = [
        "",
        "## Stragglers and failures, simulated",
        "",
        "Scoring by int8 on workers of 4 cores. 2 % of the workers are slow by a factor of 4, each fails once a day in the",
        "mean and is back after 5 minutes. Ten draws: the mean, and the longest.",
        "",
        "| images | workers | without trouble | fixed shares (`--shard`) | pieces (`--engine ray`) | failures |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for n, workers in ((100_000, 4), (1_000_000, 16), (100_000_000, 200)):
        fleet = Fleet(workers, 4 * SCORE_INT8_PER_CORE)
        ideal = n / workers / fleet.rate
        fixed = [simulate(n, fleet, None, seed) for seed in range(10)]
        pieces = [simulate(n, fleet, 1024, seed) for seed in range(10)]
        failed = np.mean([failures for _, failures in pieces])
        lines.append(
            f"| {n:,} | {workers} | {_hours([ideal])} | {_hours([t for t, _ in fixed])} | "
            f"{_hours([t for t, _ in pieces])} | {failed:,.1f} |"
        )
    lines += [
        "",
        "A slow machine delays fixed shares by its whole factor, and pieces by one piece at the end. Against that, cut a list",
        "into several times as many shards as there are machines (`--shard auto/1000` on 200): a scheduler gives the next one",
        "to whoever is free, which is what pieces are.",
    ]
    return lines


def _breaks(facts: dict[str, float]) -> list[str]:
    each = (facts["name_bytes"] * SIZES[2] / 1e9, facts["share_seconds"] * SIZES[2] / 60)
    kept = [KEPT * n for n in SIZES]
    return [
        "",
        "## What breaks first, and the mend",
        "",
        "| images | what breaks first | the mend |",
        "| ---: | --- | --- |",
        f"| {SIZES[0]:,} | nothing; one process remembers {_bytes(kept[0])} of names and hashes and is done within an hour on 2 cores | |",
        f"| {SIZES[1]:,} | one CSV in the long form: {_bytes(facts['long'] * SIZES[1])}, 14 million rows | `--wide`, or Parquet; "
        f"the folder of parts is read as it is |",
        f"| {SIZES[1]:,} | one folder of a million names: each process of `--shard` lists it, over a network minutes each time "
        "| folders of some thousands; or one list (Parquet) for `--engine ray`, whose driver alone reads it |",
        f"| {SIZES[1]:,} | one process keeps {_bytes(kept[1])} of names and hashes of what it wrote | shares: each keeps its own |",
        f"| {SIZES[2]:,} | the list: {each[0]:,.0f} GB and {each[1]:,.0f} minutes in each process of `--shard`, and in the driver of Ray "
        "| a list for each month or site, a run for each, one folder of results for each; readers of Parquet take many folders |",
        f"| {SIZES[2]:,} | listing an object store: 1,000 names a request, {SIZES[2] // 1000:,} requests one after the other "
        "| the store's own inventory, as a Parquet list |",
        f"| {SIZES[2]:,} | `zoo merge` into one file: {_bytes(facts['long'] * SIZES[2])} | do not merge: `zoo merge` is for tables that one "
        "program opens |",
        f"| {SIZES[2]:,} | the cache: {_bytes(CACHED * SIZES[2])} on the disk of every trainer | train on a sample, or on features "
        f"(`zoo embed`: {_bytes(FEATURES * SIZES[2])}) |",
    ]


def _hours(seconds: list[float]) -> str:
    mean, most = np.mean(seconds) / 3600, max(seconds) / 3600
    return f"{mean:.1f} h" if len(seconds) == 1 else f"{mean:.1f} h, at most {most:.1f} h"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return "" if not count else f"{count / 1e3:,.0f} KB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core-hour", type=float, default=0.04, help="price of a core for an hour, in dollars")
    parser.add_argument("--gpu-hour", type=float, default=0.55, help="price of a T4 with 4 cores for an hour")
    options = parser.parse_args()
    print("\n".join(report(options.core_hour, options.gpu_hour)))


if __name__ == "__main__":
    main()
