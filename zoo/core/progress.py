"""Who is told how far long work is; the work itself never prints."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Told of each step; draws bars, writes logs, or does nothing."""

    def message(self, text: str) -> None:
        """Something a person may want to read."""

    def task(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[..., None]]:
        """A bar of `total` items, `done` of them before; the block gets a function that moves it on by one, or by n."""

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """The ensemble or a member begins a stage of at most `epochs` epochs of `steps` batches."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` batches of an epoch (from 0) are done; `loss` is the epoch's mean so far.

        Called some times a second, not for every batch: reading the loss makes the device wait.
        """

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """An epoch (from 0) is done and validated."""


class Silent:
    """Tells nobody."""

    def message(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        """Nothing."""
        yield lambda n=1: None

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Nothing."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Nothing."""

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Nothing."""


@contextmanager
def tell_warnings(progress: Progress) -> Iterator[list[str]]:
    """Inside it, a `UserWarning` becomes a message of `progress`; the list gets their texts when the block ends."""
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
