"""What `zoo demo` reaches with several seeds, how long it takes and how much memory: from phantoms to the table.

    python tests/benchmarks/demo.py FOLDER --out tests/benchmarks/results-demo.md

Each seed draws, splits and trains anew, by `zoo demo --set seed=SEED`. A demo that is there is kept, and one that was
killed goes on: its time is then not known. Nothing else should run on the machine while the first one does, of which
the time is told. Three seeds take half an hour on two cores. Memory is read on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import available, environment

from zoo.core.counting import counted
from zoo.core.files import write_json
from zoo.evaluation.result import Estimate, Evaluation, from_json
from zoo.evaluation.result.members import UNIFORM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        if not cost_file(folder, seed).exists():
            write_json(cost_file(folder, seed), demo(folder, seed))
    files = {seed: folder / str(seed) / "metrics.json" for seed in options.seeds}
    results = {seed: from_json(json.loads(file.read_text())) for seed, file in files.items()}
    cost = json.loads(cost_file(folder, options.seeds[0]).read_text())
    options.out.write_text(page(results, cost))


def cost_file(folder: Path, seed: int) -> Path:
    return folder / f"{seed}-cost.json"


def demo(folder: Path, seed: int) -> dict[str, Any]:
    """Runs the demo; its time in seconds, those of the processors, and its memory in GB, None where not known."""
    run = folder / str(seed)
    resumed, used = run.exists(), resource.getrusage(resource.RUSAGE_CHILDREN)
    began, peak = time.perf_counter(), 0
    zoo = Path(sys.executable).with_name("zoo")
    # The model that it installs is none of the user's.
    variables = {**os.environ, "ZOO_HOME": str(folder / "home")}
    process = subprocess.Popen([zoo, "demo", "--run", run, "--set", f"seed={seed}"], env=variables)
    while True:
        try:
            if status := process.wait(timeout=5):  # reading the memory is work for the processor, too
                raise SystemExit(status)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, sum(memory(pid) for pid in family(process.pid)))
    if resumed:
        return {"seconds": None, "processor": None, "memory": None}
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    return {"seconds": time.perf_counter() - began, "processor": processor, "memory": peak / 1e9 or None}


def family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for children in Path("/proc").glob(f"{pid}/task/*/children"):
        try:
            own = children.read_text().split()
        except OSError:  # it ended
            continue
        for child in own:
            yield from family(int(child))


def memory(pid: int) -> int:
    """Bytes of a process, with its share of what several hold in common (proportional set size)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def page(results: dict[int, Evaluation], cost: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    facts, first = environment(available()), next(iter(results))
    heads = [f"seed {seed}: {counted(r.n, 'image')}, {counted(r.patients, 'patient')}" for seed, r in results.items()]
    lines = [
        "# What the demo reaches",
        "",
        "Mean AUC over the findings on the phantoms of the test part, with 95 % intervals by patient. Phantoms are "
        "drawn: the figures say nothing of real radiographs.",
        "",
        "Made by `python tests/benchmarks/demo.py`, which says how.",
        "",
        f"| model | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(results)}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows(list(results.values()))),
        "",
        *(
            [
                f"- seed {first} took {cost['seconds']:.0f} s and {cost['processor']:.0f} s of the processors; "
                f"{cost['memory']:.1f} GB of memory at its peak, what its processes share counted once"
            ]
            if cost["seconds"] and cost["memory"]
            else []
        ),
        f"- {facts['processor']}, {facts['system']}; {facts['cores']} cores; {extensions()}",
        "- " + ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
    ]
    return "\n".join(lines) + "\n"


def rows(results: Sequence[Evaluation]) -> Iterator[tuple[str, list[str]]]:
    """The ensemble, its uniform weights, its members and the baseline; then its distance from the best member."""
    first = results[0]
    yield first.model, [cell(result.numbers.macro.auc) for result in results]
    if all(result.members and UNIFORM in result.members.choices for result in results):
        yield "the same with uniform weights", [cell(r.members.choices[UNIFORM].auc) for r in results if r.members]
    for name in first.models:
        yield name, [cell(result.models[name].macro.auc) for result in results]
    best = [result.members.best if result.members else "" for result in results]
    if all(name in result.differences for name, result in zip(best, results, strict=True)):
        pairs = zip(best, results, strict=True)
        less = [f"{cell(result.differences[name].macro.auc, '+.3f')} ({name})" for name, result in pairs]
        yield f"{first.model} minus its best member by validation log loss", less


def cell(number: Estimate, form: str = ".3f") -> str:
    assert number.value is not None
    assert number.low is not None
    assert number.high is not None
    return f"{number.value:{form}} [{number.low:{form}}, {number.high:{form}}]"


def extensions() -> str:
    """Which wide arithmetic the processor has, on which the time depends most."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    names = {"avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX"}
    held = [name for flag, name in names.items() if flag in flags]
    return f"with {', '.join(held)}" if held else "without AVX-512 and AMX"


if __name__ == "__main__":
    main()
