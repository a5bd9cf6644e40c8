"""Runs every `bench_*.py` beside this file, each in a process of its own for each backend it names; makes the table.

    make bench                     all of it -> tests/benchmarks/results.md
    make bench ONLY="load memory"  the files whose names hold one of these words; the others' figures are kept

A file names its backends with `BACKENDS = ("tensorflow", "jax")`; without it it runs on TensorFlow alone. What was
measured lies in build/benchmarks/, a file for each process. `results.md` is written once every benchmark has run on
this machine with these packages; until then the page lies beside them.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.machine import available, environment, pin  # noqa: E402
from benchmarks.tables import Run, page  # noqa: E402

TIMEOUT = 1800  # of one test; it only has to end a hang


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of file names; none is all")
    parser.add_argument("--threads", type=int, default=available(), help="for every library alike")
    parser.add_argument("--benches", type=Path, default=HERE, help="where bench_*.py and results.md lie")
    parser.add_argument("--kept", type=Path, default=HERE.parents[1] / "build" / "benchmarks", help="for the figures")
    options = parser.parse_args(arguments)
    if find_spec("pytest_benchmark") is None:
        sys.exit("pytest-benchmark is not installed; what is needed: pip install -e '.[cpu,train,jax,dev,bench]'")
    wanted = [(path, backend) for path in sorted(options.benches.glob("bench_*.py")) for backend in backends(path)]
    chosen = [pair for pair in wanted if not options.words or any(word in pair[0].stem for word in options.words)]
    if not chosen:
        sys.exit(f"no benchmark has {' or '.join(options.words)} in its name: {', '.join(p.stem for p, _ in wanted)}")
    variables, found = pin(options.threads), environment(options.threads)
    for path, backend in chosen:
        print(f"{path.name} on {backend}", flush=True)
        measure(path, backend, kept_at(options.kept, path, backend), variables, found)
    return write(options.benches, options.kept, wanted, found)


def backends(path: Path) -> tuple[str, ...]:
    """What the file's `BACKENDS` says, read without running it."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "BACKENDS" for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    return ("tensorflow",)


def kept_at(folder: Path, path: Path, backend: str) -> Path:
    return folder / f"{path.stem}-{backend}.jsonl"


def measure(path: Path, backend: str, out: Path, variables: dict[str, str], found: dict[str, Any]) -> None:
    """Leaves the lines of one process in `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"environment": found, "date": time.strftime("%Y-%m-%d")}) + "\n")
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    # Releases and caches of a run are its own.
    home = str(out.resolve().parent / "home")
    ours = variables | {"KERAS_BACKEND": backend, "ZOO_BENCH_OUT": str(out.resolve()), "ZOO_HOME": home}
    root = HERE.parents[1]
    options = ["-c", str(root / "pyproject.toml"), "-rs", f"--timeout={TIMEOUT}", "--benchmark-quiet"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(path.resolve())]
    subprocess.run(command, env=defaults | os.environ | ours, cwd=root, check=False)


def write(benches: Path, kept: Path, wanted: list[tuple[Path, str]], found: dict[str, Any]) -> int:
    """Makes the page of all figures that were measured under what was `found`; 1 where a benchmark failed."""
    runs, missing = [], []
    for path, backend in wanted:
        run = read(kept_at(kept, path, backend), path.name, backend, found)
        runs.append(run) if run else missing.append(f"{path.name} on {backend}")
    target = (kept if missing else benches) / "results.md"
    target.write_text(page(found, runs))
    if missing:
        print(f"not measured here yet, so results.md beside the benchmarks stays as it is: {', '.join(missing)}")
    for run in runs:
        for line in run.troubles():
            print(f"FAILED {run.name}: {line}")
    print(target)
    return int(any(run.troubles() for run in runs))


def read(out: Path, bench: str, backend: str, found: dict[str, Any]) -> Run | None:
    """None where nothing was measured, or with other packages, threads or on another machine."""
    if not out.exists():
        return None
    first, *lines = [json.loads(line) for line in out.read_text().splitlines()]
    if first["environment"] != found:
        return None
    finished = next((line["finished"] for line in lines if "finished" in line), None)
    return Run(bench, backend, first["date"], [line for line in lines if "test" in line], finished)


if __name__ == "__main__":
    sys.exit(main())
