"""What a route gives back: an answer, or the error that the Hub would give."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Answer:
    """One HTTP answer; `data` is bytes, or a file of which the bytes `start` to `stop` are sent."""

    status: int = 200
    data: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)
    start: int = 0
    stop: int | None = None

    @property
    def length(self) -> int:
        whole = self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)
        return (whole if self.stop is None else self.stop) - self.start


def as_json(data: Any, headers: dict[str, str] | None = None, status: int = 200) -> Answer:
    return Answer(status, json.dumps(data).encode(), {"Content-Type": "application/json"} | (headers or {}))


class Refusal(Exception):
    """An answer with an error status, in the Hub's form: X-Error-Code, X-Error-Message and a JSON body.

    Args:
        status: HTTP status.
        message: What the client shows.
        code: RepoNotFound, RevisionNotFound, EntryNotFound or GatedRepo; the client picks its exception by it.
        headers: More headers.
    """

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}

    def answer(self) -> Answer:
        named = {"X-Error-Code": self.code} if self.code else {}
        return as_json({"error": self.message}, self.headers | named | {"X-Error-Message": self.message}, self.status)
