"""Options that every subcommand has, and the disclaimer under every result."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from zoo.core import backend

NOT_A_DEVICE = "Research software, not a medical device: a finding here is not a diagnosis."


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Any:
    """Adds a subcommand and returns its parser."""
    sub = commands.add_parser(name, help=text, description=text)
    sub.add_argument(
        "--backend", choices=backend.BACKENDS, help="Keras backend (default: KERAS_BACKEND, or the first installed)"
    )
    sub.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    sub.set_defaults(run_command=run)
    return sub


def add_json(sub: Any) -> None:
    """Adds `--json`, for commands whose answer a script may read."""
    sub.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: object) -> None:
    """Prints lists, mappings and dataclasses as JSON, other objects inside them as text."""
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> object:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
