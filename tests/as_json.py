"""Results as `metrics.json` holds them, for tests that name a number by its place in the file."""

import functools
from collections.abc import Callable
from typing import Any

from zoo.evaluation.result import to_json


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its typed result turned into JSON."""

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        return to_json(function(*args, **options))

    return wrapped
