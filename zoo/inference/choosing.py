"""The fastest arithmetic that passes on this CPU: measured once, and remembered."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from zoo.core import home
from zoo.core.errors import ExportError, ReleaseError
from zoo.core.files import content_key, write_json
from zoo.export import exporting, graph_cache
from zoo.release import exports, manifest, parity
from zoo.release.folder import ReleaseFolder
from zoo.runtimes.runtime import Runtime

#: Films a round, and rounds of which the fastest counts: what else the machine does only makes one slower.
_FILMS, _ROUNDS = 16, 3


def fastest(found: ReleaseFolder, members: Sequence[str] | None, start: Callable[[str], Runtime]) -> str:
    """Measures each precision that may be used, or remembers what was measured.

    int8 may be used where it was accepted, bfloat16 where the CPU has it; both must pass where they are started.

    Args:
        found: The release.
        members: Which of its members; all by default.
        start: Gives the runtime of a precision.

    Returns:
        "float32", "bfloat16" or "int8".
    """
    noted = home.home() / "auto" / f"{_key(found, members)}.json"
    with suppress(ReleaseError, OSError):
        known = manifest.read_json(noted).get("precision")
        if known in ("float32", "bfloat16", "int8"):
            return str(known)
    films = load_file(found.folder / parity.IMAGES)["images"]
    films = np.resize(films, (_FILMS, *films.shape[1:]))
    rates: dict[str, float] = {}
    refused: dict[str, str] = {}
    for precision in _candidates(found, members):
        try:
            rates[precision] = _rate(start(precision), films)
        except (ReleaseError, ExportError) as error:
            refused[precision] = manifest.plain(error)
    best = max(rates, key=rates.__getitem__) if rates else "float32"
    with suppress(OSError):
        write_json(noted, {"precision": best, "films_per_second": rates, "refused": refused})
    return best


def cpu() -> str:
    """What this CPU is called, as far as the system says."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _candidates(found: ReleaseFolder, members: Sequence[str] | None) -> list[str]:
    from zoo.runtimes.openvino_runtime import native

    names = ["float32"]
    if "bfloat16" in native():
        names.append("bfloat16")
    whole = members is None or {*members} == {m.name for m in found.spec.members}
    made_here = graph_cache.folder_of(found, None, "openvino", "int8") / exports.FACTS
    if whole and (exports.INT8 in found.exports or made_here.is_file()):
        names.append("int8")
    return names


def _rate(runtime: Runtime, films: np.ndarray) -> float:
    runtime.logits(films[:1])
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        runtime.logits(films)
        seconds.append(time.perf_counter() - begun)
    return round(len(films) / min(seconds), 2)


def _key(found: ReleaseFolder, members: Sequence[str] | None) -> str:
    from zoo.runtimes.openvino_runtime import native

    names: Any = sorted(members) if members else None
    made = graph_cache.folder_of(found, None, "openvino", "int8") / exports.FACTS
    facts = (cpu(), sorted(native()), exporting.versions(), found.manifest_sha256, names, made.is_file())
    return content_key(facts)
