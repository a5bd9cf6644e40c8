"""Runs every `bench_*.py` here in a process of its own and writes `results.md`.

    make bench

Each benchmark prints a Markdown section; ratios are within one run on one machine, so they, and not the absolute times,
are what to quote.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = ("keras", "tensorflow-cpu", "jax", "numpy", "pillow")


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    head = f"{cpu()}, {os.cpu_count()} cores; Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in PACKAGES
    )
    sections = ["# Benchmarks", "", "Made by `make bench`.", "", head, ""]
    for script in sorted(HERE.glob("bench_*.py")):
        print(f"running {script.name}", flush=True)
        done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False)
        sections.append(
            done.stdout if done.returncode == 0 else f"## {script.name}\n\nfailed, status {done.returncode}\n"
        )
    (HERE / "results.md").write_text("\n".join(sections))
    print(HERE / "results.md")


if __name__ == "__main__":
    main()
