"""Processes: no network runs in a forked one, where it would never return; the cores and the kind of the processor."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from zoo.core.errors import StateError

_first: int | None = None


def require_own_process() -> None:
    """Records the calling process at the first call, and refuses processes that were forked from it later.

    A fork copies the locks of TensorFlow, JAX, OpenVINO and ONNX Runtime, but not the threads that would release them,
    so the first prediction in the new process would never return.

    Raises:
        StateError: This process was forked from one that had already loaded a model.

    Example:
        >>> require_own_process()
    """
    global _first
    if _first is None:
        _first = os.getpid()
    elif _first != os.getpid():
        raise StateError(
            f"process {os.getpid()} was forked from {_first}, which had already loaded a model, and no backend works "
            "after a fork: start processes by multiprocessing's method 'spawn' or 'forkserver', or load the model only "
            "in the processes that use it"
        )


def cores() -> int:
    """Returns the number of processor cores that this process may use.

    Example:
        >>> 1 <= cores() <= os.cpu_count()
        True
    """
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@cache
def processor() -> str:
    """Returns the kind of this processor in words: architecture, name and instruction sets.

    What was measured or compiled on one kind does not hold on another. The name alone does not tell them apart: that of
    a virtual machine is often the same with and without AVX-512 or AMX.

    Example:
        >>> processor() == processor() != ""
        True
    """
    facts = {platform.machine()}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        facts |= {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    if len(facts) == 1:  # another system than Linux
        facts.add(platform.processor())
    return "; ".join(sorted(facts))
