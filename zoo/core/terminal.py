"""Progress in the terminal: bars and messages, through rich."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

#: Seconds between two progress lines of a long task if there is no terminal.
LINE_EVERY = 60.0


class TerminalProgress:
    """Shows progress bars on standard error; standard output is for results.

    Without a terminal (a log file, a notebook run in batch mode) there are no bars: each epoch prints a line, and a
    long task prints a line every minute.

    >>> with TerminalProgress(Console(quiet=True)) as progress, progress.task("images", total=1) as advance:
    ...     advance()
    """

    def __init__(self, console: Console | None = None) -> None:
        # In a notebook rich would make a piece of HTML of each line, and take the kernel's FORCE_COLOR for a terminal.
        self.console = console or Console(stderr=True, force_jupyter=False, force_terminal=sys.stderr.isatty())
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=4,  # drawing takes time from the work itself
        )
        self._epochs: dict[str, TaskID] = {}  # by title: members may train side by side
        self._show_warning = warnings.showwarning

    def __enter__(self) -> TerminalProgress:
        """Starts drawing bars, and prints each warning as one line."""
        warnings.showwarning = lambda message, *_args, **_more: self.message(f"warning: {message}")
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        warnings.showwarning = self._show_warning

    def message(self, text: str) -> None:
        """Prints a line that stays above the bars."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        """Shows a bar of `total` items, `done` of them finished; yields a function that advances it by one or n."""
        task = self._progress.add_task(title, total=total, completed=done, note="")
        lines = None if self.console.is_terminal else _Lines(title, total, done, self.message)

        def advance(n: int = 1) -> None:
            self._progress.advance(task, n)
            if lines is not None:
                lines.advance(n)

        try:
            yield advance
        finally:
            self._progress.remove_task(task)

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Prints that a member or the ensemble starts a stage."""
        self.message(f"{title}: up to {epochs} epochs of {steps} steps")

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Updates the bar of the epoch."""
        if title not in self._epochs:
            self._epochs[title] = self._progress.add_task("", total=steps, note="")
        self._progress.update(
            self._epochs[title],
            total=steps,
            completed=step,
            description=f"{title} epoch {epoch + 1}",
            note=f"loss {loss:.4f}",
        )

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Prints the numbers of a finished epoch."""
        if title in self._epochs:
            self._progress.remove_task(self._epochs.pop(title))
        shown = "  ".join(f"{k} {v:.4g}" for k, v in logs.items())
        self.message(f"{title} epoch {epoch + 1}: {shown}")


@contextmanager
def download_bar(title: str, console: Console | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Shows the progress of a download on a terminal, and nothing elsewhere.

    Args:
        title: What is downloaded.
        console: Where to draw; standard error by default.

    Yields:
        A function of the bytes that have come, and of all bytes (None if unknown).

    >>> with download_bar("weights.pt", Console(quiet=True)) as show:
    ...     show(10, 100)
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Rate(ProgressColumn):
    """Items per second; empty for a task of a few long steps."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and speed >= 1 else "")


class _Lines:
    """Prints from time to time how much of a task is done, how fast it is, and how long it will take."""

    def __init__(self, title: str, total: int, done: int, say: Callable[[str], None]) -> None:
        self._title, self._total, self._say = title, total, say
        self._before = self._done = done
        self._said = self._began = time.monotonic()

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._said >= LINE_EVERY:
            self._said = now
            rate = (self._done - self._before) / (now - self._began)
            left = (self._total - self._done) / rate / 60
            self._say(f"{self._title}: {self._done:,} of {self._total:,}, {rate:,.1f}/s, {left:,.0f} min left")
