"""Reasons to stop training cleanly before its end: a time limit, or SIGTERM."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from zoo.core.errors import UsageError


class Interruption:
    """Tells, after each step, whether to stop.

    Args:
        max_hours: Time limit in hours from now, or None.

    Example:
        >>> interruption = Interruption(max_hours=11.5)
        >>> interruption.reason
        ''
        >>> interruption.on_signal(signal.SIGTERM, None)
        >>> interruption.reason
        'SIGTERM'
    """

    def __init__(self, max_hours: float | None = None) -> None:
        self._deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        self._signalled = False

    @property
    def reason(self) -> str:
        """The reason to stop, or "" to continue."""
        if self._signalled:
            return "SIGTERM"
        return "max_hours" if self._deadline is not None and time.monotonic() >= self._deadline else ""

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; training stops after the current step."""
        self._signalled = True


@contextmanager
def watch(max_hours: float | None = None) -> Iterator[Interruption]:
    """Yields an `Interruption` that also reacts to SIGTERM inside the block.

    Outside the main thread, where Python allows no signal handlers, only the time limit applies.

    Raises:
        ValueError: `max_hours` is not above 0.
    """
    if max_hours is not None and not max_hours > 0:
        raise UsageError(f"max_hours must be above 0, got {max_hours}")
    interruption = Interruption(max_hours)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption.on_signal)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
