"""Progress that remembers what it was told."""

from typing import Any

from zoo.core.progress import Silent


class Told(Silent):
    """Messages, and the title and total of each task."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.tasks: list[tuple[str, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def task(self, title: str, total: int, done: int = 0) -> Any:
        self.tasks.append((title, total))
        return super().task(title, total, done)
