"""What stands in a pickle for classes and calls: names and records that do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names, such as "torch.FloatStorage"; it was not looked up."""

    name: str


@dataclass(eq=False)
class Record:
    """What a pickle would have made by a call, and was not called.

    Attributes:
        name: The class or function.
        args: Arguments of the call.
        state: What `__setstate__` would have got, or the attributes.
        items: Entries, if it is a dict.
        entries: Elements, if it is a list or set.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


class Pending:
    """A value of a maker that is complete only with its state."""

    def build(self, state: Any) -> None:
        """Takes the state."""
        raise NotImplementedError


def as_key(value: Any) -> Any:
    """Returns `value` if it can be hashed in little time and without recursion.

    Raises:
        ValueError: It cannot.
    """
    for part in value if isinstance(value, tuple) else (value,):
        short = not isinstance(part, int) or -(2**63) <= part < 2**64
        if not short or not isinstance(part, str | bytes | int | float | None | Name | Record):
            raise ValueError("a key of a kind that no network has")
    return value
