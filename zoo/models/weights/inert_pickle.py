"""Reads pickles in which nothing runs: every class becomes an inert record.

A subclass of `pickle.Unpickler` that restricts `find_class` would not be enough. It calls whatever `find_class`
returns. Its C code takes memory by numbers in the file (a `bytearray` of 2**40 bytes, a place 2**31 in the memo), and
tuples nested a million deep overflow its stack. So the opcodes are carried out here: `pickletools` splits the bytes
into opcodes and decodes their arguments, which are numbers and text. The machine below has a stack, a memo, and makers
for a few names that the caller states. It imports nothing, calls nothing by name, and stops at a limit of opcodes.
"""

from __future__ import annotations

import io
import mmap
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from zoo.core.errors import WeightsError
from zoo.models.weights.inert_values import Name, Pending, Record, as_key

#: Most opcodes in one pickle. Files of large networks have about 100,000, one opcode takes at most some 200 bytes.
MAX_OPCODES = 1_000_000

_NEWEST_PROTOCOL = 5


#: Bytes to read from: of both kinds a read past the end returns what is there, and takes no memory for the rest.
Source = io.BytesIO | mmap.mmap

#: Makes a value from the arguments of a call.
Maker = Callable[..., Any]


def read_pickle(
    source: Source,
    makers: Mapping[str, Maker] | None = None,
    persistent: Callable[[Any], Any] | None = None,
    max_opcodes: int = MAX_OPCODES,
) -> Any:
    """Reads one pickle, up to its end, and leaves `source` behind it.

    Args:
        source: The bytes.
        makers: Name -> function of ours that is called instead of the class or function of that name.
        persistent: Makes a value from a persistent id; without it such an id is an error.
        max_opcodes: Most opcodes that are carried out.

    Returns:
        Numbers, text, containers, `Name`, `Record`, and values of the makers.

    Raises:
        WeightsError: The bytes are not a pickle, are cut off, or go beyond a limit.

    Example:
        >>> import datetime, io, pickle
        >>> found = read_pickle(io.BytesIO(pickle.dumps({"day": datetime.date(2026, 1, 2)})))
        >>> found["day"].name
        'datetime.date'
    """
    machine = _Machine(makers or {}, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", source))):
            if count >= max_opcodes:
                raise WeightsError(f"its pickle has more than {max_opcodes:,} opcodes, which no network needs")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except WeightsError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"its pickle is cut off or damaged at byte {source.tell():,} ({reason})") from None
    raise WeightsError("its pickle has no end")


_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
#: Opcodes whose argument is the value.
_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}


class _Machine:
    def __init__(self, makers: Mapping[str, Maker], persistent: Callable[[Any], Any] | None) -> None:
        self.makers, self.persistent = makers, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carries out one opcode."""
        if name in _ARGUMENTS:
            self.stack.append(argument)
        elif name in _VALUES:
            self.stack.append(_VALUES[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self.take(_TUPLES[name])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise ValueError("a value is used that was not stored")
            self.stack.append(self.memo[argument])
        else:
            act = getattr(self, f"do_{name.lower()}", None)
            if act is None:
                raise WeightsError(f"its pickle uses opcode {name}, which no PyTorch file needs")
            act(argument)

    def top(self) -> Any:
        if not self.stack:
            raise ValueError("a value is missing")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def take(self, n: int) -> list[Any]:
        """The last n values, in order."""
        if len(self.stack) < n:
            raise ValueError("a value is missing")
        values = self.stack[-n:]
        del self.stack[-n:]
        return values

    def since_mark(self) -> list[Any]:
        if not self.below:
            raise ValueError("a mark is missing")
        values, self.stack = self.stack, self.below.pop()
        return values

    def make(self, called: Any, arguments: Any, fields: Any = ()) -> None:
        if not isinstance(arguments, tuple):
            raise ValueError("arguments of a call are no tuple")
        if not isinstance(called, Name | Record):
            raise ValueError("what is called is no class or function")
        maker = self.makers.get(called.name) if isinstance(called, Name) and not fields else None
        self.stack.append(Record(called.name, arguments) if maker is None else maker(*arguments))

    def do_proto(self, version: int) -> None:
        if version > _NEWEST_PROTOCOL:
            raise WeightsError(f"its pickle has protocol {version}, newer than {_NEWEST_PROTOCOL}")

    def do_frame(self, size: int) -> None:
        """Frames are hints for reading."""

    def do_mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def do_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def do_pop_mark(self, _: Any) -> None:
        self.since_mark()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.top())

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.top()

    def do_tuple(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(tuple(values))

    def do_list(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(values)

    def do_dict(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append({})
        self.set_items(values)

    def do_frozenset(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(frozenset(as_key(value) for value in values))

    def do_append(self, _: Any) -> None:
        self.extend([self.pop()])

    def do_appends(self, _: Any) -> None:
        self.extend(self.since_mark())

    do_additems = do_appends

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Record):
            target.entries.extend(values)
        elif isinstance(target, set):
            target.update(as_key(value) for value in values)
        else:
            raise ValueError("elements of something that is no list")

    def do_setitem(self, _: Any) -> None:
        self.set_items(self.take(2))

    def do_setitems(self, _: Any) -> None:
        self.set_items(self.since_mark())

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        target = target.items if isinstance(target, Record) else target
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("entries of something that is no dict")
        target.update((as_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True))

    def do_global(self, argument: str) -> None:
        self.stack.append(Name(argument.replace(" ", ".", 1)))

    def do_stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("the name of a class is no text")
        self.stack.append(Name(f"{module}.{name}"))

    def do_inst(self, argument: str) -> None:
        arguments = self.since_mark()
        self.make(Name(argument.replace(" ", ".", 1)), tuple(arguments))

    def do_obj(self, _: Any) -> None:
        called, *arguments = self.since_mark() or [None]
        self.make(called, tuple(arguments))

    def do_reduce(self, _: Any) -> None:
        self.make(*self.take(2))

    do_newobj = do_reduce

    def do_newobj_ex(self, _: Any) -> None:
        self.make(*self.take(3))

    def do_build(self, _: Any) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Record):
            target.state = state
        elif isinstance(target, Pending):
            target.build(state)

    def do_persid(self, argument: str) -> None:
        self.load(argument)

    def do_binpersid(self, _: Any) -> None:
        self.load(self.pop())

    def load(self, identifier: Any) -> None:
        if self.persistent is None:
            raise ValueError("a persistent id where none belongs")
        self.stack.append(self.persistent(identifier))
