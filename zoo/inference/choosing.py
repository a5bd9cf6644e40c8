"""Chooses the arithmetic precision that is clearly fastest on this CPU; the measurement is stored for later loads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from safetensors.numpy import load_file

from zoo.core import home
from zoo.core.errors import ExportError, ReleaseError, UsageError
from zoo.core.files import content_key, write_json
from zoo.core.process import processor
from zoo.core.warn import warn_user
from zoo.export import exporting, graph_cache
from zoo.release import layout, manifest
from zoo.release.folder import ReleaseFolder
from zoo.runtimes.runtime import Runtime

T = TypeVar("T")

#: Images per round, and number of rounds. The fastest round counts, since other work only slows it down.
_IMAGES, _ROUNDS = 16, 3

#: From the most to the least exact precision.
_PRECISIONS = ("float32", "bfloat16", "int8")

#: What excludes a precision; `RuntimeError` is what OpenVINO raises, `OSError` a full disk.
REFUSALS = (ReleaseError, ExportError, RuntimeError, OSError)

#: Increased when other things decide which precisions are accepted, so that machines decide again.
_RULES = 3

#: Minimum speed-up for choosing a less exact precision: two measurements of one precision differ by some percent.
MARGIN = 1.15


def fastest(found: ReleaseFolder, members: Sequence[str] | None, start: Callable[[str], Runtime]) -> str:
    """Measures the speed of each permitted precision, or returns the result of an earlier measurement on this machine.

    int8 is permitted if the release has an accepted export, bfloat16 if the CPU supports it; both must pass the checks
    made when a runtime starts. A less exact precision is chosen only if it is at least `MARGIN` times as fast.

    Args:
        found: The release.
        members: Names of the members to load; all by default.
        start: Given a precision, returns its runtime. An `ExportError` excludes the precision on this machine for good;
            any other `ReleaseError` (a damaged file, a failed download) or error of the runtime's library excludes it
            only this time, and nothing is stored.

    Returns:
        "float32", "bfloat16" or "int8". A warning tells once which precision was refused, and why.
    """
    noted = home.home() / "auto" / f"{_key(found, members)}.json"
    with suppress(ReleaseError, OSError):
        known = manifest.read_json(noted).get("precision")
        if known in _PRECISIONS:
            return str(known)
    images = load_file(found.folder / layout.IMAGES)["images"]
    images = np.resize(images, (_IMAGES, *images.shape[1:]))
    rates: dict[str, float] = {}
    refused: dict[str, str] = {}
    passing = False
    for precision in _candidates(found, members):
        try:
            rates[precision] = _rate(start(precision), images)
        except REFUSALS as error:
            refused[precision] = manifest.plain(error)
            passing = passing or not isinstance(error, ExportError)
    best = clearly_fastest(rates)
    for precision, why in refused.items():
        if precision != best:
            warn_user(f"precision 'auto' uses {best}: {precision} is refused on this machine: {why}")
    if not passing:
        with suppress(OSError):
            write_json(noted, {"precision": best, "images_per_second": rates, "refused": refused})
    return best


def started(best: str, start: Callable[[str], T]) -> T:
    """Starts the chosen precision or, where it is refused after all, the next more exact one, with a warning.

    Args:
        best: The choice of `fastest`.
        start: Given a precision, returns its runtime, or whatever else is started in it.

    Raises:
        ReleaseError: Not even float32 can be started.
        ExportError: The same.

    Example:
        >>> import warnings
        >>> def start(precision: str) -> Runtime:
        ...     if precision == "int8":
        ...         raise ExportError("a golden logit is off")
        ...     return precision
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     started("int8", start)
        'bfloat16'
    """
    order = _PRECISIONS[_PRECISIONS.index(best) :: -1]
    for precision, following in pairwise(order):
        try:
            return start(precision)
        except (*REFUSALS, UsageError) as error:  # `UsageError`: not a precision of this CPU
            warn_user(f"precision 'auto' leaves {precision} for {following}: {manifest.plain(error)}")
    return start(order[-1])


def clearly_fastest(rates: Mapping[str, float]) -> str:
    """Chooses a precision, given the images per second of each.

    >>> clearly_fastest({"float32": 10.0, "bfloat16": 11.0, "int8": 30.0})
    'int8'
    >>> clearly_fastest({"float32": 10.0, "bfloat16": 11.0})
    'float32'
    """
    best = ""
    for precision in (name for name in _PRECISIONS if name in rates):
        if not best or rates[precision] >= MARGIN * rates[best]:
            best = precision
    return best or "float32"


def _candidates(found: ReleaseFolder, members: Sequence[str] | None) -> list[str]:
    from zoo.runtimes.openvino_runtime import native

    names = ["float32"]
    if "bfloat16" in native():
        names.append("bfloat16")
    whole = members is None or {*members} == {m.name for m in found.spec.members}
    made_here = graph_cache.folder_of(found, None, "openvino", "int8") / layout.FACTS
    if whole and (layout.INT8 in found.exports or made_here.is_file()):
        names.append("int8")
    return names


def _rate(runtime: Runtime, images: np.ndarray) -> float:
    """Returns the speed in images per second."""
    runtime.logits(images[:1])
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        runtime.logits(images)
        seconds.append(time.perf_counter() - begun)
    return round(len(images) / min(seconds), 2)


def _key(found: ReleaseFolder, members: Sequence[str] | None) -> str:
    from zoo.runtimes.openvino_runtime import native

    names: Any = sorted(members) if members else None
    made = graph_cache.folder_of(found, None, "openvino", "int8") / layout.FACTS
    facts = (
        _RULES,
        MARGIN,
        processor(),
        sorted(native()),
        exporting.versions(),
        found.manifest_sha256,
        names,
        made.is_file(),
    )
    return content_key(facts)
