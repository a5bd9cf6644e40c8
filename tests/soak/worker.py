"""Runs trials of one kind whose numbers come on its standard input; writes a line of JSON for each.

python -m soak.worker MODULE FOLDER
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

from .trials import CRASHED, MEMORY, PASSED, Kind, Missed, Trial, kind_of, rng_of

#: Bytes of address space beyond what is in use when trials begin: past it a process gets a `MemoryError`.
SPACE = 8 << 30


def main(module: str, folder: str) -> None:
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    # What a trial prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kind = kind_of(module)
    with kind.ready(Path(folder)) as trial:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + kind.memory + SPACE,) * 2)
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(run(kind, trial, int(line))), file=answers, flush=True)


def run(kind: Kind, trial: Trial, number: int) -> dict[str, object]:
    """One trial, as the fields of a `journal.Entry`."""
    clock = time.process_time if kind.clock == "processor" else time.monotonic
    before, began, units = reset_peak(), clock(), 1
    try:
        found = trial(number, rng_of(kind.name, number))
        verdict, (what, units) = PASSED, (found, 1) if isinstance(found, str) else found
    except Missed as missed:
        verdict, what = missed.verdict, str(missed)
    except BaseException:  # noqa: BLE001  (whatever leaves the package is what is looked for)
        verdict, what = CRASHED, traceback.format_exc()
    took, more = clock() - began, max(0, peak() - before)
    if verdict == PASSED and more > kind.memory:
        verdict, what = MEMORY, f"{what} (took {more >> 20} MiB)"
    return {
        "trial": number,
        "verdict": verdict,
        "what": what,
        "seconds": round(took, 3),
        "mb": more >> 20,
        "units": units,
    }


def reset_peak() -> int:
    """Bytes of memory in use, from which the peak is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The most bytes of memory that were in use since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
