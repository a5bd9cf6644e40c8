"""The interface for reporting the progress of long work, which itself never prints."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work, and draws bars, writes logs, or does nothing.

    >>> progress: Progress = Silent()
    >>> with progress.task("images", total=2) as advance:
    ...     advance()
    """

    def message(self, text: str) -> None:
        """Reports a line of text for the user."""

    def task(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[..., None]]:
        """Starts a task of `total` items, `done` of them finished; yields a function that advances it by one or n."""

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Reports that the ensemble or a member starts a stage of at most `epochs` epochs of `steps` batches."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Reports that `step` of `steps` batches of an epoch (from 0) are done; `loss` is the epoch's mean so far.

        Called a few times per second instead of for every batch, since reading the loss makes the device wait.
        """

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Reports that an epoch (from 0) is done and validated."""


class Silent:
    """A `Progress` that reports nothing.

    >>> Silent().message("not shown")
    """

    def message(self, text: str) -> None:
        """Does nothing."""

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        """Does nothing."""
        yield lambda n=1: None

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Does nothing."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Does nothing."""

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Does nothing."""


@contextmanager
def tell_warnings(progress: Progress) -> Iterator[list[str]]:
    """Turns each `UserWarning` of the block into a message of `progress`.

    Yields:
        A list that holds the texts of these warnings after the block.

    >>> with tell_warnings(Silent()) as texts:
    ...     warnings.warn("few images")
    >>> texts
    ['few images']
    """
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield texts
        finally:
            texts += [str(warning.message) for warning in caught if warning.category is UserWarning]
    for text in texts:
        progress.message(text)
    for warning in caught:
        if warning.category is not UserWarning:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
