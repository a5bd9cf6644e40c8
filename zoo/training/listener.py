"""Who is told how far training is; training itself never prints."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Told of each step; draws bars, writes logs, or does nothing."""

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """The ensemble or a member begins a stage of at most `epochs` epochs of `steps` batches."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` batches of an epoch (from 0) are done; `loss` is the epoch's mean so far.

        Called some times a second, not for every batch: reading the loss makes the device wait.
        """

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """An epoch (from 0) is done and validated."""

    def message(self, text: str) -> None:
        """Something a person may want to read."""


class Silent:
    """A listener that does nothing."""

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Nothing."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Nothing."""

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""
