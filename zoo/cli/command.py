"""Options that every subcommand has, and the disclaimer under every result."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.core import backend
from zoo.core.errors import UsageError

#: Help of an argument that names a model.
MODEL = "name, folder or hf:// reference of a release"

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


def add_replace(sub: Any, what: str, *names: str) -> None:
    """Adds `--replace`, the one option that lets a command replace what exists; `names` are earlier names of it."""
    sub.add_argument("--replace", *names, dest="replace", action="store_true", help=what)


def add_set(sub: Any, what: str) -> None:
    """Adds `--set`, which changes fields of what a command follows, such as a recipe."""
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help=f"change a field of the {what}, such as split.by=image; give it again for each",
    )


def add_by(sub: Any) -> None:
    """Adds `--by`, which joins the images of a study."""
    sub.add_argument(
        "--by",
        default="image",
        choices=("image", "study"),
        help="what a row stands for: an image, or a study with its images joined (default: image)",
    )


def refuse_existing(place: Path, replace: bool, sign: str = "") -> None:
    """Refuses to replace what exists, unless the user said `--replace`.

    Args:
        place: File or folder that the command would write.
        replace: Whether `--replace` was given.
        sign: A file in the folder that shows that something finished is there; "" if anything is.

    Raises:
        UsageError: It exists.
    """
    if not replace and (place / sign if sign else place).exists():
        raise UsageError(f"{place} exists{f' and holds {sign}' * bool(sign)}: --replace replaces it, or choose another")


def tell_replaced(place: Path, sign: str = "") -> None:
    """Says that a result is written over an earlier one: results can be computed again, models are not replaced so.

    Args:
        place: File or folder that the command writes.
        sign: A file in the folder that shows that an earlier result is there; "" if anything is.
    """
    if (place / sign if sign else place).exists():
        print(f"{place} holds an earlier result, which this one replaces", file=sys.stderr)


def refuse_unused(given: Mapping[str, object], why: str) -> None:
    """Refuses options that would have no effect; `given` has each option's value, or something false.

    Raises:
        UsageError: One of them was given; names all that were.

    >>> refuse_unused({"--wide": False, "--point": None}, "no effect")
    """
    if named := [option for option, value in given.items() if value]:
        raise UsageError(f"{', '.join(named)}: {why}")


def number(kind: type[int] | type[float], least: float, most: float | None = None) -> Callable[[str], float]:
    """Returns the type of an option that takes numbers from `least` to `most`, for `add_argument`.

    Out of range is an invalid option, told before a model is looked up or a file is fetched.

    Args:
        kind: int or float.
        least: Smallest number that is taken.
        most: Largest one, or None.

    >>> number(int, 1)("16")
    16
    """

    def read(text: str) -> float:
        value = kind(text)  # argparse reports a ValueError by the type's name
        if not (least <= value and (most is None or value <= most)):
            limits = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise argparse.ArgumentTypeError(f"has to be {limits}, got {text}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read


def add_page(sub: Any) -> None:
    """Adds `--html`; only a page is written, so that a table given by mistake is not replaced."""

    def page(text: str) -> Path:
        if not text.lower().endswith((".html", ".htm")):
            raise argparse.ArgumentTypeError(f"a page ends in .html, got {text}")
        return Path(text)

    sub.add_argument("--html", type=page, metavar="PAGE", help="also write a page")


def add_json(sub: Any) -> None:
    """Adds `--json`, for commands whose answer a script may read."""
    sub.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: object) -> None:
    """Prints lists, mappings and dataclasses as JSON, other objects inside them as text."""
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> object:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
