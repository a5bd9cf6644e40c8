"""Progress in the terminal: bars and messages, through rich."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TerminalProgress:
    """Draws every step as a bar on standard error, so that standard output stays for results.

    Without a terminal (a log file, a notebook's batch run) bars are left out and each epoch is a line.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )
        self._epoch: TaskID | None = None
        self._show_warning = warnings.showwarning

    def __enter__(self) -> TerminalProgress:
        """Bars are drawn from here on, and a warning is one line among them."""
        warnings.showwarning = lambda message, *_args, **_more: self.message(f"warning: {message}")
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        warnings.showwarning = self._show_warning

    def message(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar of `total` items; the block gets a function that moves it on by one."""
        task = self._progress.add_task(title, total=total, note="")
        try:
            yield lambda: self._progress.advance(task)
        finally:
            self._progress.remove_task(task)

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """A member or the ensemble begins a stage."""
        self.message(f"{title}: up to {epochs} epochs of {steps} steps")

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """A training step is done."""
        if self._epoch is None:
            self._epoch = self._progress.add_task("", total=steps, note="")
        self._progress.update(
            self._epoch, total=steps, completed=step, description=f"{title} epoch {epoch + 1}", note=f"loss {loss:.4f}"
        )

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """An epoch is done and validated."""
        if self._epoch is not None:
            self._progress.remove_task(self._epoch)
            self._epoch = None
        shown = "  ".join(f"{k} {v:.4g}" for k, v in logs.items())
        self.message(f"{title} epoch {epoch + 1}: {shown}")
