"""Reasons to stop training cleanly before its end: a time limit, SIGTERM, SIGHUP (a closed terminal) or Ctrl-C.

While epochs run, training stops after the current step and writes a checkpoint (`watch`). Before and after them nothing
is lost by stopping at once, since files are written whole or not at all (`at_once`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from zoo.core.errors import UsageError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Signalled(KeyboardInterrupt):
    """A signal asked to stop, and nothing was left half-written.

    Args:
        number: Number of the signal.

    Example:
        >>> Signalled(signal.SIGTERM).name
        'SIGTERM'
    """

    def __init__(self, number: int) -> None:
        self.number, self.name = number, signal.Signals(number).name
        super().__init__(self.name)


class Interruption:
    """Tells, after each step, whether to stop.

    Args:
        max_hours: Time limit in hours from now, or None.

    Attributes:
        signal: Name of the signal that came, or "".

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
        self.signal = ""

    @property
    def reason(self) -> str:
        """The reason to stop, or "" to continue."""
        if self.signal:
            return self.signal
        return "max_hours" if self._deadline is not None and time.monotonic() >= self._deadline else ""

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; training stops after the current step."""
        self.signal = signal.Signals(number).name


@contextmanager
def watch(max_hours: float | None = None) -> Iterator[Interruption]:
    """Yields an `Interruption` that also reacts to signals inside the block; the second acts as outside it.

    The signals are SIGTERM, SIGHUP and Ctrl-C; one that is ignored, as SIGHUP is under `nohup`, stays ignored.

    Outside the main thread, where Python allows no signal handlers, only the time limit applies.

    Raises:
        ValueError: `max_hours` is not above 0.
    """
    if max_hours is not None and not max_hours > 0:
        raise UsageError(f"max_hours must be above 0, got {max_hours}")
    interruption = Interruption(max_hours)
    with _handled(interruption.on_signal):
        yield interruption


@contextmanager
def at_once() -> Iterator[None]:
    """SIGTERM, SIGHUP and Ctrl-C raise `Signalled` inside the block, wherever it is; the second acts as outside it.

    Outside the main thread nothing changes.

    Raises:
        Signalled: A signal came.

    Example:
        >>> try:
        ...     with at_once():
        ...         signal.raise_signal(signal.SIGTERM)
        ... except Signalled as stop:
        ...     stop.name
        'SIGTERM'
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Signalled(number)

    with _handled(stop):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls `handler` at the first signal, and restores the handlers of before then or at the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: earlier for number, earlier in found.items() if earlier not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, earlier in before.items():
            signal.signal(number, earlier)

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        handler(number, frame)

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()
