"""Warnings that point to the line of the user's code, from any depth and any thread."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from zoo.core.home import PACKAGE

P = ParamSpec("P")
T = TypeVar("T")

#: With the separator, so that a neighbouring folder with a longer name does not count as the package.
_PACKAGE = f"{PACKAGE}{os.sep}"


class Line(NamedTuple):
    """A line of the user's code.

    Attributes:
        filename: File of the line.
        number: Line number.
        module: Name of the module.
        registry: The warnings that Python has already shown for this module.
    """

    filename: str
    number: int
    module: str
    registry: dict[Any, Any]


_line: ContextVar[Line | None] = ContextVar("line", default=None)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line of the user's code that called the package (in a thread of `Threads`: that submitted the work).

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_user("few images")
    >>> str(caught[0].message)
    'few images'
    """
    line = _line.get() or users_line()
    if line is None:  # a thread that another library started
        warnings.warn(message, category, stacklevel=2)
    else:
        warnings.warn_explicit(message, category, line.filename, line.number, line.module, line.registry)


def users_line() -> Line | None:
    """The line of the user's code that called the package, or None in a thread that the package started."""
    frame: FrameType | None = sys._getframe(1)
    entry: FrameType | None = None
    while frame is not None:
        # There may be frames of other libraries in between: a context manager, a Keras callback.
        if frame.f_code.co_filename.startswith(_PACKAGE):
            entry = frame.f_back
        frame = frame.f_back
    while entry is not None and entry.f_globals.get("__name__") == "contextlib":
        entry = entry.f_back
    begun_here = threading.current_thread() is not threading.main_thread() and (
        entry is None or entry.f_globals.get("__name__", "").partition(".")[0] in ("threading", "concurrent")
    )
    if entry is None or begun_here:
        return None
    names = entry.f_globals
    registry = names.setdefault("__warningregistry__", {})
    return Line(entry.f_code.co_filename, entry.f_lineno, names.get("__name__", "<unknown>"), registry)


class Threads(ThreadPoolExecutor):
    """A `ThreadPoolExecutor` whose threads warn at the line of the user's code that submitted the work.

    >>> with Threads(1) as threads:
    ...     threads.submit(max, 1, 2).result()
    2
    """

    def __init__(self, max_workers: int | None = None, **options: Any) -> None:
        super().__init__(max_workers, **options)
        self._made_at = _line.get() or users_line()

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submits a call to a thread, as in the base class."""
        line = _line.get() or users_line() or self._made_at
        return super().submit(lambda: _at(line, call, *args, **kwargs))


def _at(line: Line | None, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    before = _line.set(line)
    try:
        return call(*args, **kwargs)
    finally:
        _line.reset(before)
