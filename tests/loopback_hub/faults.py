"""Faults that a test orders: what shall go wrong with which requests, and how often."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "truncate", "corrupt", "status", "drop", "lose", "redirect", "drip", "length", "delay", "html", "etag", "call"
]
# A HEAD request, which the client sends before each download, has no body for these.
_OF_BODIES = ("truncate", "corrupt", "drip")


@dataclass
class Fault:
    """See `Faults.add`; `hits` counts how often it struck."""

    match: re.Pattern[str]
    kind: Kind
    times: float
    after: int
    status: int = 503
    code: str = ""
    retry_after: int | None = None
    rate: int = 1000
    by: int = 7
    seconds: float = 1.0
    location: str = ""
    call: Callable[[], object] | None = None
    hits: int = 0


class Faults:
    """The faults in force; the first that matches a request strikes it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, match: str, kind: Kind, times: float | None = 1, *, after: int = 0, **options: object) -> Fault:
        """Orders a fault.

        Args:
            match: Regular expression searched in "METHOD /path?query", percent-encoded as sent. A small file comes from
                GET /owner/name/resolve/<commit>/<path>; a large one too, but only to be sent on to
                GET /cdn/<sha256>/<file name>; it goes to PUT /upload/<sha256>.
            kind: "truncate": half of the body, then the connection closes. "corrupt": one flipped byte, right size.
                "status": `status`, with `code` as X-Error-Code and `retry_after` seconds. "drop": no answer, before
                anything is done. "lose": everything is done, but the answer is lost. "redirect": to `location`, or
                to itself for ever. "drip": `rate` bytes a second. "length": Content-Length is wrong by `by` bytes.
                "delay": the answer comes after `seconds`. "etag": ETag is that of other bytes. "html": a
                login page with status 200. "call": `call()` runs first, then the request is answered as usual.
            times: How many requests it strikes; None is all of them.
            after: How many matching requests pass before.
            **options: The fields named above.

        Returns:
            The fault; its `hits` says how often it struck.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"no fault {kind!r}; there are {', '.join(get_args(Kind))}")
        fault = Fault(re.compile(match), kind, math.inf if times is None else times, after, **options)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forgets all orders; a body that drips comes whole at once."""
        with self._lock:
            for fault in self._faults:
                fault.rate = 0
            self._faults.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault of this request; runs the calls that were ordered for it."""
        calls, found = [], None
        with self._lock:
            for fault in self._faults:
                if not fault.match.search(f"{method} {path}") or (method == "HEAD" and fault.kind in _OF_BODIES):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif fault.hits < fault.times and (fault.kind == "call" or found is None):
                    fault.hits += 1
                    if fault.kind == "call":
                        calls.append(fault.call)
                    else:
                        found = fault
        for call in calls:
            if call:
                call()
        return found
